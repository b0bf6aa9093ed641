"""A disk that hangs under a job's files: limits and signals work all the same, and nothing is lost or there twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.check_results import problems_of
from tests.batch.hanging_disk import HangingDisk, hanging_disk, has_ended

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]

ITEMS = 2000

PROGRAM = """
import os, signal, time
from ipexlaunch import worker
number = 0
server, hangs_at, answers_at = (int(os.environ[name]) for name in ("SERVER", "HANGS_AT", "ANSWERS_AT"))
for batch in worker.batches():
    if number == hangs_at:
        os.kill(server, signal.SIGSTOP)
    if number == answers_at:
        os.kill(server, signal.SIGCONT)
    if hangs_at <= number < answers_at:
        time.sleep(0.002)  # so that a commit is begun meanwhile
    number += 1
    batch.done([item["n"] for item in batch.items])
if hangs_at == -1:
    os.kill(server, signal.SIGSTOP)
"""
"""Stops the disk before one of its batches, or once it is told that all is done and durable; may have it go on."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[HangingDisk]:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({"id": f"d{n}", "n": n}) + "\n" for n in range(ITEMS)))
    (tmp_path / "program.py").write_text(PROGRAM)
    with hanging_disk(tmp_path / "disk") as disk:
        if disk is None:
            pytest.skip("bindfs is not installed, or nothing may be mounted here")
        yield disk


IN = ("--input", "in.jsonl")
OUT = ("--output", "disk/out.jsonl")


def start(disk: HangingDisk, *options: str, hangs_at: int = -2, answers_at: int = -2) -> subprocess.Popen[str]:
    orders = {"SERVER": str(disk.server), "HANGS_AT": str(hangs_at), "ANSWERS_AT": str(answers_at)}
    return subprocess.Popen(
        [
            sys.executable, "-m", "ipexlaunch", "batch", "--id-field", "id", "--ninstances", "1", "--batch-size", "1",
            "--grace", "1", *options, "program.py",
        ],
        cwd=disk.path.parent, env={**os.environ, "PYTHONPATH": str(ROOT), **orders}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def end_of(process: subprocess.Popen[str], disk: HangingDisk, number: signal.Signals | None) -> tuple[int, str]:
    """Ask it to end once the disk hangs, and see that it does before the disk answers again; (exit code, what it said).

    Between the hang and the signal it may be anywhere.
    """
    disk.wait_until_it_hangs(process)
    if number is not None:
        process.send_signal(number)
    while not has_ended(process):
        time.sleep(0.01)
    disk.answer()
    _, said = process.communicate()
    return process.returncode, said


def finish(disk: HangingDisk, *options: str) -> None:
    process = start(disk, *IN, *OUT, "--resume", *options)
    _, said = process.communicate()
    assert process.returncode == 0, said
    problems = problems_of(disk.path.parent / "in.jsonl", disk.path / "out.jsonl", lambda item: item["n"])
    assert problems == []


@pytest.mark.parametrize(
    ("options", "number", "code"),
    [((), signal.SIGTERM, 143), ((), signal.SIGINT, 130), (("--timeout", "5"), None, 124)],
)
def test_a_commit_that_hangs_keeps_nobody_from_ending_the_job(
    disk: HangingDisk, options: tuple[str, ...], number: signal.Signals | None, code: int
) -> None:
    process = start(disk, *IN, *OUT, *options, hangs_at=ITEMS // 2)
    ended, said = end_of(process, disk, number)
    assert ended == code, said
    assert "INVALID: cannot write disk/out.jsonl: its disk has not answered for " in said
    assert "what was committed stays; once the disk answers: --resume" in said
    finish(disk)


def test_a_disk_that_answers_again_has_lost_nothing(disk: HangingDisk) -> None:
    """Of the batches between, a worker holds 32 at most: the others it gets while the commit hangs."""
    process = start(disk, *IN, *OUT, hangs_at=500, answers_at=1000)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert problems_of(disk.path.parent / "in.jsonl", disk.path / "out.jsonl", lambda item: item["n"]) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_output_that_cannot_be_finished_is_finished_later(disk: HangingDisk, number: signal.Signals) -> None:
    process = start(disk, *IN, *OUT, "--keep-order", hangs_at=-1)
    code, said = end_of(process, disk, number)
    assert code in (4, 128 + number), said  # the worker has still to end, or has
    assert "its disk has not answered for " in said
    finish(disk, "--keep-order")
    rows = [json.loads(line)["number"] for line in (disk.path / "out.jsonl").read_text().splitlines()]
    assert rows == list(range(ITEMS))


@pytest.mark.parametrize("options", [("--report", "disk/report.json"), ("--run-dir", "disk/run")])
def test_a_report_that_cannot_be_kept_is_shown(disk: HangingDisk, options: tuple[str, ...]) -> None:
    process = start(disk, *IN, "--output", "out.jsonl", *options, hangs_at=-1)
    code, said = end_of(process, disk, signal.SIGTERM)
    assert code == 2, said
    what = "write the report to disk/report.json" if options[0] == "--report" else "keep the run in its directory"
    assert f"ipexlaunch: cannot {what}: its disk has not answered for " in said
    assert f"{ITEMS} items done" in said


def test_an_input_that_hangs_keeps_nobody_from_ending_the_job(disk: HangingDisk) -> None:
    """The kernel has read ahead little of it when the first batches are done."""
    rows = ({"id": f"d{n}", "n": n, "pad": "x" * 20_000} for n in range(ITEMS))
    (disk.path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ("--input", "disk/in.jsonl", "--output", "out.jsonl", "--look-ahead", "16")
    process = start(disk, *words, hangs_at=5)
    code, said = end_of(process, disk, signal.SIGTERM)
    assert code == 143, said
    assert "items are left that were not done; continue with --resume" in said
    process = start(disk, *words, "--resume")
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert problems_of(disk.path / "in.jsonl", disk.path.parent / "out.jsonl", lambda item: item["n"]) == []
