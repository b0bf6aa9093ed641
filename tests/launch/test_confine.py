"""Cgroups for workers, on files that stand for the kernel's; what a kernel does of it: tests/guest."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipexlaunch.documents.codec import to_plain
from ipexlaunch.errors import BindError
from ipexlaunch.launch.confine import Confinement, open_confinement
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.launch.supervise.interfaces import SupervisorCallbacks
from ipexlaunch.plan import Instance

MOUNTED = "35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
HYBRID = (
    "36 24 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
    "37 24 0:32 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)
WORKER = Instance(index=3, cpus=frozenset({2, 3}), nodes=frozenset({1}), threads=2)


@contextlib.contextmanager
def bind(cpus: frozenset[int], policy: str, nodes: frozenset[int]) -> Iterator[Binding]:
    yield Binding(cpus=cpus, memory=policy, nodes=nodes)


def machine(
    root: Path, mounts: str = MOUNTED, groups: str = "0::/job\n", own: str = "sys/fs/cgroup/job", handed: str = ""
) -> Path:
    """Files of a host on which this process is in a cgroup; that cgroup's directory."""
    for path, text in (("mountinfo", mounts), ("cgroup", groups)):
        (root / "proc/self").mkdir(parents=True, exist_ok=True)
        (root / "proc/self" / path).write_text(text)
    place = root / own
    place.mkdir(parents=True)
    (place / "cgroup.controllers").write_text("cpuset memory pids\n")
    (place / "cgroup.subtree_control").write_text(f"{handed}\n")
    (place / "cgroup.threads").write_text(f"1\n{os.getpid()}\n")
    return place


def opened(root: Path, wanted: str = "auto") -> Confinement:
    confinement, why = open_confinement(wanted, str(root))
    assert (confinement is not None, why) == (True, "")
    assert confinement is not None
    return confinement


def refusal(root: Path) -> str:
    confinement, why = open_confinement("auto", str(root))
    assert confinement is None
    assert why.startswith("workers are bound, but not confined by cgroups: ")
    with pytest.raises(BindError) as error:
        open_confinement("yes", str(root))
    reason = why.partition("cgroups: ")[2]
    assert str(error.value).startswith(f"cannot confine workers by cgroups: {reason}; start it in a cgroup that is")
    return reason


def emptied(path: str) -> None:
    """What the kernel has by itself in its directories goes with them."""
    for folder, _, names in os.walk(path):
        for name in names:
            os.unlink(f"{folder}/{name}")


def closed(confinement: Confinement) -> None:
    emptied(confinement.path)
    confinement.close()


def test_the_workers_thread_is_in_a_threaded_cgroup_with_the_plans_cpus_and_nodes(tmp_path: Path) -> None:
    own = machine(tmp_path)
    confinement, started = opened(tmp_path), []
    confinement.start(WORKER, bind, lambda binding: started.append((threading.current_thread().name, binding)))
    place = Path(confinement.path, "3")
    [(name, binding)] = started
    assert name == "ipexlaunch-start"
    assert (binding.cgroup, binding.unconfined, binding.shortfalls()) == (str(place), "", [])
    assert {path.name: path.read_text() for path in place.iterdir()} == {
        "cgroup.type": "threaded", "cpuset.cpus": "2-3", "cpuset.mems": "1", "cgroup.threads": "0"
    }  # fmt: skip
    assert place.parent.parent == own
    assert place.parent.name.startswith(f"ipexlaunch-{os.getpid()}-")
    run = {path.name: path.read_text() for path in place.parent.iterdir() if path.is_file()}
    assert run == {"cgroup.type": "threaded", "cgroup.subtree_control": "+cpuset"}
    closed(confinement)


@pytest.mark.parametrize(
    ("memory", "cpus", "written"),
    [
        ("bind", "2-3", {"cpuset.cpus", "cpuset.mems"}),
        ("interleave", "2-3", {"cpuset.cpus", "cpuset.mems"}),
        ("preferred", "2-3", {"cpuset.cpus"}),
        ("none", "2-3", {"cpuset.cpus"}),
        ("bind", "", {"cpuset.mems"}),
    ],
)
def test_nodes_are_held_where_the_policy_holds_them(tmp_path: Path, memory: str, cpus: str, written: set[str]) -> None:
    machine(tmp_path)
    confinement = opened(tmp_path)
    held = frozenset({2, 3}) if cpus else frozenset[int]()
    instance = Instance(index=0, cpus=held, nodes=frozenset({1}), threads=2, memory=memory)
    confinement.start(instance, bind, lambda _: None)
    assert {path.name for path in Path(confinement.path, "0").glob("cpuset.*")} == written
    closed(confinement)


def test_what_goes_wrong_with_the_start_is_raised_where_the_worker_was_wanted(tmp_path: Path) -> None:
    machine(tmp_path)
    confinement = opened(tmp_path)

    def start(_: Binding) -> None:
        raise FileNotFoundError(2, "No such file or directory", "program")

    with pytest.raises(FileNotFoundError):
        confinement.start(WORKER, bind, start)
    closed(confinement)


@pytest.mark.parametrize("handed", ["", "cpuset"])
def test_nothing_is_left_and_the_own_cgroup_is_as_it_was(tmp_path: Path, handed: str) -> None:
    own = machine(tmp_path, handed=handed)
    confinement = opened(tmp_path)
    assert (own / "cgroup.subtree_control").read_text() == "+cpuset"
    confinement.start(WORKER, bind, lambda _: None)
    closed(confinement)
    confinement.close()
    assert [path.name for path in own.iterdir() if path.is_dir()] == []
    assert (own / "cgroup.subtree_control").read_text() == ("+cpuset" if handed else "-cpuset")


def test_the_own_cgroup_stays_as_it_is_where_others_have_cgroups_there_by_now(tmp_path: Path) -> None:
    own = machine(tmp_path)
    confinement = opened(tmp_path)
    (own / "theirs").mkdir()
    closed(confinement)
    assert (own / "cgroup.subtree_control").read_text() == "+cpuset"


def test_cgroups_of_dead_launchers_are_removed_and_those_of_living_ones_are_not(tmp_path: Path) -> None:
    own = machine(tmp_path)
    dead, living, other = own / "ipexlaunch-1-00000000", own / "ipexlaunch-2-00000000", own / "theirs"
    for path in (dead / "0", living / "0", other):
        path.mkdir(parents=True)
    descriptor = os.open(living, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    mine = opened(tmp_path)
    again = opened(tmp_path)
    os.close(descriptor)
    found = {str(path) for path in own.iterdir() if path.is_dir()}
    assert found == {str(living), str(other), mine.path, again.path}
    closed(mine)
    closed(again)


def test_a_worker_that_cannot_be_confined_is_started_all_the_same_and_it_is_said(tmp_path: Path) -> None:
    machine(tmp_path)
    confinement, bound = opened(tmp_path), list[Binding]()
    emptied(confinement.path)
    os.rmdir(confinement.path)
    confinement.start(WORKER, bind, bound.append)
    [binding] = bound
    assert binding.cgroup == ""
    assert binding.shortfalls() == [f"not confined by a cgroup: {confinement.path}/3: No such file or directory"]
    closed(confinement)


def test_with_yes_such_a_worker_is_not_started(tmp_path: Path) -> None:
    machine(tmp_path)
    confinement, bound = opened(tmp_path, "yes"), list[Binding]()
    emptied(confinement.path)
    os.rmdir(confinement.path)
    with pytest.raises(BindError, match=r"cannot confine instance 3: .*No such file or directory; start it in"):
        confinement.start(WORKER, bind, bound.append)
    assert bound == []
    closed(confinement)


def test_what_somebody_else_changes_is_told(tmp_path: Path) -> None:
    machine(tmp_path)
    confinement = opened(tmp_path)
    confinement.start(WORKER, bind, lambda _: None)
    now = Path(confinement.path, "3", "cpuset.cpus.effective")
    now.write_text("2-3\n")
    assert confinement.changes() == []
    now.write_text("2\n")
    assert confinement.changes() == ["instance 3: somebody changed its cgroup from cpus 2-3 to 2 while it ran"]
    closed(confinement)


def test_why_there_can_be_none(tmp_path: Path) -> None:
    v1_only = tmp_path / "v1"
    machine(v1_only, "35 24 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n", "3:cpuset:/\n")
    assert refusal(v1_only) == "cgroup v2 is not mounted"

    hybrid = tmp_path / "hybrid"
    own = machine(hybrid, HYBRID, "3:cpuset:/\n0::/job\n", "sys/fs/cgroup/unified/job")
    (own / "cgroup.controllers").write_text("")
    assert refusal(hybrid) == f"{own}: its cpuset controller is with cgroup v1 here"

    without = tmp_path / "without"
    own = machine(without)
    (own / "cgroup.controllers").write_text("memory pids\n")
    assert refusal(without) == f"{own}: its cpuset controller is not delegated (it has memory pids)"

    elsewhere = tmp_path / "elsewhere"
    own = machine(elsewhere, groups="0::/../other\n", own="sys/fs/cgroup")
    (own / "cgroup.threads").write_text("1\n")
    assert refusal(elsewhere) == f"{own}: the cgroup of this process is not visible here"

    torn = tmp_path / "torn"
    machine(torn, groups="no cgroup\n")
    assert refusal(torn) == f"{torn}/proc/self/cgroup: it holds 'no cgroup', not 'NUMBER:CONTROLLERS:/PATH'"

    refusing = tmp_path / "refusing"
    own = machine(refusing)
    (own / "cgroup.subtree_control").unlink()
    (own / "cgroup.subtree_control").mkdir()
    assert refusal(refusing) == f"{own}/cgroup.subtree_control: Is a directory"


def test_a_binding_without_a_cgroup_stands_in_documents_as_before() -> None:
    binding = Binding(cpus=frozenset({1}), memory="bind", nodes=frozenset({0}))
    assert set(to_plain(binding)) == {"cpus", "memory", "nodes", "refused"}


def test_without_confinement_the_calling_thread_starts_the_worker() -> None:
    callbacks = SupervisorCallbacks(
        bind_thread=bind, read_placement=lambda *_: None, read_placement_if_cheap=lambda *_: None,
        descendants=lambda _: [], oom_kills=lambda: None, tell=print,
    )  # fmt: skip
    names: list[str] = []
    callbacks.start_bound(WORKER, lambda _: names.append(threading.current_thread().name))
    assert names == [threading.current_thread().name]


@pytest.mark.process
def test_a_run_here_is_valid_with_cgroups_or_says_why_there_are_none(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("from ipexlaunch import worker\nworker.ready()\nworker.count(3)\nworker.finish()\n")
    report = tmp_path / "report.json"
    words = ["run", "--confine", "auto", "--ninstances", "1", "--report", str(report), str(script)]
    done = subprocess.run([sys.executable, "-m", "ipexlaunch", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(report.read_text())
    why = [text for text in told["warnings"] if "not confined by cgroups" in text]
    assert ("cgroup" in told["instances"][0], why != []) in ((True, False), (False, True))
