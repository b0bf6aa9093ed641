"""`--share-start model` as users type it: what comes before worker.split() is done once; what can go wrong there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.shared_starts import Ended, run, two_cores

pytestmark = [pytest.mark.process, two_cores]


def split(folder: Path, text: str, *options: str, **variables: str) -> Ended:
    """Run this program with the workers of a node forked at its split()."""
    (folder / "program.py").write_text(text)
    return run(folder, "--share-start", "model", *options, "program.py", **variables)


WORK = """
import os, time
from ipexlaunch import worker
print("loaded", flush=True)
worker.phase("reading")
worker.tell(model="m", of=os.getpid())
worker.samples("load", [0.5])
time.sleep(0.2)
worker.split()
worker.tell(index=worker.index, own=os.getpid(), count=worker.count_of_workers, seen=os.environ["IPEXLAUNCH_INDEX"])
worker.ready()
worker.count(3)
print(worker.finish().items)
"""


def test_what_comes_before_is_done_once_and_told_by_each_worker(tmp_path: Path) -> None:
    ended = split(tmp_path, WORK)
    assert (ended.code, ended.is_shared) == (0, True), ended.told
    assert sorted(ended.out.splitlines()) == ["[0-1] loaded", "[0] 3", "[1] 3"]
    assert ended.logs == ["loaded\n3\n"] * 2
    facts = [instance["facts"] for instance in ended.report["instances"]]
    assert [(each["model"], each["index"], each["count"], each["seen"]) for each in facts] == [
        ("m", 0, 2, "0"), ("m", 1, 2, "1"),
    ]  # fmt: skip
    assert len({each["of"] for each in facts}) == 1
    assert len({each[name] for each in facts for name in ("of", "own")}) == 3
    assert ended.report["distributions_ms"]["load"]["p50"] == 500
    phases = [list(each["phases_s"]) for each in ended.report["instances"]]
    assert phases == [["sharing the start", "sharing the start: reading"]] * 2
    assert ended.report["throughput"]["items"] == 6


def test_a_reason_to_believe_nothing_that_was_told_before_counts_for_each_worker(tmp_path: Path) -> None:
    ended = split(tmp_path, WORK.replace('worker.phase("reading")', 'worker.invalid("cosine 0.1")'))
    assert ended.code == 4
    assert sorted(ended.report["reasons"]) == ["instance 0: cosine 0.1", "instance 1: cosine 0.1"]


def test_without_the_option_each_worker_does_it_by_itself(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(WORK)
    ended = run(tmp_path, "program.py")
    assert ended.code == 0, ended.told
    assert ended.logs == ["loaded\n3\n"] * 2
    assert len({instance["facts"]["of"] for instance in ended.report["instances"]}) == 2


def test_after_the_fork_a_phase_may_have_any_name_and_length(tmp_path: Path) -> None:
    ended = split(tmp_path, WORK.replace('"reading"', '"x" * 100_000'))
    assert ended.code == 0, ended.told


@pytest.mark.parametrize("call", ["ready", "count", "finish"])
def test_what_only_a_worker_can_do_is_an_error_before(tmp_path: Path, call: str) -> None:
    ended = split(tmp_path, f"from ipexlaunch import worker\nworker.{call}()\nworker.split()\n")
    assert ended.code == 1
    assert f"RuntimeError: ipexlaunch.worker.{call}() was called before " in ended.told
    assert [instance["exit"] for instance in ended.report["instances"]] == [1, 1]


REFUSED = {
    "no split": ("print('ran')\n", "program.py never calls ipexlaunch.worker.split()"),
    "a thread": (
        "import threading\nfrom ipexlaunch import worker\nend = threading.Event()\n"
        "threading.Thread(target=end.wait).start()\nworker.split()\nprint('ran')\nend.set()\n",
        "2 threads run at the fork",
    ),
    "not Python": ("x = = 1\n", "program.py never calls"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_where_it_is_not_safe_each_starts_by_itself_and_the_reason_is_told(tmp_path: Path, kind: str) -> None:
    text, reason = REFUSED[kind]
    ended = split(tmp_path, text)
    assert not ended.is_shared
    assert any(reason in warning for warning in ended.report["warnings"])
    if kind == "not Python":
        assert ended.code == 1
    else:
        assert (ended.code, ended.logs) == (0, ["ran\n"] * 2), ended.told


@pytest.mark.parametrize("kind", ["no split", "a thread"])
def test_strictly_it_does_not_start_at_all(tmp_path: Path, kind: str) -> None:
    text, reason = REFUSED[kind]
    ended = split(tmp_path, text, "--share-start-strict")
    assert (ended.code, ended.logs) == (2, ["", ""]), ended.told
    assert reason in ended.report["reasons"][0]


def test_strictly_what_can_be_known_before_is_refused_before(tmp_path: Path) -> None:
    words = ["--share-start-strict", "--env", "X={index}", "--run-dir", str(tmp_path / "kept")]
    ended = split(tmp_path, "print('ran')\n", *words)
    assert (ended.code, ended.report) == (2, {})
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]
    assert len(ended.told.splitlines()) == 1
    assert "X is not the same in all workers" in ended.told
    assert "leave out --share-start-strict" in ended.told


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("import sys\nsys.exit(3)", 3, "exit code 3"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("import os\nos.kill(os.getpid(), 9)", 137, "SIGKILL"),
        ("import sys\nsys.exit()", 1, "ended without calling ipexlaunch.worker.split()"),
    ],
)
def test_what_ends_before_its_split_has_failed_for_all_its_workers(
    tmp_path: Path, text: str, code: int, reason: str
) -> None:
    ended = split(tmp_path, f"from ipexlaunch import worker\n{text}\nworker.split()\n")
    assert ended.code == code
    assert reason in ended.told
    assert not ended.report["valid"]


@pytest.mark.parametrize("name", ["compiling", "loading"])
def test_a_worker_that_hangs_after_the_fork_is_ended_too_whatever_went_on_before_it(tmp_path: Path, name: str) -> None:
    """Compiling has a limit of its own."""
    text = f"from ipexlaunch import worker\nimport time\nworker.phase({name!r})\nworker.split()\ntime.sleep(300)\n"
    ended = split(tmp_path, text, "--ready-timeout", "2")
    assert ended.code == 124, ended.told


def test_one_that_hangs_is_ended_by_the_limit_for_getting_ready(tmp_path: Path) -> None:
    ended = split(tmp_path, "import time\nfrom ipexlaunch import worker\ntime.sleep(300)\nworker.split()\n",
                  "--ready-timeout", "2")  # fmt: skip
    assert ended.code == 124, ended.told


NO_FORK = """
import os
from ipexlaunch import worker
def refuse():
    raise BlockingIOError(11, "Resource temporarily unavailable")
os.fork = refuse
worker.split()
"""


def test_a_fork_that_the_system_refuses_is_a_worker_that_cannot_be_started(tmp_path: Path) -> None:
    ended = split(tmp_path, NO_FORK)
    assert ended.code == 126
    assert "could not be started: Resource temporarily unavailable" in ended.told


ATTEMPTS = """
import os, signal, sys
from ipexlaunch import worker
def first(what):
    try:
        os.close(os.open(what, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
def template():
    for pid in map(int, open(f"/proc/{os.getppid()}/task/{os.getppid()}/children").read().split()):
        if b"IPEXLAUNCH_TEMPLATE=" in open(f"/proc/{pid}/environ", "rb").read():
            return pid
if "before" in sys.argv and first("before"):
    sys.exit(5)
print("loaded", flush=True)
worker.split()
for what in sys.argv[1:]:
    if worker.index == 1 and what != "before" and first(what):
        if what == "template":
            os.kill(template(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGSEGV if what == "crash" else signal.SIGKILL)
worker.ready()
worker.count()
"""


@pytest.mark.parametrize(
    ("words", "loads"),
    [(["kill", "crash"], 1), (["template"], 2), (["before"], 1), (["before", "template", "kill"], 2)],
)
def test_a_worker_that_is_started_again_is_forked_again(tmp_path: Path, words: list[str], loads: int) -> None:
    (tmp_path / "attempts.py").write_text(ATTEMPTS)
    ended = run(tmp_path, "--share-start", "model", "--on-failure", "restart:9", "attempts.py", *words)
    assert ended.code == 0, ended.told
    assert ended.out.splitlines() == ["[0-1] loaded"] * loads
    assert [instance["items"] for instance in ended.report["instances"]] == [1, 1]


def test_without_restart_the_others_go_on_or_stop(tmp_path: Path) -> None:
    for what, code in (("continue", 137), ("stop", 137)):
        (tmp_path / "attempts.py").write_text(ATTEMPTS)
        (tmp_path / "kill").unlink(missing_ok=True)
        ended = run(tmp_path, "--share-start", "model", "--on-failure", what, "attempts.py", "kill")
        assert (ended.code, ended.report["valid"]) == (code, False)
        assert [instance["exit"] == 0 for instance in ended.report["instances"]] == [what == "continue", False]


@pytest.mark.parametrize("words", [["--stagger", "0.3"], ["--baseline"]])
def test_other_options_of_the_start_hold(tmp_path: Path, words: list[str]) -> None:
    ended = split(tmp_path, WORK, *words)
    assert (ended.code, ended.is_shared) == (0, True), ended.told
    assert ended.out.splitlines().count("[0-1] loaded") == 1


def test_a_kept_run_is_repeated_with_it(tmp_path: Path) -> None:
    first = split(tmp_path, WORK, "--run-dir", str(tmp_path / "kept"))
    assert first.code == 0, first.told
    again = run(tmp_path, "--replay", str(tmp_path / "kept"))
    assert (again.code, again.is_shared) == (0, True), again.told
    assert "[0-1] loaded" in again.out.splitlines()
