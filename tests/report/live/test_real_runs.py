"""The live view, `top` and the metrics of real runs, as users type them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

pytestmark = pytest.mark.process

REPOSITORY = Path(__file__).parents[3]

WORK = """
import os, time
from ipexlaunch import worker
memory = bytearray(32 << 20)
memory[::4096] = b"x" * len(memory[::4096])
worker.ready()
worker.count(items=500, tokens=7)
print("\\x1b[31mcounted\\x1b[0m 日本語", flush=True)
time.sleep(0.5)
worker.count(items=500)
while not os.path.exists("end"):
    time.sleep(0.05)
print(worker.finish())
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ipexlaunch", *arguments]


class Run:
    """A run of one worker that goes on until it is told to end."""

    def __init__(self, directory: Path, *options: str) -> None:
        self.directory = directory
        (directory / "work.py").write_text(WORK)
        session = directory / "session"
        session.mkdir()
        # No run of anybody else's is seen, nor ours by others: the user's own directories are looked at last.
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
            "PYTHONPATH": str(REPOSITORY),
            "XDG_RUNTIME_DIR": str(session),
        }
        self.process = subprocess.Popen(
            command("--ninstances", "1", *options, "work.py", "an argument"),
            cwd=directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def until_counted(self) -> None:
        """Wait for the worker's first line."""
        assert self.process.stdout is not None
        assert "counted" in self.process.stdout.readline()

    def end(self) -> str:
        """Let it end, and give what it told."""
        (self.directory / "end").touch()
        _, told = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, told
        return told

    def top(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command("top", *options), capture_output=True, text=True, env=self.environment, timeout=60, check=False
        )

    def mine(self) -> dict[str, Any]:
        """What `top --format json` tells of this run."""
        result = self.top("--once", "--format", "json")
        assert result.returncode == 0, result.stderr
        runs = [run for run in json.loads(result.stdout)["runs"] if run["pid"] == self.process.pid]
        assert len(runs) <= 1
        return runs[0] if runs else {}


@pytest.fixture
def directory(short_path: Path) -> Iterator[Path]:
    yield short_path
    (short_path / "end").touch()


def test_top_tells_what_a_run_does_and_forgets_it_when_it_has_ended(directory: Path) -> None:
    run = Run(directory, "--local-pages", "0.9")
    run.until_counted()
    told = run.mine()
    assert told["local_share_required"] == 0.9
    assert told["program"] == "work.py 'an argument'"
    (worker,) = told["workers"]
    assert worker["phase"] == "running"
    assert worker["last_line"] == "\x1b[31mcounted\x1b[0m 日本語"
    assert worker["cpu_s"] > 0
    assert worker["busy_cpus"] < 2
    assert sum(worker["memory_bytes_by_node"].values()) > 32 << 20
    assert worker["proportional_memory_bytes"] > 32 << 20
    table = run.top()
    assert f"launcher {run.process.pid}: work.py 'an argument'" in table.stdout
    assert "counted 日本語" in table.stdout
    assert "\x1b" not in table.stdout
    run.end()
    assert run.mine() == {}
    assert list((directory / "session/ipexlaunch").iterdir()) == []


def test_top_leaves_out_a_launcher_that_was_killed(directory: Path) -> None:
    run = Run(directory)
    run.until_counted()
    run.process.send_signal(signal.SIGKILL)
    run.process.communicate(timeout=60)
    assert len(list((directory / "session/ipexlaunch").iterdir())) == 1
    assert run.mine() == {}
    assert list((directory / "session/ipexlaunch").iterdir()) == []


def figures(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Metric name to labels (sorted by name, without `run`) to value."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation, family.name
        for sample in family.samples:
            labels = {name: value for name, value in sample.labels.items() if name != "run"}
            found.setdefault(sample.name, {})[tuple(labels[name] for name in sorted(labels))] = sample.value
    return found


def test_metrics_are_served_while_the_run_lasts(directory: Path) -> None:
    run = Run(directory, "--metrics-port", "0")
    assert run.process.stderr is not None
    line = run.process.stderr.readline()
    assert line.startswith("ipexlaunch: metrics on http://127.0.0.1:")
    url = line.split()[-1]
    run.until_counted()
    for _ in range(1000):  # counts are gathered for a moment before they are sent
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
            text = answer.read().decode()
        found = figures(text)
        if found["ipexlaunch_items_total"][("0",)] == 1000:
            break
    assert found["ipexlaunch_tokens_total"] == {("0",): 7}
    assert found["ipexlaunch_instance_phase"][("0", "running")] == 1
    assert sum(found["ipexlaunch_instance_phase"].values()) == 1
    assert found["ipexlaunch_cpu_seconds_total"][("0",)] > 0
    assert sum(found["ipexlaunch_memory_bytes"].values()) > 32 << 20
    assert sum(found["ipexlaunch_proportional_memory_bytes"].values()) > 32 << 20
    assert found["ipexlaunch_failures_total"] == {(): 0}
    assert 'run="work.py"' in text
    with urllib.request.urlopen(url, timeout=30) as answer:
        again = figures(answer.read().decode())
    assert again["ipexlaunch_elapsed_seconds"][()] > found["ipexlaunch_elapsed_seconds"][()]
    assert ("0",) in again["ipexlaunch_busy_cpus"]
    run.end()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)


def test_the_metrics_file_has_the_last_figures_and_no_rest_beside_it(directory: Path) -> None:
    run = Run(directory, "--metrics-file", "night.prom")
    run.until_counted()
    run.end()
    text = (directory / "night.prom").read_text()
    found = figures(text)
    assert found["ipexlaunch_items_total"] == {("0",): 1000}
    assert found["ipexlaunch_instance_phase"][("0", "exited")] == 1
    assert found["ipexlaunch_exit_code"] == {("0",): 0}
    assert 'run="night"' in text
    assert [path.name for path in directory.glob("*.prom*")] == ["night.prom"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--metrics-file", "x.txt"], ["x.txt", ".prom"]),
        (["--metrics-file", "/proc/missing/x.prom"], ["/proc/missing"]),
        (["--metrics-port", "70000"], ["--metrics-port", "70000"]),
        (["--metrics-port", "0", "--metrics-address", "192.0.2.1"], ["192.0.2.1", "--metrics-address"]),
    ],
)
def test_a_mistake_in_the_options_is_one_line_before_anything_starts(
    directory: Path, options: list[str], words: list[str]
) -> None:
    run = Run(directory, *options)
    out, told = run.process.communicate(timeout=60)
    assert run.process.returncode == 2
    assert out == ""
    assert len(told.splitlines()) == 1
    assert all(word in told for word in words), told


def test_a_missing_client_is_told_with_the_command_that_installs_it(directory: Path) -> None:
    hidden = directory / "hidden"
    hidden.mkdir()
    (hidden / "prometheus_client.py").write_text("raise ImportError('hidden')\n")
    (directory / "work.py").write_text(WORK)
    for options in (["--metrics-port", "0"], ["--metrics-file", "x.prom"]):
        result = subprocess.run(
            command("--ninstances", "1", *options, "work.py"),
            capture_output=True,
            text=True,
            cwd=directory,
            env={**os.environ, "PYTHONPATH": f"{hidden}:{REPOSITORY}"},
            timeout=60,
            check=False,
        )
        assert result.returncode == 2
        assert result.stderr.splitlines() == [
            "ipexlaunch: cannot export metrics: prometheus_client is not installed beside ipexlaunch; "
            f"{sys.executable} -m pip install 'ipexlaunch[metrics]'"
        ]


def test_without_the_options_nothing_of_it_is_loaded(directory: Path) -> None:
    (directory / "end").touch()
    (directory / "work.py").write_text(WORK)
    result = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "ipexlaunch", "--ninstances", "1", "--no-python", "true"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=60,
        check=True,
    )
    loaded = result.stderr[: result.stderr.index("ipexlaunch: 1 instance")]  # what shows the report comes later
    assert "ipexlaunch.report.live.serve_status" in loaded
    for heavy in (
        "prometheus_client",
        "psutil",
        "rich",
    ):
        assert f" {heavy}\n" not in loaded, heavy


class Terminal:
    """A pseudo terminal of 80 columns with the program in it."""

    def __init__(self, directory: Path, *words: str, **variables: str) -> None:
        (directory / "work.py").write_text(WORK)
        self.shown = b""
        self.descriptor, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command(*words),
            cwd=directory,
            env={**inherited, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color", **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        self.pid = self.process.pid
        os.close(theirs)

    def until(self, wanted: bytes) -> None:
        """Read until this is shown."""
        while wanted not in self.shown:
            ready, _, _ = select.select([self.descriptor], [], [], 60)
            assert ready, self.shown
            try:
                self.shown += os.read(self.descriptor, 65536)
            except OSError:  # EIO: the other end is closed
                raise AssertionError(self.shown) from None

    def end(self) -> int:
        """Read the rest and give the exit code."""
        while True:
            try:
                data = os.read(self.descriptor, 65536)
            except OSError:
                break
            if not data:
                break
            self.shown += data
        os.close(self.descriptor)
        return self.process.wait(60)


def test_on_a_terminal_the_table_is_drawn_and_the_output_is_kept(directory: Path) -> None:
    terminal = Terminal(directory, "--live", "--ninstances", "1", "--log-dir", "logs", "work.py")
    terminal.until(b"counted \xe6\x97\xa5")
    terminal.until(b"1,000 items")
    (directory / "end").touch()
    assert terminal.end() == 0
    text = terminal.shown.decode()
    assert "the workers' output goes to logs" in text
    assert "[0] \x1b[31mcounted" not in text, "the prefixed lines do not tear the table"
    assert "\x1b[?25h" in text, "the cursor is shown again"
    assert "VALID" in text[text.rindex("\x1b[?25h") :], "the report follows"
    (log,) = (directory / "logs").iterdir()
    assert "\x1b[31mcounted\x1b[0m 日本語" in log.read_text()


def test_without_a_log_directory_the_output_is_kept_beside(directory: Path) -> None:
    (directory / "end").touch()
    terminal = Terminal(directory, "--live", "--ninstances", "1", "work.py", TMPDIR=str(directory))
    assert terminal.end() == 0
    (kept,) = directory.glob("ipexlaunch-*")
    assert f"the workers' output goes to {kept}" in terminal.shown.decode().replace("\r\n", "")
    assert len(list(kept.iterdir())) == 1


def test_no_color_is_obeyed(directory: Path) -> None:
    (directory / "end").touch()
    terminal = Terminal(directory, "--live", "--ninstances", "1", "--log-dir", "logs", "work.py", NO_COLOR="1")
    assert terminal.end() == 0
    assert b"\x1b[3" not in terminal.shown
    assert b"exited" in terminal.shown


def test_a_message_stands_above_the_table(directory: Path) -> None:
    terminal = Terminal(directory, "--live", "--ninstances", "1", "--log-dir", "logs", "--no-python", "sleep", "100")
    terminal.until(b"started")
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 143
    assert b"SIGTERM: stopping 1 worker" in terminal.shown
    assert b"INVALID" in terminal.shown


def test_a_stopped_terminal_does_not_hold_the_run_up(directory: Path) -> None:
    """Nobody reads the terminal and its buffer is full: the run goes on and answers who asks."""
    session = directory / "session"
    session.mkdir()
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_RUNTIME_DIR": str(session)}
    words = ["--live", "--ninstances", "1", "--log-dir", "logs", "--no-python", "sleep", "100"]
    terminal = Terminal(directory, *words, XDG_RUNTIME_DIR=str(session))
    terminal.until(b"started")
    other_end = os.open(f"/proc/{terminal.pid}/fd/2", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    with contextlib.suppress(BlockingIOError):
        while os.write(other_end, b"x" * 100):
            pass

    def elapsed_s() -> float:
        told = subprocess.run(command("top", "--format", "json"), env=environment, stdout=subprocess.PIPE, check=True)
        runs = {run["pid"]: run for run in json.loads(told.stdout)["runs"]}
        value = runs[terminal.pid]["elapsed_s"]
        assert isinstance(value, float)
        return value

    first = elapsed_s()
    assert elapsed_s() > first, "several pictures were due meanwhile"
    os.close(other_end)
    os.kill(terminal.pid, signal.SIGTERM)
    assert terminal.end() == 143


def test_a_dumb_terminal_gets_lines(directory: Path) -> None:
    (directory / "end").touch()
    terminal = Terminal(directory, "--live", "--ninstances", "1", "work.py", TERM="dumb")
    assert terminal.end() == 0
    assert b"\x1b[?25l" not in terminal.shown
    assert b"[0] \x1b[31mcounted" in terminal.shown, "the output is shown as ever"


def test_top_on_a_terminal_refreshes_until_the_run_has_ended(directory: Path) -> None:
    run = Run(directory)
    run.until_counted()
    terminal = Terminal(directory, "top", "--interval", "0.2", XDG_RUNTIME_DIR=run.environment["XDG_RUNTIME_DIR"])
    terminal.until(f"launcher {run.process.pid}".encode())
    terminal.until(b"1,000 items")
    os.kill(terminal.pid, signal.SIGINT)
    assert terminal.end() == 0
    assert b"\x1b[?1049l" in terminal.shown, "the screen is as it was before"
    run.end()
