"""`shards`: words that are none, jobs and shards that are others than they were, places that are gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ipexlaunch.cli.main import main
from ipexlaunch.cli.shards.shared_choice import _read
from tests.batch.shards.shard_jobs import DOUBLE
from tests.errors.provoke import Row, limited

PLACES = ("cli/shards/",)

A = {"a.py": DOUBLE, "i.jsonl": '{"n": 1}\n{"n": 2}\n'}
MAKE = "shards make d --input i.jsonl --output o.jsonl --shards 2"
RUN = "shards run d --index 0 --no-progress"


def made(words: str, change: Callable[[], object] | None = None, more: str = "", **variables: str) -> Row:
    """A command about a job, after something was changed."""

    def prepare() -> None:
        assert main([*MAKE.split(), "--ninstances", "1", *more.split(), "a.py"]) == 0
        if change:
            change()

    return Row(words, A, variables, before=prepare)


def edited(old: str, new: str) -> Callable[[], None]:
    """The job with another word."""

    def change() -> None:
        job = Path("d/job.yaml")
        text = job.read_text(encoding="utf-8")
        assert old in text
        job.write_text(text.replace(old, new), encoding="utf-8")

    return change


def _run_and(change: Callable[[], object]) -> Callable[[], None]:
    def act() -> None:
        assert main(RUN.split()) == 0
        change()

    return act


def _shard_done_but_not_committed() -> None:
    assert main([*MAKE.split(), "--ninstances", "1", "a.py"]) == 0
    assert main(RUN.split()) == 0
    os.unlink("d/done-00000")


def _taken_over_without_room() -> int:
    return limited(4000, lambda: main(RUN.split()))


def _all_done_and_output_below_a_file() -> None:
    for index in "01":
        assert main(f"shards run d --index {index} --no-progress".split()) == 0
    edited("/o.jsonl", "/f/o.jsonl")()
    Path("f").write_text("")


ROWS = [
    # words
    Row("shards make --input i.jsonl a.py", A),
    Row("shards make d --input i.jsonl --resume a.py", A),
    Row("shards make d a.py", A),
    Row("shards make d --input i.jsonl --output '' a.py", A),
    Row("shards make d --input i.jsonl --shards 2 --hosts 2 a.py", A),
    Row("shards make d --input i.jsonl --shards 2", A),
    Row("shards make d --input i.jsonl --shards 2 --no-python --module a.py", A),
    Row("shards make d --input - --output o.jsonl a.py", A, stdin=b""),
    Row("shards make d --input i.jsonl --output - a.py", A),
    Row(f"{MAKE} a.py", {**A, "o.jsonl": ""}),
    Row("shards make f/d --input i.jsonl --output o.jsonl a.py", {**A, "f": ""}),
    made("shards run d", SLURM_ARRAY_TASK_ID="", JOB_COMPLETION_INDEX=""),
    # changes
    made(RUN, lambda: Path("i.jsonl").write_text('{"n": 3}\n{"n": 4}\n{"n": 5}\n')),
    made(RUN, lambda: os.unlink("i.jsonl")),
    made(RUN, lambda: Path("a.py").write_text(DOUBLE + "#")),
    made(RUN, lambda: os.unlink("a.py")),
    made(RUN, edited("\ndirectory: ", "\ndirectory: /nowhere")),
    made(RUN, _run_and(edited("a.py", "b.py"))),
    made(RUN, more="--env A_TOKEN=abcdefghijklmnop"),
    made("shards merge d", _all_done_and_output_below_a_file),
    Row(
        _taken_over_without_room,
        {**A, "i.jsonl": '{"n": 1}\n' * 400},
        before=_shard_done_but_not_committed,
        name="shards run (no room)",
    ),
    # engines
    made("shards submit d --engine ray"),
    made(
        "shards submit d --engine kubernetes --engine-option image=x --engine-option host-path=/",
        more="--ninstances 999",
    ),
    Row(lambda: _read("{}", "x"), name="SharedChoice(a file that names none)"),
]

ELSEWHERE: dict[str, str] = {}
