"""A place is held by one launch at a time, on any host; what a dead one has left is taken over."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.errors import HeldError
from ipexlaunch.launch.hold_place import hold_place
from ipexlaunch.report.kept_runs.run_directory import RUN

ROOT = Path(__file__).parents[2]
SLOW = "import time\nfrom ipexlaunch import worker\nworker.ready()\nworker.count()\ntime.sleep(60)\n"


def holder(path: Path, **other: Any) -> None:
    """Somebody else's hold, like ours but for some keys."""
    hold = hold_place(str(path), "x", "y")
    ours = json.loads(path.read_text())
    hold.release()
    del ours["locked"]
    path.write_text(json.dumps({**ours, **other}))


def test_a_place_is_held_once_and_free_again(tmp_path: Path) -> None:
    path = tmp_path / "held"
    hold = hold_place(str(path), "write x", "give another")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600, "the directory is private"
    hold_place(str(path), "x", "y").release()
    assert path.exists(), "a launcher that asks again lets go of it once"
    ours = json.loads(path.read_text())
    parent = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
    path.write_text(json.dumps({**ours, "pid": os.getppid(), "started": int(parent[19])}))
    with pytest.raises(HeldError, match=r"cannot write x: launcher \d+ on .* at work there since .*; another") as error:
        hold_place(str(path), "write x", "another")
    assert error.value.exit_code == 75
    path.write_text(json.dumps(ours))
    hold.release()
    hold.release()
    assert list(tmp_path.iterdir()) == []
    hold_place(str(path), "x", "y").release()


@pytest.mark.parametrize(
    ("other", "dead"),
    [
        ({"pid": 4194303, "started": 5}, True),
        ({"started": 5}, True),
        ({"boot": "another"}, True),
        ({"host": "elsewhere"}, False),
        ({"host": "elsewhere", "boot": "another"}, False),
        ({"machine": "another", "boot": "another"}, False),
        ({"processes": "pid:[1]", "pid": 4194303}, False),
        ({"pid": "7"}, False),
        ({"pid": None}, False),
    ],
)
def test_only_who_is_certainly_dead_loses_it(tmp_path: Path, other: dict[str, Any], dead: bool) -> None:
    if other.get("boot") == "another" and dead and not Path("/etc/machine-id").exists():
        pytest.skip("a host without a machine-id is not told from another one")
    path = tmp_path / "held"
    holder(path, **other)
    if dead:
        hold_place(str(path), "x", "y").release()
        assert list(tmp_path.iterdir()) == []
    else:
        with pytest.raises(HeldError):
            hold_place(str(path), "x", "y")


def test_a_launcher_of_another_container_is_dead_once_its_lock_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "held"
    holder(path, host="elsewhere", processes="pid:[1]", pid=1, locked=True)
    with path.open() as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(HeldError):
            hold_place(str(path), "x", "y")
    hold_place(str(path), "x", "y").release()
    assert list(tmp_path.iterdir()) == []
    holder(path, host="elsewhere", processes="pid:[1]", pid=1, boot="another", locked=True)
    with pytest.raises(HeldError):
        hold_place(str(path), "x", "y")


def test_others_who_may_write_there_are_told_who_does(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    path, before = tmp_path / "held", os.umask(0o022)
    try:
        hold = hold_place(str(path), "x", "y")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    machine = Path("/etc/machine-id")
    assert not machine.exists() or machine.read_text().strip() not in path.read_text()
    hold.release()


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "[" * 3000])
def test_what_cannot_be_understood_counts_as_held(tmp_path: Path, text: str) -> None:
    (tmp_path / "held").write_text(text)
    with pytest.raises(HeldError, match=r"if that one is dead: remove .*held"):
        hold_place(str(tmp_path / "held"), "x", "y")


def test_a_pipe_or_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    for name in ("pipe", "link"):
        with pytest.raises(HeldError):
            hold_place(str(tmp_path / name), "x", "y")
    assert not (tmp_path / "target").exists()


@pytest.mark.process
@pytest.mark.parametrize("left_by", ["nobody", "a dead launcher"])
def test_of_many_at_once_one_has_it(tmp_path: Path, left_by: str) -> None:
    if left_by != "nobody":
        holder(tmp_path / "held", pid=4194303)
    code = (
        "import sys, time\nfrom ipexlaunch.launch.hold_place import hold_place\n"
        "from ipexlaunch.errors import HeldError\n"
        "sys.stdin.readline()\n"
        "try:\n    hold = hold_place(sys.argv[1], 'x', 'y')\n    print('mine', flush=True)\n"
        "except HeldError:\n    print('held', flush=True)\n"
        "sys.stdin.readline()\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    words = [sys.executable, "-c", code, str(tmp_path / "held")]
    racers: list[Any] = [subprocess.Popen(words, cwd=ROOT, **pipes) for _ in range(8)]  # type: ignore[call-overload]
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    answers = [racer.stdout.readline().strip() for racer in racers]
    for racer in racers:
        racer.communicate("end\n", timeout=60)
    assert sorted(answers) == ["held"] * 7 + ["mine"]


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="only root can hide processes")
def test_a_launcher_of_another_user_whom_proc_hides_is_alive(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    caps = "+dac_override,+dac_read_search"
    user = f"setpriv --reuid=54321 --regid=54321 --clear-groups --inh-caps={caps} --ambient-caps={caps}"
    code = "import sys\nfrom ipexlaunch.launch.hold_place import hold_place\nhold_place(sys.argv[1], 'write x', 'y')"
    hold = hold_place(str(tmp_path / "held"), "x", "y")
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f'mount -t proc -o hidepid=2 proc /proc && exec {user} "$@"', "-",
         sys.executable, "-B", "-c", code, str(tmp_path / "held")],
        cwd=ROOT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    hold.release()
    if "mount: " in done.stderr or "setpriv" in done.stderr:
        pytest.skip(done.stderr)
    assert f"HeldError: cannot write x: launcher {os.getpid()} on" in done.stderr, done.stderr


def launch(tmp_path: Path, *options: str) -> subprocess.Popen[str]:
    (tmp_path / "slow.py").write_text(SLOW)
    return subprocess.Popen(
        [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", *options, "slow.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.process
def test_two_launches_with_one_directory_of_the_run_of_logs_or_one_report(tmp_path: Path) -> None:
    every = {"--run-dir": "kept", "--log-dir": "logs", "--report": "report.json"}
    first = launch(tmp_path, *(word for pair in every.items() for word in pair))
    try:
        held = (tmp_path / "kept/launcher.json", tmp_path / "logs/.ipexlaunch-held", tmp_path / ".report.json.held")
        deadline = time.monotonic() + 60
        while not all(path.exists() for path in held) and first.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        for option, value in every.items():
            code, said = ended(launch(tmp_path, option, value))
            assert (code, said.count("\n")) == (75, 1), said
            assert f"launcher {first.pid} on" in said
    finally:
        first.send_signal(signal.SIGTERM)
        code, said = ended(first)
    assert code == 143, said
    assert not any(path.exists() for path in held)
    code, said = ended(launch(tmp_path, "--run-dir", "kept"))
    assert (code, said.count("\n")) == (2, 1)
    assert "it holds one already; name a new directory" in said


@pytest.mark.process
def test_the_directory_of_a_launcher_that_was_killed_is_refused_and_its_logs_are_not(tmp_path: Path) -> None:
    first = launch(tmp_path, "--run-dir", "kept", "--log-dir", "logs")
    held = tmp_path / "logs/.ipexlaunch-held"
    while not (tmp_path / "kept" / RUN).exists() and first.poll() is None:
        time.sleep(0.02)
    assert held.exists()
    first.kill()
    ended(first)
    code, said = ended(launch(tmp_path, "--run-dir", "kept"))
    assert (code, "it holds a run already, which did not finish" in said) == (2, True)
    again = launch(tmp_path, "--log-dir", "logs", "--timeout", "0.5")
    code, said = ended(again)
    assert code == 124, said
    assert not held.exists()


@pytest.mark.process
def test_a_request_that_is_refused_leaves_no_directory_and_no_socket(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o700)
    (tmp_path / "slow.py").write_text(SLOW)
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--run-dir", "kept", "--metrics-file", "x.txt",
         "slow.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(tmp_path / "run")},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert list((tmp_path / "run").rglob("*.sock")) == []
    assert not (tmp_path / "kept").exists()
