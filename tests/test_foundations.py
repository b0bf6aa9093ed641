"""What tests/conftest.py promises to every test, however the tests were started and whoever starts them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.process

SIGNALS = """
import subprocess, sys

def test_a_child_of_a_test_begins_with_the_default_signals():
    ask = "import signal as s; print(*(n.name for n in s.Signals if s.getsignal(n) is s.SIG_IGN), s.pthread_sigmask(0, ()))"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == "SIGPIPE SIGXFSZ set()\\\\n"
"""  # noqa: E501  # one line of the test
HANG = """
import time

def test_hangs_for_ever(): time.sleep(3600)

def test_runs_all_the_same(): pass
"""
HOME = """
import os

def test_leaves_something():
    for name in ("HOME", "XDG_RUNTIME_DIR"):
        assert os.environ[name] != {forbidden!r}
    with open(os.path.expanduser("~/left"), "w") as file:
        file.write("x")
"""
DEVICE = """
import os

def test_harms(tmp_path):
    (tmp_path / "null").touch()
    os.devnull = str(tmp_path / "null")

def test_harms_no_more():
    os.devnull = "/dev/null"
"""


def run_pytest(directory: Path, text: str, *words: str, prefix: tuple[str, ...] = (), **variables: str) -> str:
    """What pytest says of a file of its own, under our conftest; it may fail."""
    (directory / "pytest.ini").write_text("[pytest]\nmarkers =\n  guest: x\n")
    (directory / "test_sample.py").write_text(text.replace("\\\\n", "\\n"))
    command = [*prefix, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.conftest"]
    done = subprocess.run(
        [*command, *words, "-c", str(directory / "pytest.ini"), str(directory)],
        cwd=CHECKOUT, env={**os.environ, **variables}, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "prefix", [(), ("sh", "-c", 'trap "" INT HUP QUIT TERM; exec "$@"', "sh"), ("nohup", "setsid")]
)
def test_signals_are_those_of_a_terminal(tmp_path: Path, prefix: tuple[str, ...]) -> None:
    assert "1 passed" in run_pytest(tmp_path, SIGNALS, prefix=prefix)


def test_blocked_signals_are_unblocked(tmp_path: Path) -> None:
    block = "import os, signal, sys; signal.pthread_sigmask(0, {signal.SIGINT}); os.execvp(sys.argv[1], sys.argv[1:])"
    assert "1 passed" in run_pytest(tmp_path, SIGNALS, prefix=(sys.executable, "-c", block))


def test_a_hang_names_itself_and_the_next_test_runs(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, HANG, "--timeout", "1")
    assert "FAILED" in said
    assert "test_hangs_for_ever" in said
    assert "1 failed, 1 passed" in said


def test_the_users_folders_are_not_touched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    text = HOME.format(forbidden=str(home))
    (tmp_path / "sample").mkdir()
    said = run_pytest(tmp_path / "sample", text, HOME=str(home), XDG_RUNTIME_DIR=str(home), XDG_CACHE_HOME=str(home))
    assert "1 passed" in said
    assert list(home.iterdir()) == []


def test_whoever_replaces_the_null_device_fails_itself(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, DEVICE)
    assert "this test replaced /dev/null" in said
    assert "2 passed, 1 error" in said
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_the_installed_package_is_tested_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "ipexlaunch").mkdir()
    (tmp_path / "ipexlaunch/__init__.py").write_text('__version__ = "0"\n')
    (tmp_path / "sample").mkdir()
    path = f"{tmp_path}:{CHECKOUT}"
    command = f"cd {tmp_path}; exec {sys.executable} -m pytest -q -p no:cacheprovider -p tests.conftest sample"
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    environment = {**os.environ, "PYTHONPATH": path, "IPEXLAUNCH_TESTED": "installed"}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"{tmp_path}/ipexlaunch was imported" in done.stderr


def test_this_process_can_be_interrupted() -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
