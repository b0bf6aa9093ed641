"""Long documents are read by a shorter way, with the same result as YAML."""

from __future__ import annotations

import pytest
import yaml

from ipexlaunch.documents.text import parse_document
from ipexlaunch.errors import DocumentError

ROW = '- {id: 1, core: -1, kind: null, about: "a, b", big: true}\n'


@pytest.mark.parametrize(
    "text",
    [
        "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 100 + "nodes: [1, 2]\n",
        "# comment\nschema: ipexlaunch/x/1\nabout: yes\ncpus:\n" + ROW * 64,
        "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 70 + "- {id: 010}\n",  # octal: not a plain row
        "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 70 + "- {id: 2, more: 3}\n" + ROW * 3,  # a key of its own
        "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 70 + "other:\n" + ROW * 70,
        "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 70 + "# end\n- {id: 2}\n",
        "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 70 + "cpus: {a: 1}\n",
    ],
)
def test_the_short_way_reads_what_yaml_reads(text: str) -> None:
    assert parse_document(text, "x", {"x": [1]}).data == yaml.safe_load(text)


def test_the_line_of_a_syntax_error_is_right() -> None:
    text = "schema: ipexlaunch/x/1\ncpus:\n" + ROW * 100 + "nodes: [1, 2\nfoo: }\n"
    with pytest.raises(DocumentError, match=r"line 10[34]"):
        parse_document(text, "x", {"x": [1]})
