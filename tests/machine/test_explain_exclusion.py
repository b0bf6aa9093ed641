from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from ipexlaunch.machine.explain_exclusion import explanation, reasons_against_cpus, reasons_against_nodes
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Limit, Topology
from tests.machine.probe.rich_machine import RICH
from tests.strategies import topologies


def test_every_reason_is_told_with_its_file() -> None:
    assert explanation(RICH).splitlines() == [
        "allowed cpus: 2-5 (4 of 15 online)",
        "  not cpus 0-1: outside the cpuset of its cgroup (sys/fs/cgroup/kubepods/pod1/cpuset.cpus.effective: 2-11)",
        "  not cpus 6-10: outside the affinity of this process (proc/self/status: 0-5)",
        "  not cpu 11: offline",
        "  not cpus 12-15: outside the affinity of this process (proc/self/status: 0-5)",
        "    and outside the cpuset of its cgroup (sys/fs/cgroup/kubepods/pod1/cpuset.cpus.effective: 2-11)",
        "allowed nodes: 0-1 (2 of 5)",
        "  not node 2: it has no memory",
        "  not node 3: outside the cpuset of its cgroup (sys/fs/cgroup/kubepods/pod1/cpuset.mems.effective: 0-2)",
        "  not node 4: outside the affinity of this process (proc/self/status: 0-3)",
        "    and outside the cpuset of its cgroup (sys/fs/cgroup/kubepods/pod1/cpuset.mems.effective: 0-2)",
        "cpu quota: 2.5 cpus",
        "  2.5 cpus (sys/fs/cgroup/kubepods/pod1/cpu.max)",
        "isolated at boot, and allowed: cpus 5; nothing else is scheduled there",
    ]


def test_isolated_and_absent_cpus_and_bare_descriptions() -> None:
    bare = synthetic_machine("4c")
    affinity = (Limit(kind="affinity", file="proc/self/status", cpus=frozenset({0, 1})),)
    isolated = replace(
        bare,
        allowed_cpus=frozenset({0, 1}),
        isolated_cpus=frozenset({3}),
        present_cpus=frozenset(range(5)),
        limits=affinity,
        nodes=(),
    )
    reasons = reasons_against_cpus(isolated)
    assert reasons[3][1] == "isolated at boot, which keeps it out of the affinity that processes start with"
    assert reasons[4] == ("not online, without a directory",)
    assert "nodes" not in explanation(isolated)
    untold = replace(bare, allowed_cpus=frozenset({0}), allowed_nodes=frozenset())
    assert reasons_against_cpus(untold)[1] == ("left out by the description of the machine",)
    assert "allowed nodes: none (0 of 1)\n  not node 0: left out by the description" in explanation(untold)


@given(topologies())
def test_whatever_is_present_is_allowed_or_has_a_reason(topology: Topology) -> None:
    cpus, nodes = reasons_against_cpus(topology), reasons_against_nodes(topology)
    assert set(cpus) == (topology.present_cpus | topology.offline_cpus) - topology.allowed_cpus
    assert set(nodes) == {node.id for node in topology.nodes} - topology.allowed_nodes
    assert all((*cpus.values(), *nodes.values()))
    assert "left out" not in explanation(topology)
