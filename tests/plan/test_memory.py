"""Memory nodes: nearest for memoryless nodes, HBM and CXL told apart, caps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.resources import expander_kinds, map_memory
from tests.plan.machines import GIB, machine


def nodes(topology: Topology, request: Request) -> list[list[int]]:
    return [sorted(instance.nodes) for instance in make_plan(topology, request).instances]


def test_flat_hbm_is_found_beside_each_node() -> None:
    topology = open_topology("xeon-max-2s-4n-14c-2t-hbm-flat")
    assert nodes(topology, Request()) == [[n] for n in range(8)]
    assert nodes(topology, Request(memory="dram")) == [[n] for n in range(8)]
    assert nodes(topology, Request(memory="hbm")) == [[n + 8] for n in range(8)]
    assert nodes(topology, Request(memory="all")) == [[n, n + 8] for n in range(8)]


def test_cxl_is_no_hbm() -> None:
    topology = open_topology("xeon-spr-2s-1n-52c-2t-cxl")
    assert all(not kind.startswith("hbm") for kind in expander_kinds(topology).values())
    with pytest.raises(PlanError, match="--memory hbm"):
        make_plan(topology, Request(memory="hbm"))
    assert frozenset().union(*map(frozenset, nodes(topology, Request(memory="all")))) == set(topology.by_node)


def test_bandwidth_decides_where_firmware_tells_it() -> None:
    topology = machine([4, 4, 0], memory=[64, 64, 128], distances={(0, 2): 14, (1, 2): 24})
    assert expander_kinds(topology) == {2: "expander (a guess by its size)"}
    told = tuple(
        replace(
            node, read_bandwidth_mb_s=800_000 if node.id == 2 else 200_000, initiators=frozenset({0, 1} & {node.id, 1})
        )
        for node in topology.nodes
    )
    fast = replace(topology, nodes=told)
    assert expander_kinds(fast) == {2: "hbm (HMAT)"}
    assert nodes(fast, Request(memory="hbm")) == [[2], [2]]
    assert nodes(fast, Request(memory="all")) == [[0], [1, 2]]  # node 1 is its initiator


def test_equally_near_memory_is_shared_evenly() -> None:
    topology = machine([4] * 4, memory=[64, 0, 64, 0], sockets=1)
    assert nodes(topology, Request()) == [[0], [0], [2], [2]]


def test_memory_that_is_not_allowed_is_not_used() -> None:
    topology = replace(machine([4, 4]), allowed_nodes=frozenset({1}))
    assert nodes(topology, Request()) == [[1], [1]]
    with pytest.raises(PlanError, match="none of the allowed nodes"):
        make_plan(replace(topology, allowed_nodes=frozenset()), Request())


def test_a_saved_tree_without_meminfo_still_plans() -> None:
    topology = machine([4, 4], memory=[0, 0])
    assert nodes(topology, Request()) == [[0], [1]]


def test_without_nodes_no_memory_is_bound() -> None:
    topology = open_topology("arm-1s-4c-1t-no-nodes")
    plan = make_plan(topology, Request(ninstances=2))
    assert [(instance.nodes, instance.memory) for instance in plan.instances] == [(frozenset(), "none")] * 2


def test_policies_are_names_in_the_plan() -> None:
    plan = make_plan(machine([4, 4]), Request(memory_policy="weighted-interleave", ninstances=1))
    assert [(instance.memory, sorted(instance.nodes)) for instance in plan.instances] == [
        ("weighted-interleave", [0, 1])
    ]


def test_memory_limits_the_number_and_says_so() -> None:
    topology = machine([8, 8], memory=[64, 16])
    plan = make_plan(topology, Request(ncores_per_instance=2, memory_per_instance_bytes=16 * GIB))
    assert [sorted(instance.nodes) for instance in plan.instances] == [[0]] * 4 + [[1]]
    with pytest.raises(PlanError) as caught:
        make_plan(topology, Request(ninstances=6, memory_per_instance_bytes=16 * GIB))
    assert "node 0 has 64 GiB, node 1 has 16 GiB, so 5 fit" in str(caught.value)
    assert "ask for 5 instances at most" in str(caught.value)


def test_every_node_with_cpus_has_memory_nodes() -> None:
    topology = open_topology("power9-2s-1n-22c-4t-gpu-memory")
    found = map_memory(topology, None)
    assert found.of_node == {0: frozenset({0}), 8: frozenset({8})}
