"""docs/topology.md shows what the program prints.

After a change on purpose: IPEXLAUNCH_UPDATE_GOLDEN=1 pytest tests/machine/pictures/test_documented_pictures.py.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
from pathlib import Path

import pytest

from ipexlaunch.cli.main import main

DOCS = Path(__file__).parents[3] / "docs"
PAGE = DOCS / "topology.md"
EXAMPLE = re.compile(
    r"```console\n\$ ipexlaunch (?P<words>[^\n>]*?)(?: > (?P<file>\S+))?\n(?P<output>.*?)```", re.DOTALL
)
EXAMPLES = list(EXAMPLE.finditer(PAGE.read_text(encoding="utf-8")))


def printed(words: str) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        assert main(shlex.split(words)) == 0
    return stream.getvalue()


def test_the_page_has_an_example_of_every_picture() -> None:
    commands = " ".join(example["words"] for example in EXAMPLES)
    assert {"tree", "drawing", "svg"} <= set(re.findall(r"--format (\w+)", commands))
    assert any("--format" not in example["words"] for example in EXAMPLES), "the table is the default"


@pytest.mark.parametrize("number", range(len(EXAMPLES)), ids=[example["words"] for example in EXAMPLES])
def test_an_example_of_the_page_is_what_the_program_prints(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    example = EXAMPLES[number]
    text = printed(example["words"])
    path, shown = PAGE, example["output"]
    if example["file"]:
        path = DOCS / "images" / example["file"]
        shown = path.read_text(encoding="utf-8")
    if os.environ.get("IPEXLAUNCH_UPDATE_GOLDEN"):
        path.write_text(path.read_text(encoding="utf-8").replace(shown, text), encoding="utf-8")
        shown = text
    assert text == shown
