"""The check that every switch of the program is connected: it finds one that is not, and none that is."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from tests.tools.load_tool import load_tool

ROOT = Path(__file__).resolve().parents[2]


def tool() -> ModuleType:
    return load_tool("unused_defaults")


def test_everything_that_has_a_default_is_set_by_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool().main() == 0, capsys.readouterr().out


LOOSE = """
from dataclasses import dataclass, field

@dataclass
class Limits:
    together: bool = False
    count: int = 1
    kept: list = field(default_factory=list)

def act(limits, loud=False, *, slow=True):
    return limits.count

act(Limits(count=2), True)
"""


def test_a_switch_that_only_tests_set_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ipexlaunch").mkdir()
    (tmp_path / "ipexlaunch/a.py").write_text(LOOSE)
    found = tool()
    monkeypatch.setattr(found, "ROOT", tmp_path)
    assert found.main() == 1
    assert [line.split(": ", 1)[1] for line in capsys.readouterr().out.splitlines()] == [
        "Limits.together has a default that nothing outside of tests replaces",
        "Limits.together is read by nothing outside of tests",
        "act.slow has a default that nothing outside of tests replaces",
    ]
