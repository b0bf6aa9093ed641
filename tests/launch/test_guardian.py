"""The guardian: what it marks, whom it spares, and that a run does not lose it."""

import os
import resource
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ipexlaunch.launch.confine import Confinement
from ipexlaunch.launch.supervise.reap import FIRST_LIMIT, Guardian

pytestmark = pytest.mark.process

HIDE = ["env", "-i", "setsid", "--fork", "sh", "-c"]
"""Begins a session of its own, in an empty environment, with init as its parent."""


def alive(tag: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if tag.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                    found.append(int(name))
            except OSError:
                continue
    return found


def wait_until(true: object, seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def hidden(tag: str) -> None:
    subprocess.run([*HIDE, "while :; do sleep 0.2; done", tag], check=True)
    assert wait_until(lambda: alive(tag))


def abandon(guardian: Guardian) -> None:
    """What the kernel does to the guardian's pipe when the launcher is killed."""
    assert guardian._process.stdin is not None
    guardian._process.stdin.close()


def test_a_daemon_without_environment_group_or_parent_ends_with_the_launcher() -> None:
    tag, before = f"tag-{os.urandom(8).hex()}", resource.getrlimit(resource.RLIMIT_RTTIME)
    guardian = Guardian(os.urandom(8).hex(), None)
    try:
        hidden(tag)
        resource.setrlimit(resource.RLIMIT_RTTIME, before)  # we are the launcher's stand-in, and want to live
        abandon(guardian)
        assert wait_until(lambda: not alive(tag))
        guardian._process.wait(30)
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, before)
        for pid in alive(tag):
            os.kill(pid, signal.SIGKILL)


def test_who_was_started_before_or_after_the_run_is_spared() -> None:
    before, after = f"tag-{os.urandom(8).hex()}", f"tag-{os.urandom(8).hex()}"
    own = resource.getrlimit(resource.RLIMIT_RTTIME)
    try:
        hidden(before)
        guardian = Guardian(os.urandom(8).hex(), None)
        assert resource.getrlimit(resource.RLIMIT_RTTIME)[0] > FIRST_LIMIT
        guardian.end()
        assert resource.getrlimit(resource.RLIMIT_RTTIME) == own
        guardian = Guardian(os.urandom(8).hex(), None)
        resource.setrlimit(resource.RLIMIT_RTTIME, own)
        hidden(after)
        abandon(guardian)
        guardian._process.wait(60)
        assert alive(before)
        assert alive(after)
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, own)
        for pid in [*alive(before), *alive(after)]:
            os.kill(pid, signal.SIGKILL)


def test_the_guardian_of_a_run_within_a_run_carries_no_mark_and_not_our_name() -> None:
    outer = Guardian(os.urandom(8).hex(), None)
    inner = Guardian(os.urandom(8).hex(), None)
    try:
        limits = Path(f"/proc/{inner.pid}/limits").read_text()
        line = next(line for line in limits.splitlines() if line.startswith("Max realtime timeout"))
        assert "46116860" not in line
        words = Path(f"/proc/{inner.pid}/cmdline").read_bytes().lower()
        assert b"ipexlaunch" not in words
    finally:
        inner.end()
        assert resource.getrlimit(resource.RLIMIT_RTTIME)[0] > FIRST_LIMIT, "what the outer run starts is still marked"
        outer.end()


def test_a_guardian_that_was_killed_is_replaced_and_knows_the_groups() -> None:
    own = resource.getrlimit(resource.RLIMIT_RTTIME)
    guardian = Guardian(os.urandom(8).hex(), None)
    resource.setrlimit(resource.RLIMIT_RTTIME, own)
    worker = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        guardian.add(worker.pid)
        os.kill(guardian.pid, signal.SIGKILL)
        pid, status = os.waitpid(guardian.pid, 0)
        guardian.reaped(status, again=True)
        assert guardian.pid != pid
        resource.setrlimit(resource.RLIMIT_RTTIME, own)
        abandon(guardian)
        assert worker.wait(30) == -signal.SIGKILL
        guardian._process.wait(60)
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, own)
        worker.kill()
        worker.wait()


def test_the_replacement_stops_after_some_times() -> None:
    guardian = Guardian(os.urandom(8).hex(), None)
    try:
        for _ in range(20):
            pid = guardian.pid
            try:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                break
            guardian.reaped(status, again=True)
        assert guardian._process.returncode is not None
    finally:
        guardian.end()


def test_the_cgroups_of_a_killed_launcher_are_removed_and_its_own_is_as_it_was(tmp_path: Path) -> None:
    own = resource.getrlimit(resource.RLIMIT_RTTIME)
    run, control = tmp_path / "a run's", tmp_path / "cgroup.subtree_control"
    (run / "0").mkdir(parents=True)
    (run / "1").mkdir()
    control.write_text("cpuset\n")
    hold = os.open(run, os.O_RDONLY)
    guardian = Guardian(os.urandom(8).hex(), Confinement(str(run), hold, str(control), strict=False))
    resource.setrlimit(resource.RLIMIT_RTTIME, own)
    abandon(guardian)
    guardian._process.wait(60)
    assert (run.exists(), control.read_text()) == (False, "-cpuset\n")
    os.close(hold)
