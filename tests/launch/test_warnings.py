"""SIGUSR1, with which schedulers warn of the end: it kills nothing, is never lost, and ends a run with a report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipexlaunch.measure.report import read_report

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]

COUNT = min(2, len(os.sched_getaffinity(0)))

SLEEPS = """
import os, pathlib, time
from ipexlaunch import worker
worker.split()
pathlib.Path(f"started-{os.getpid()}").touch()
time.sleep(600)
"""

LISTENS = """
import os, pathlib, signal, time
def note(number, frame):
    pathlib.Path(f"heard-{os.getpid()}").touch()
signal.signal(signal.SIGUSR1, note)
pathlib.Path(f"started-{os.getpid()}").touch()
time.sleep(600)
"""

IGNORED = """
while read word value; do case $word in SigIgn:|SigBlk:) echo $word $value ;; esac; done < /proc/self/status
"""


def begin(folder: Path, script: str, *options: str) -> subprocess.Popen[str]:
    (folder / "script.py").write_text(script)
    words = ["--ninstances", str(COUNT), "--report", "report.json", "--grace", "5", *options, "script.py"]
    return subprocess.Popen(
        [sys.executable, "-m", "ipexlaunch", *words], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def named(folder: Path, what: str) -> list[int]:
    return [int(path.name.partition("-")[2]) for path in folder.glob(f"{what}-*")]


@pytest.mark.parametrize("options", [(), ("--share-start", "imports"), ("--share-start", "model")])
def test_it_ends_a_run_with_its_report_and_kills_no_worker_however_that_was_started(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    process = begin(tmp_path, SLEEPS, *options)
    wait_until(lambda: len(named(tmp_path, "started")) == COUNT)
    for _ in range(20):
        for pid in named(tmp_path, "started"):
            os.killpg(pid, signal.SIGUSR1)
            os.killpg(pid, signal.SIGUSR2)
        process.send_signal(signal.SIGUSR2)
    for _ in range(20):
        process.send_signal(signal.SIGUSR1)
    _, words = process.communicate(timeout=60)
    report = read_report((tmp_path / "report.json").read_text(), "report.json")
    assert process.returncode == report.exit_code == 75, words
    assert report.reasons == ("the run was interrupted by SIGUSR1",)
    assert report.failures == ()
    assert [each.exit for each in report.instances] == [128 + signal.SIGTERM] * COUNT
    assert words.count("SIGUSR1: stopping") == 1


def test_a_program_that_wants_it_gets_it(tmp_path: Path) -> None:
    process = begin(tmp_path, LISTENS)
    wait_until(lambda: len(named(tmp_path, "started")) == COUNT)
    for pid in named(tmp_path, "started"):
        os.kill(pid, signal.SIGUSR1)
    wait_until(lambda: sorted(named(tmp_path, "heard")) == sorted(named(tmp_path, "started")))
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_whatever_a_worker_is_it_begins_with_both_ignored_and_none_blocked(tmp_path: Path) -> None:
    process = begin(tmp_path, IGNORED, "--log-dir", "logs", "--no-python", "sh")
    _, words = process.communicate(timeout=60)
    assert process.returncode == 0, words
    said = dict(line.split() for line in next((tmp_path / "logs").glob("*.log")).read_text().splitlines())
    both = 1 << (signal.SIGUSR1 - 1) | 1 << (signal.SIGUSR2 - 1)
    assert int(said["SigIgn:"], 16) & both == both
    assert int(said["SigBlk:"], 16) == 0


def test_one_that_comes_before_the_run_is_not_lost(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SLEEPS)
    code = (
        "import os, signal, sys\n"
        "import ipexlaunch.cli.main as cli\n"
        "begin = cli.main\n"
        "def warned(): os.kill(os.getpid(), signal.SIGUSR1); return begin()\n"
        "cli.main = warned\n"
        "from ipexlaunch.__main__ import main\n"
        "sys.argv = ['ipexlaunch', '--ninstances', '1', '--report', 'report.json', 'script.py']\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stderr=subprocess.PIPE, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 75, done.stderr
    assert "SIGUSR1: stopping" in done.stderr
    assert (tmp_path / "report.json").exists()
