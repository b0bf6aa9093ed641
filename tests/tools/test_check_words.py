"""tools/check_words.py: what people read is looked through, code is not, and each rule that is off has its reason."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.tools.load_tool import load_tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, looking at a checkout of its own."""
    tool = load_tool("check_words")
    (tmp_path / "docs").mkdir()
    (tmp_path / "ipexlaunch").mkdir()
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    return tool


def test_a_phrase_is_found_across_lines_and_not_in_code(tool: ModuleType) -> None:
    (tool.ROOT / "docs/a.md").write_text("It goes\non with the job.\n\n```\ngoes on with\n```\n\nThe key `anew`.\n")
    found = list(tool.phrases_found())
    assert len(found) == 1
    assert "docs/a.md" in found[0]
    assert "resume" in found[0]


def test_messages_and_docstrings_are_looked_through(tool: ModuleType) -> None:
    (tool.ROOT / "ipexlaunch/a.py").write_text(
        '"""It begins anew here."""\nNAME = f"cannot go on with {1} of {2}{3}"\n'
    )
    assert dict(tool.program_texts()) == {
        "ipexlaunch/a.py": "It begins anew here.\n\ncannot go on with something of something"
    }
    assert len(list(tool.phrases_found())) == 2


def test_every_phrase_is_an_expression_with_advice() -> None:
    lines = (ROOT / "tools/words/phrases.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if line and not line.startswith("#"):
            pattern, advice = line.split(" => ")
            assert re.compile(pattern)
            assert advice


def test_every_rule_that_is_off_has_its_reason() -> None:
    off = json.loads((ROOT / "tools/words/harper.json").read_text(encoding="utf-8"))["off"]
    assert [name for name, reason in off.items() if len(reason.split()) < 1] == []
