"""What the system refuses to a launcher (descriptors, processes, threads, a directory) is one line with a remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.launch.process_failures import remedy_of

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
NOBODYS = 54321
"""A user of whom nothing runs."""


def launched(folder: Path, limit: str, *words: str, start: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*start, "bash", "-c", f'{limit} && exec "$@"', "-", sys.executable, "-B", "-m", "ipexlaunch", *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120
    )


RUN = ("--ninstances", "1", "--run-dir", "kept", "--no-python", "true")


def test_too_few_descriptors_for_any_number_of_them(tmp_path: Path) -> None:
    codes = set()
    for most in range(10, 40, 2):
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        done = launched(tmp_path, f"ulimit -n {most}", *RUN)
        codes.add(done.returncode)
        assert done.returncode in (0, 2, 126), done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "Too many open files" in done.stderr
            assert "allow more open files (ulimit -n)" in done.stderr
        assert (tmp_path / "kept").exists() == (done.returncode != 2), "what was never begun leaves no trace"
    assert {0, 2} <= codes


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="it takes another user's place")
def test_too_few_processes_for_any_number_of_them(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    # Another user, who may look into the directories of the tests.
    caps = "+dac_override,+dac_read_search"
    start = ("setpriv", f"--reuid={NOBODYS}", "--clear-groups", f"--inh-caps={caps}", f"--ambient-caps={caps}")
    codes = set()
    for most in range(1, 10):
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        done = launched(tmp_path, f"ulimit -u {most}", *RUN, start=start)
        codes.add(done.returncode)
        assert done.returncode in (0, 2, 126), done.stderr
        assert "Traceback" not in done.stderr
        if done.returncode:
            assert "allow more processes and threads (ulimit -u" in done.stderr
        if most == 1:
            plan = launched(tmp_path, f"ulimit -u {most}", "plan", start=start)
            assert (plan.returncode, plan.stderr) == (0, "")
            assert "idle: " in plan.stdout
        assert (tmp_path / "kept").exists() == (done.returncode != 2), "what was never begun leaves no trace"
    assert codes == {0, 2, 126}


@pytest.mark.parametrize("words", [("plan",), ("--report", "r.json", "x.py"), ("report", "kept"), ("x.py",)])
def test_a_directory_that_is_gone(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = launched(tmp_path, 'mkdir gone && cd gone && rmdir "$PWD"', *words)
    if words == ("plan",):
        assert done.returncode == 0, done.stderr
    else:
        assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="only root has mounts of its own")
def test_no_directory_for_temporary_files(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("")
    closed = "mount --bind $p $p && mount -o remount,ro,bind $p"
    places = f"for p in /tmp /var/tmp /usr/tmp; do [ ! -d $p ] || {{ {closed}; }}; done"
    command = ["unshare", "--mount", "bash", "-c", f'{places}; mount -t tmpfs none /mnt && cd /sys && exec "$@"', "-"]
    kept = {f"XDG_{name}_HOME": "/mnt" for name in ("STATE", "CONFIG", "CACHE")}
    done = subprocess.run(
        [*command, sys.executable, "-B", "-m", "ipexlaunch", "tune", str(tmp_path / "script.py")],
        env={**os.environ, **kept, "PYTHONPATH": str(ROOT), "TMPDIR": "/sys"}, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    if "mount: " in done.stderr:
        pytest.skip(done.stderr)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1].endswith("set TMPDIR to a directory that can be written")


def test_what_is_no_shortage_has_no_remedy() -> None:
    assert [remedy_of(error) for error in (OSError(2, "x"), RuntimeError("x"), ValueError("x"), OSError("x"))] == [
        ""
    ] * 4
