"""The examples that need no torch: any Python program, and any program in any language."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT, check_report, launch, run
from tests.examples.status_channel import talk_to

pytestmark = pytest.mark.process


def test_plain_python_runs_alone() -> None:
    done = run(sys.executable, "examples/plain.py", "--seconds", "0.2")
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"worker 0 of 1: [0-9.]+ texts/s, packed to [1-9][0-9]%\n", done.stdout)


def test_plain_python_under_ipexlaunch_gives_a_valid_report(tmp_path: Path) -> None:
    check_report(launch(tmp_path, "examples/plain.py", "--seconds", "1"))


def test_the_shell_script_runs_alone() -> None:
    done = run("examples/compress.sh", "5")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"compressed {5 * (ROOT / 'examples/sentences.txt').stat().st_size // 1000} kB\n"


def test_the_shell_script_under_ipexlaunch_gives_a_valid_report(tmp_path: Path) -> None:
    document = launch(tmp_path, "--no-python", "examples/compress.sh", "50")
    check_report(document)
    assert {instance["items"] for instance in document["instances"]} == {50}


def test_the_shell_script_speaks_the_protocol() -> None:
    said = talk_to(["examples/compress.sh", "3"], cwd=str(ROOT))
    assert said == [{"event": "ready"}, *[{"event": "progress", "items": 1}] * 3, {"event": "finished"}]


def test_the_sentences_are_many_different_and_of_varied_length() -> None:
    sentences = (ROOT / "examples/sentences.txt").read_text(encoding="utf-8").splitlines()
    assert len(sentences) == len(set(sentences)) > 250
    words = sorted(len(sentence.split()) for sentence in sentences)
    assert words[0] <= 4
    assert words[-1] >= 50
