"""`ipexlaunch batch` that is warned of its end, as Slurm does: what is held is finished, another run does the rest."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.launch.hold_place import hold_place
from ipexlaunch.measure.report import Report, read_report
from tests.batch.check_results import problems_of, rows_of
from tests.batch.test_batch_command import (
    DOUBLE,
    ROOT,
    doubled,
    rows_are_written,
    run,
    start,
    wait_until,
    workers_of,
    write_input,
)

pytestmark = pytest.mark.process

WAITING = """
import os, time
from ipexlaunch import worker
for number, batch in enumerate(worker.batches()):
    while number and not os.path.exists("go"):
        time.sleep(0.005)
    batch.done([2 * item["n"] for item in batch.items])
"""
"""Does one batch, and waits within the next until there is a file "go"."""

LOADING = """
import pathlib, time
from ipexlaunch import worker
pathlib.Path("loading").touch()
time.sleep(600)
"""


def begun(folder: Path, *options: str) -> subprocess.Popen[str]:
    """A job of which something is done, and every worker is within a batch."""
    process = start(folder, WAITING, "--batch-size", "8", *options)
    wait_until(rows_are_written(folder))
    return process


def end_of(process: subprocess.Popen[str], folder: Path) -> tuple[int, str, Report]:
    (folder / "go").touch()
    _, words = process.communicate(timeout=120)
    return process.returncode, words, read_report((folder / "report.json").read_text(), "report.json")


def warn(process: subprocess.Popen[str]) -> None:
    """As Slurm does: the launcher and whatever it has started, each process of it."""
    for pid in workers_of(process.pid):
        os.killpg(pid, signal.SIGUSR1)
        os.killpg(pid, signal.SIGUSR2)
    process.send_signal(signal.SIGUSR1)


def test_what_is_held_is_finished_and_the_line_of_the_report_does_the_rest(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1000)
    process = begun(tmp_path, "--env", "API_KEY=hidden")
    warn(process)
    warn(process)
    code, words, report = end_of(process, tmp_path)
    assert code == report.exit_code == 75, words
    assert "SIGUSR1: nothing more is given" in words
    assert words.count("SIGUSR1") == 1
    assert "killed" not in words
    done = len(rows_of(tmp_path / "out.jsonl"))
    assert report.batch is not None
    assert report.batch.drained
    assert report.batch.items_left == 1000 - done > 0
    assert report.batch.requeued == 0
    assert f"drained, {1000 - done} items are left; to resume: " in report.reasons[0]
    assert "hidden" not in report.reasons[0]
    line = shlex.split(report.reasons[0].partition("to resume: ")[2].replace("API_KEY=***", "API_KEY=hidden"))
    assert line[:3] == ["ipexlaunch", "batch", "--resume"]
    again = subprocess.run(
        [sys.executable, "-m", *line], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


@pytest.mark.parametrize("options", [(), ("--share-start", "imports")])
def test_the_end_that_is_asked_for_comes_at_once_though_it_drains(tmp_path: Path, options: tuple[str, ...]) -> None:
    given = write_input(tmp_path, 1000)
    process = begun(tmp_path, *options)
    warn(process)
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=120)
    assert process.returncode == 143, words
    (tmp_path / "go").touch()
    assert run(tmp_path, WAITING, "--resume", *options)[0] == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_the_first_sigterm_drains_where_that_is_asked_for_and_the_second_ends(tmp_path: Path) -> None:
    write_input(tmp_path, 1000)
    process = begun(tmp_path, "--drain-on-term")
    process.send_signal(signal.SIGTERM)
    code, words, report = end_of(process, tmp_path)
    assert code == 75, words
    assert report.batch is not None
    assert report.batch.drained
    (tmp_path / "go").unlink()
    process = start(tmp_path, WAITING, "--overwrite", "--drain-on-term", "--batch-size", "8")
    wait_until(lambda: len(workers_of(process.pid)) and rows_are_written(tmp_path)())
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    while "nothing more is given" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 143


def test_who_loads_when_the_warning_comes_is_not_waited_for(tmp_path: Path) -> None:
    write_input(tmp_path, 40)
    process = start(tmp_path, LOADING)
    wait_until((tmp_path / "loading").exists)
    process.send_signal(signal.SIGUSR1)
    code, words, report = end_of(process, tmp_path)
    assert code == 75, words
    assert report.reasons[0].startswith("drained, about 40 items are left; to resume: ")
    (tmp_path / "program.py").unlink()
    assert run(tmp_path, DOUBLE)[0] == 0  # nothing had been begun


def test_a_job_of_which_nothing_is_left_is_done(tmp_path: Path) -> None:
    given = write_input(tmp_path, 3)
    process = start(tmp_path, WAITING, "--batch-size", "1", "--ninstances", "1")
    wait_until(rows_are_written(tmp_path))
    (tmp_path / "go").touch()
    wait_until(lambda: len(rows_of(tmp_path / "out.jsonl")) == 3)
    process.send_signal(signal.SIGUSR1)
    code, words, report = end_of(process, tmp_path)
    assert code == 0, words
    assert report.valid
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_items_of_a_worker_that_dies_meanwhile_are_left_too(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1000)
    process = begun(tmp_path)
    process.send_signal(signal.SIGUSR1)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    code, words, _ = end_of(process, tmp_path)
    assert code == 75, words
    assert run(tmp_path, WAITING, "--resume", "--batch-size", "8")[0] == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_a_pipe_cannot_be_gone_on_with_and_trying_again_would_not_do(tmp_path: Path) -> None:
    write_input(tmp_path, 1000)
    process = start(tmp_path, WAITING, "--batch-size", "8", "--output", "/dev/stderr")
    assert process.stderr is not None
    while '"result"' not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGUSR1)
    code, words, report = end_of(process, tmp_path)
    assert code == 4, words
    assert "lost with the pipe" in report.reasons[0]


def holder(folder: Path, **other: Any) -> Path:
    """What a launcher leaves that was killed, or lives, somewhere else."""
    path = folder / ".out.jsonl.held"
    hold = hold_place(str(path), "x", "y")
    said = {**json.loads(path.read_text()), **other}
    hold.release()
    path.write_text(json.dumps(said))
    return path


@pytest.mark.parametrize("options", [(), ("--overwrite",), ("--resume",)])
def test_an_output_that_a_launcher_on_another_host_has_is_refused_until_it_is_taken_over(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    given = write_input(tmp_path, 20)
    held = holder(tmp_path, host="node7", machine="another", boot="another", pid=4242)
    before = held.read_text()
    code, words = run(tmp_path, DOUBLE, *options)
    assert code == 75, words
    assert "launcher 4242 on node7 is at work there since" in words
    assert "if that one is dead: --take-over" in words
    assert held.read_text() == before
    assert not (tmp_path / "out.jsonl.ledger").exists()
    code, words = run(tmp_path, DOUBLE, *options, "--take-over")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []
    assert not held.exists()


def test_a_launcher_of_this_host_that_lives_is_not_taken_over(tmp_path: Path) -> None:
    write_input(tmp_path, 1000)
    process = begun(tmp_path)
    program = (tmp_path / "program.py").read_text()
    code, words = run(tmp_path, program, "--resume", "--take-over", "--report", "other.json")
    assert code == 75, words
    assert f"launcher {process.pid} on " in words
    assert "--take-over" not in words
    assert end_of(process, tmp_path)[0] == 0


def test_a_dead_launcher_of_this_host_is_replaced(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1000)
    process = begun(tmp_path)
    process.kill()
    process.communicate(timeout=120)
    assert (tmp_path / ".out.jsonl.held").exists()
    (tmp_path / "go").touch()
    assert run(tmp_path, WAITING, "--resume")[0] == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []
    assert not (tmp_path / ".out.jsonl.held").exists()
