"""What documents and workers say cannot move the terminal's cursor."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.documents.visible_text import visible, visible_drawing, visible_lines, visible_values

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests/report/kept_runs/version-1"
ESCAPE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\r"


@given(st.text())
def test_nothing_that_controls_is_left(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(character) == "Cc" for character in shown)
    assert visible(shown) == shown
    assert visible_lines(text).split("\n") == [visible(line) for line in text.split("\n")]


@given(st.text(st.characters(blacklist_categories=["Cc", "Cf", "Zl", "Zp"])))
def test_other_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert visible_drawing(f"\x1b[1;31m{text}\x1b[0m\n") == f"\x1b[1;31m{text}\x1b[0m\n"


def test_a_drawing_keeps_its_lines_and_colours_only() -> None:
    assert visible_drawing("a\x1b[1mb\x1b[0m\n\x1b[2Jc\x9b") == "a\x1b[1mb\x1b[0m\n\\x1b[2Jc\\x9b"
    assert visible("a\tb\nc\u202e") == "a\\tb\\nc\\u202e"


def test_values_of_any_shape() -> None:
    @dataclasses.dataclass(frozen=True)
    class Thing:
        name: str
        parts: tuple[str, ...]
        of: dict[str, object]
        number: int = 3

    thing = visible_values(Thing("\x1b", ("\x07",), {"\x1b": ["\x1b", 1]}))
    assert thing == Thing("\\x1b", ("\\x07",), {"\\x1b": ["\\x1b", 1]})


@pytest.mark.process
@pytest.mark.parametrize("arguments", [(), ("--html", "page.html")])
def test_a_report_with_escapes_is_shown_with_none(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(OLD, kept)
    report = json.loads((kept / "report.json").read_text())
    report["valid"], report["exit_code"] = False, 4
    report["reasons"], report["warnings"] = [f"reason {ESCAPE}"], [f"warning {ESCAPE}"]
    report["facts"] = {f"model{ESCAPE}": ESCAPE}
    report["provenance"]["program"] = [ESCAPE]
    for instance in report["instances"]:
        instance["memory"], instance["log"] = ESCAPE, ESCAPE
        instance["phases_s"] = {ESCAPE: 1.0}
    (kept / "report.json").write_text(json.dumps(report))
    shutil.copytree(kept, tmp_path / f"name{ESCAPE}".replace("/", ""))
    for paths in (["kept"], ["kept", f"name{ESCAPE}"], [str(kept / "report.json")]):
        done = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", "report", *paths, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "300"}, cwd=tmp_path, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
        shown = (done.stdout + done.stderr).decode()
        if arguments:
            shown += (tmp_path / "page.html").read_text()
        assert done.returncode == 0, shown
        assert not any(unicodedata.category(character) == "Cc" and character != "\n" for character in shown)
        assert "\u202e" not in shown


@pytest.mark.process
def test_an_error_that_quotes_escapes_is_one_line_without_them(tmp_path: Path) -> None:
    for words in (
        ["report", f"no{ESCAPE}\nsuch"],
        ["--ninstances", "1", f"no{ESCAPE}\nsuch.py"],
        ["plan", f"--x{ESCAPE}"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ipexlaunch", *words],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert not any(unicodedata.category(character) == "Cc" for character in done.stderr[:-1])
