"""Containers that are shown another list of online cpus than the host's: affinity and cpuset are the truth."""

from __future__ import annotations

import pytest

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.explain_exclusion import explanation
from ipexlaunch.machine.probe import probe
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.resources import expander_kinds
from tests.machine.probe.small_tree import CPU, NODE, Text, cores, machine, problem

CGROUP: Text = {
    "proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "proc/self/cgroup": "0::/",
}


def host(cpus: int = 8) -> Text:
    """Two nodes, each cpu a core, online by its own directory, as lxcfs leaves them."""
    files: Text = {**cores(cpus), f"{CPU}/present": f"0-{cpus - 1}", f"{CPU}/possible": f"0-{cpus - 1}"}
    files |= {f"{CPU}/cpu{cpu}/online": "1" for cpu in range(1, cpus)}
    for node in range(2):
        files[f"{NODE}/node{node}/cpulist"] = f"{node * cpus // 2}-{(node + 1) * cpus // 2 - 1}"
        files[f"{NODE}/node{node}/meminfo"] = f"Node {node} MemTotal: {1024 * (2 - node)} kB"
    return files


def status(cpus: str) -> Text:
    return {"proc/self/status": f"Cpus_allowed_list:\t{cpus}\nMems_allowed_list:\t0-1"}


def ids(found: Topology) -> set[int]:
    return {cpu.id for cpu in found.cpus}


@pytest.mark.parametrize(
    ("online", "affinity", "more", "cpus", "allowed"),
    [
        ("2-3", "2-3", {}, "2-3", "2-3"),  # the cpuset
        ("2-5", "3", {}, "2-5", "3"),  # the cpuset, and taskset inside
        ("0-1", "2-3", {}, "2-3", "2-3"),  # 0 to n-1 for a quota (lxcfs --enable-cfs), and a cpuset
        ("0-1", "0-7", {}, "0-7", "0-7"),  # the same without a cpuset
        ("0", "5", {}, "5", "5"),
        ("0-1", "0-7", {**CGROUP, "sys/fs/cgroup/cpuset.cpus.effective": "4-6"}, "4-6", "4-6"),
        ("", "2-3", {}, "2-3", "2-3"),  # nothing at all, where lxcfs cannot read the cpuset
        ("0-1", "2-63", {f"{CPU}/cpu7/online": "0"}, "2-6", "2-6"),  # one that is really offline
    ],
)
def test_affinity_and_cpuset_are_believed(online: str, affinity: str, more: Text, cpus: str, allowed: str) -> None:
    found = machine(host(), {f"{CPU}/online": online}, status(affinity), more)
    assert ids(found) == parse_list(cpus)
    assert found.allowed_cpus == parse_list(allowed)
    assert found.view is not None
    assert found.view.cpus == parse_list(online)
    assert "view" in {limit.kind for limit in found.limits}


def test_older_versions_show_the_directories_of_the_container_only() -> None:
    gone: Text = {
        path: None for path in host() if f"{CPU}/cpu" in path and not path.startswith((f"{CPU}/cpu5", f"{CPU}/cpu6"))
    }
    for online in ("5-6", "0-1"):
        found = machine(host(), gone, {f"{CPU}/online": online}, status("5-6"))
        assert ids(found) == found.allowed_cpus == {5, 6}


def test_a_node_whose_cpus_are_hidden_is_no_fast_memory() -> None:
    found = machine(host(), {f"{CPU}/online": "2-3"}, status("2-3"))
    assert found.by_node[1].hidden_cpus == {4, 5, 6, 7}
    assert found.memory_only_nodes == frozenset()
    assert expander_kinds(found) == {}
    [instance] = make_plan(found, Request(memory="all")).instances
    assert instance.cpus == {2, 3}
    assert instance.nodes == {0}


def test_hidden_cpus_are_not_called_offline() -> None:
    text = explanation(machine(host(), {f"{CPU}/online": "2-3"}, status("2-3")))
    assert "offline" not in text
    assert f"not cpus 0-1,4-7: not of this container ({CPU}/online: 2-3; proc/self/status: 2-3)" in text


def test_an_empty_list_is_called_so() -> None:
    text = explanation(machine(host(), {f"{CPU}/online": ""}, status("2-3")))
    assert f"not cpus 0-1,4-7: not of this container ({CPU}/online: none; proc/self/status: 2-3)" in text


def test_without_affinity_a_contradiction_stays_an_error_that_says_what_would_decide() -> None:
    found = problem(host(), {f"{CPU}/online": "2-3"})
    assert "does not name cpu 0, which is online by its own directory; it names 2-3; affinity or cpuset" in found


def test_a_cpu_that_affinity_names_too_must_have_its_directory() -> None:
    gone: Text = {path: None for path in host() if path.startswith(f"{CPU}/cpu7")}
    found = problem(host(), gone, {f"{CPU}/online": "0-7"}, status("0-7"))
    assert found.startswith(f"{CPU}/cpu7: there is no such directory")


def test_an_empty_state_is_told_by_the_rest_of_the_directory() -> None:
    files = {f"{path}": text for path, text in cores(3).items() if "cpu2/" not in path}
    files |= {f"{CPU}/cpu{cpu}/online": "" for cpu in range(3)}
    content = {path: text.encode() + b"\n" * bool(text) for path, text in files.items() if text is not None}
    found = probe(ArchiveFiles("made:", content, {}))
    assert ids(found) == {0, 1}
    assert found.offline_cpus == {2}


class Restless:
    """A live machine whose files contradict each other until they have been read so often."""

    where = "/"

    def __init__(self, calm_after: int) -> None:
        files = host() | {f"{CPU}/online": "0-7", "proc/cpuinfo": "model name: x", **status("0-7")}
        content = {path: f"{text}\n".encode() for path, text in files.items()}
        self._files = ArchiveFiles("/", content, {})
        self._left = calm_after

    def read(self, path: str, limit: int) -> bytes | None:
        if path == f"{NODE}/node0/cpulist" and self._left and limit > 1:
            self._left -= 1
            return b"0-2\n"
        return self._files.read(path, limit)

    def names(self, path: str) -> list[str] | None:
        return self._files.names(path)


def test_a_live_machine_that_contradicts_itself_is_read_once_more() -> None:
    assert ids(probe(Restless(1))) == set(range(8))
    with pytest.raises(TopologyError, match="cpu 3 is online, and no node"):
        probe(Restless(2))


GVISOR: Text = {
    f"{CPU}/online": "0-3",
    f"{CPU}/possible": "0-3",
    "proc/self/status": "Name:\tpython3\nState:\tR (running)\nSeccomp:\t0\nMems_allowed:\t1\nMems_allowed_list:\t0",
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: x\nflags\t: avx2",
}


def gvisor(where: str) -> ArchiveFiles:
    content = {path: f"{text}\n".encode() for path, text in GVISOR.items()}
    return ArchiveFiles(where, content, {}, [f"{CPU}/cpu{cpu}" for cpu in range(4)])


def test_where_no_file_tells_the_affinity_the_kernel_is_asked() -> None:
    found = probe(gvisor("/"), affinity=lambda: {1, 2})
    assert (ids(found), set(found.allowed_cpus), len(found.nodes)) == ({0, 1, 2, 3}, {1, 2}, 0)
    assert [limit.file for limit in found.limits] == ["sched_getaffinity(2)"]
    assert found.gaps == (
        "nothing says which cpus share a core, a cache or a socket: each is taken for a core, all for one socket",
    )
    [instance] = make_plan(found, Request()).instances
    assert (set(instance.cpus), set(instance.nodes), instance.memory) == ({1, 2}, set(), "none")


def test_a_saved_machine_without_affinity_says_what_is_assumed() -> None:
    found = probe(gvisor("made:"))
    assert found.allowed_cpus == {0, 1, 2, 3}
    assert "proc/self/status has no Cpus_allowed_list: every cpu is taken for allowed" in found.gaps
