"""The examples of batch jobs: what they write is what their page says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.batch.check_results import rows_of
from tests.examples.run_examples import ipex_python, run

pytestmark = pytest.mark.process


def batch(output: Path, *options: str) -> tuple[int, str]:
    words = ("-m", "ipexlaunch", "batch", "--ninstances", "1", "--output", str(output))
    done = run(sys.executable, *words, *options)
    return done.returncode, done.stderr


def test_ratios_gives_up_the_note_without_text_and_does_the_others(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    code, words = batch(output, "--input", "examples/notes.jsonl", "--id-field", "id", "examples/ratios.py")
    assert code == 4, words
    assert {row["id"]: row["result"]["ratio"] for row in rows_of(output)} == {
        "a1": 1.05,
        "a2": 0.3,
        "a4": 1.2,
        "a5": 0.67,
    }
    (letter,) = rows_of(Path(f"{output}.dead.jsonl"))
    assert (letter["id"], letter["reason"]) == ("a3", "ZeroDivisionError: division by zero")


@pytest.mark.ipex
@pytest.mark.slow
def test_classify_gives_every_ticket_the_label_that_a_person_would(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    code, words = batch(
        output, "--python", ipex_python(), "--input", "examples/tickets.csv", "--id-field", "ticket",
        "--text-field", "text", "--keep-order", "examples/classify.py", "money", "passwords and accounts",
        "shipping and delivery", "broken software",
    )  # fmt: skip
    assert code == 0, words
    labels = [row["result"]["label"] for row in rows_of(output)]
    assert [labels[place] for place in (1, 2, 4, 6, 8, 9)] == [
        "passwords and accounts",
        "shipping and delivery",
        "broken software",
        "passwords and accounts",
        "shipping and delivery",
        "broken software",
    ]
