"""Outputs that are closed, full, stopped or gone: runs end as they do otherwise, and say what could not be shown."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

LAUNCHER = [sys.executable, "-m", "ipexlaunch"]

COUNTING = """
import sys, time
from ipexlaunch import worker
worker.ready()
for number in range(20):
    worker.count()
    print("line", number, "x" * 1000, flush=True)
    time.sleep(0.01)
worker.finish()
"""

ENDLESS = """
import time
while True:
    print("x" * 1000, flush=True)
    time.sleep(0.001)
"""

LIMIT_S = 120.0
"""A hang names itself; the machine may be busy."""


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command line with `ipexlaunch` in it, as a user types it."""
    environment = {**os.environ, "IPEXLAUNCH": " ".join(LAUNCHER)}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command.replace('ipexlaunch', '$IPEXLAUNCH', 1)}"],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip


def written(folder: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


@pytest.mark.parametrize(
    ("redirection", "code", "lost", "said"),
    [
        (">/dev/full", 1, ["standard output could not be shown: No space left on device"], "stderr"),
        ("2>/dev/full", 1, ["standard error could not be shown: No space left on device"], "stdout"),
        (">/dev/full 2>&1", 1, ["standard output could not be", "standard error could not be"], ""),
        ("2>&1 | head -1", 1, ["standard output could not be shown: Broken pipe", "standard error could not"], ""),
        (">&-", 0, [], ""),
        ("2>&-", 0, [], ""),
        ("<&- >&- 2>&-", 0, [], ""),
    ],
)
def test_a_run_that_cannot_show_keeps_its_report_which_says_so(
    redirection: str, code: int, lost: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(COUNTING)
    kept = "--report report.json --run-dir kept"
    result = shell(f"ipexlaunch --ninstances 1 {kept} script.py {redirection}", tmp_path)
    assert result.returncode == code, result.stderr
    for report in (written(tmp_path), json.loads((tmp_path / "kept" / "report.json").read_text())):
        assert (report["exit_code"], report["valid"]) == (code, True)
        unshown = [warning for warning in report["warnings"] if "could not be shown" in warning]
        assert len(unshown) == len(lost)
        assert all(found.startswith(expected) for found, expected in zip(unshown, lost, strict=True))
    assert "Traceback" not in result.stderr + result.stdout
    for name, text in (("stdout", result.stdout), ("stderr", result.stderr)):
        assert ("could not be shown" in text) == (name == said)


@pytest.mark.parametrize("command", ["plan", "topology --format json", "--help", "plan --help", "doctor", "top"])
def test_a_document_that_cannot_be_shown_is_one_line_and_1(command: str, tmp_path: Path) -> None:
    full = shell(f"ipexlaunch {command} >/dev/full", tmp_path)
    assert full.returncode == 1, full.stderr
    assert full.stderr == "ipexlaunch: standard output could not be shown: No space left on device\n"
    closed = shell(f"ipexlaunch {command} >&-", tmp_path)
    assert closed.returncode in (0, 4), closed.stderr  # doctor finds what it finds
    assert "Traceback" not in closed.stderr


@pytest.mark.parametrize("command", ["topology --format json", "run --help", "topology --list"])
def test_a_document_whose_reader_has_gone_is_cut_off_without_a_word(command: str, tmp_path: Path) -> None:
    result = shell(f"(ipexlaunch {command}; echo $? >&2) | true", tmp_path)
    assert result.stderr == "1\n"


def test_a_mistake_keeps_its_code_where_it_cannot_be_told(tmp_path: Path) -> None:
    assert shell("ipexlaunch plan --ninstances 0 2>/dev/full", tmp_path).returncode == 2
    assert shell("ipexlaunch nothing.py 2>&-", tmp_path).returncode == 2


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-", "<&-"])
def test_a_job_whose_descriptors_were_closed_leaves_its_files_alone(closed: str, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": {i}, "text": "x"}}\n' for i in range(50)))
    (tmp_path / "job.py").write_text(
        "from ipexlaunch import worker\n"
        "for batch in worker.batches():\n    print('noise ' * 50, flush=True)\n    batch.done(batch.ids)\n"
    )
    job = "ipexlaunch batch --no-progress --ninstances 1 --input in.jsonl --output out.jsonl"
    assert shell(f"{job} job.py {closed}", tmp_path).returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(row["result"] for row in rows) == list(range(1, 51))
    again = shell(f"{job} --resume job.py", tmp_path)
    assert again.returncode == 0
    assert "all 50 items are done already" in again.stderr


def test_results_for_a_closed_pipe_are_refused(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id": 1, "text": "x"}\n')
    (tmp_path / "job.py").write_text("")
    result = shell("ipexlaunch batch --ninstances 1 --input in.jsonl --output - job.py >&-", tmp_path)
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1] == (
        "ipexlaunch: cannot write results to standard output: it is closed; name a file with --output"
    )


def test_a_pipe_that_nobody_reads_holds_up_neither_the_time_limit_nor_the_report(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("".join(f'{{"id": {i}, "text": "x"}}\n' for i in range(500)))
    (tmp_path / "job.py").write_text(
        "from ipexlaunch import worker\nfor batch in worker.batches(): batch.done(['x' * 10_000 for _ in batch.ids])\n"
    )
    reader, writer = os.pipe()
    command = ["batch", "--no-progress", "--ninstances", "1", "--input", "in.jsonl", "--output", "-", "--timeout", "4"]
    with subprocess.Popen(
        [*LAUNCHER, *command, "--report", "report.json", "job.py"],
        cwd=tmp_path,
        stdout=writer,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.wait(LIMIT_S) == 124
    os.close(writer)
    os.close(reader)
    report = written(tmp_path)
    assert report["exit_code"] == 124
    assert "standard output could not be shown: it took nothing for 5 s" in report["warnings"]


class Terminal:
    """A launcher on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.ours, self.theirs = os.openpty()
        self.process = subprocess.Popen(
            [*LAUNCHER, *arguments],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
            cwd=folder,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )

    def stop(self) -> None:
        """Ctrl-S."""
        termios.tcflow(self.theirs, termios.TCOOFF)

    def vanish(self) -> None:
        os.close(self.theirs)
        os.close(self.ours)

    def read_until(self, text: bytes) -> None:
        shown = b""
        while text not in shown:
            shown += os.read(self.ours, 1 << 16)


@pytest.mark.parametrize(("options", "number", "code"), [(("--timeout", "2"), 0, 124), ((), signal.SIGTERM, 143)])
@pytest.mark.parametrize("live", [(), ("--live",)])
def test_a_stopped_terminal_holds_up_neither_limits_nor_signals(
    options: tuple[str, ...], number: int, code: int, live: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(ENDLESS)
    terminal = Terminal(tmp_path, "--ninstances", "1", "--report", "report.json", *options, *live, "script.py")
    terminal.read_until(b"1 instance")
    terminal.stop()
    if number:
        time.sleep(1.5)  # what it prints fills the terminal meanwhile
        terminal.process.send_signal(number)
    assert terminal.process.wait(LIMIT_S) == code
    terminal.vanish()
    report = written(tmp_path)
    assert report["exit_code"] == code
    assert any("could not be shown: it took nothing" in warning for warning in report["warnings"])


@pytest.mark.parametrize("live", [(), ("--live",)])
def test_a_terminal_that_closes_ends_the_run_with_129_and_a_report(live: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"open('pid', 'w').write(str(__import__('os').getpid()))\n{ENDLESS}")
    terminal = Terminal(tmp_path, "--ninstances", "1", "--report", "report.json", *live, "script.py")
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        terminal.read_until(b"")
        time.sleep(0.01)
    terminal.vanish()
    assert terminal.process.wait(LIMIT_S) == 129
    report = written(tmp_path)
    assert report["exit_code"] == 129
    assert "the run was interrupted by SIGHUP" in report["reasons"]
    assert not Path("/proc", (tmp_path / "pid").read_text()).exists()


@pytest.mark.parametrize("command", ["--ninstances 1 script.py", "plan", "--help"])
def test_ctrl_c_at_any_moment_of_the_start_is_one_line_and_130(command: str, tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import time; time.sleep(60)")
    for number in range(10):
        process = subprocess.Popen(
            [*LAUNCHER, *command.split()], cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(number * 0.03)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=LIMIT_S)
        if process.returncode not in (130, 0) or "Traceback" in stderr:
            # Before our first statement (or at it): the interpreter's own start is out of our hands.
            assert process.returncode in (1, -signal.SIGINT)
            assert not re.search(r"ipexlaunch/(?!__init__|__main__)\w+", stderr)
        elif process.returncode == 130 and "instance" not in stderr:
            assert stderr == "ipexlaunch: interrupted\n"
        else:
            assert process.returncode == 130 or "script" not in command


def test_an_expression_that_backtracks_does_not_hold_the_launcher_up(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("print('aab3'); print('a' * 4000, flush=True)")
    result = shell(
        r"ipexlaunch --ninstances 1 --report report.json --throughput-regex '(a+)+b(?P<items>\d+)' script.py", tmp_path
    )
    assert result.returncode == 4, result.stderr
    reasons = written(tmp_path)["reasons"]
    assert [reason for reason in reasons if "takes too long" in reason and "aaaa" in reason]


def test_a_number_that_cannot_be_counted_makes_the_run_invalid_and_is_shown(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("for n in (1, 5): print(f'processed {n},000')")
    result = shell(
        r"ipexlaunch --ninstances 1 --report report.json --throughput-regex 'processed (?P<total>\d+)' script.py",
        tmp_path,
    )
    assert result.returncode == 4, result.stderr
    found = "instance 0: --throughput-regex found what it cannot count: it ends inside a number: 'processed 1,000'"
    assert found in written(tmp_path)["reasons"]
