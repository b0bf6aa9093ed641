"""ipexrun's rule: the published figures of its defects, and agreement where it is right."""

from __future__ import annotations

import pytest

from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.ipexrun_plan import ipexrun_instances
from tests.plan.machines import machine

TWO_BY_28 = machine([28, 28], threads=2)


@pytest.mark.parametrize(
    ("nodes", "wrong", "straddling"),
    [([28, 28], 98, 12), ([32, 32], 118, 14), ([60, 60], 286, 10), ([16] * 8, 310, 32), ([20] * 6, 286, 27)],
)
def test_its_published_defects_are_reproduced(nodes: list[int], wrong: int, straddling: int) -> None:
    topology = machine(nodes)
    total = sum(nodes)
    asked = [(n, c) for n in range(1, total + 1) for c in range(1, total // n + 1)]
    other = [
        (n, c) for n, c in asked if len(ipexrun_instances(topology, Request(ninstances=n, ncores_per_instance=c))) != n
    ]
    assert len(other) == wrong
    crossing = [
        n
        for n in range(1, total + 1)
        if any(len(pool.nodes) > 1 for pool in ipexrun_instances(topology, Request(ninstances=n)))
    ]
    assert len(crossing) == straddling


def test_interleaved_numbering_makes_even_two_instances_straddle() -> None:
    topology = machine([32, 32], interleaved=True)
    pools = ipexrun_instances(topology, Request(ninstances=2))
    assert all(pool.nodes == {0, 1} for pool in pools)


def test_three_bound_instances_are_unequal() -> None:
    pools = ipexrun_instances(TWO_BY_28, Request(ninstances=3, bind_numa_node=True))
    assert [len(pool.cpus) for pool in pools] == [28, 14, 14]


def test_more_cores_than_a_node_has_start_nothing() -> None:
    assert ipexrun_instances(TWO_BY_28, Request(ncores_per_instance=40, bind_numa_node=True)) == ()


MACHINES = {
    "2x28": TWO_BY_28,
    "2x22": machine([22, 22], threads=2),
    "2x60": machine([60, 60]),
    "8x16": machine([16] * 8, sockets=2, threads=2),
    "4 interleaved": machine([16] * 4, interleaved=True, threads=2),
}


def cases(topology: Topology) -> list[Request]:
    """What is bound to nodes and comes out equal and complete: where ipexrun does what its documentation says."""
    nodes = len(topology.nodes)
    size = len(topology.cores) // nodes
    found = [Request(throughput_mode=True, bind_numa_node=True), Request(bind_numa_node=True, ninstances=nodes)]
    for k in range(1, size + 1):
        found.append(Request(bind_numa_node=True, ninstances=k * nodes))
        found.append(Request(bind_numa_node=True, ncores_per_instance=k))
        found.append(Request(bind_numa_node=True, ncores_per_instance=k, ninstances=size // k * nodes))
        found += [
            Request(bind_numa_node=True, ncores_per_instance=k, ninstances=n, strategy=strategy)
            for n in range(nodes, size // k * nodes)
            for strategy in ("close", "scatter")
            if strategy == "close" or n % nodes == 0
        ]
    for node in range(nodes):
        found.append(Request(nodes_list=str(node)))
        found.append(Request(nodes_list=str(node), ninstances=2))
        found.append(Request(nodes_list=str(node), ninstances=1, ncores_per_instance=5))
    found.append(Request(nodes_list="0", use_logical_cores=True))
    return found


@pytest.mark.parametrize("name", MACHINES)
def test_cases_that_it_gets_right_agree_cpu_for_cpu(name: str) -> None:
    topology = MACHINES[name]
    for request in cases(topology):
        theirs = ipexrun_instances(topology, request)
        ours = make_plan(topology, request)
        assert {frozenset(pool.cpus) for pool in theirs} == {instance.cpus for instance in ours.instances}, request
        memory = {(frozenset(pool.cpus), pool.nodes) for pool in theirs}
        assert memory == {(instance.cpus, instance.nodes) for instance in ours.instances}, request


def test_the_documented_examples_agree() -> None:
    """ipexrun's guide, on 2 sockets of 22 cores and 2 threads."""
    topology = MACHINES["2x22"]

    def cpus(request: Request) -> list[set[int]]:
        return [set(instance.cpus) for instance in make_plan(topology, request).instances]

    assert cpus(Request(nodes_list="1")) == [set(range(22, 44))]
    assert cpus(Request(ninstances=1, ncores_per_instance=10)) == [set(range(10))]
    assert cpus(Request(ncores_per_instance=10, cores_list="11-20")) == [set(range(11, 21))]
    assert cpus(Request(throughput_mode=True)) == [set(range(22)), set(range(22, 44))]
    assert cpus(Request(ninstances=1, use_logical_cores=True)) == [set(range(88))]
    assert cpus(Request(latency_mode=True))[:5] == [set(range(4 * i, 4 * i + 4)) for i in range(5)]
