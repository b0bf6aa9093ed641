"""Requests that contradict themselves, goals, modes, groups, and what each option means."""

from __future__ import annotations

from typing import Any

import pytest

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, Request, make_plan
from ipexlaunch.plan.notation import format_bytes, parse_bytes
from tests.plan.machines import GIB, SHAPES, machine

TWO = SHAPES["2x28"]


def lists(plan: Plan) -> list[str]:
    return [format_list(instance.cpus) for instance in plan.instances]


@pytest.mark.parametrize(
    ("asked", "first", "second"),
    [
        ({"latency_mode": True, "throughput_mode": True}, "--latency-mode", "--throughput-mode"),
        ({"latency_mode": True, "ninstances": 3}, "--latency-mode", "--ninstances 3"),
        ({"latency_mode": True, "ncores_per_instance": 8}, "--latency-mode", "--ncores-per-instance 8"),
        ({"latency_mode": True, "use_logical_cores": True}, "--latency-mode", "--use-logical-cores"),
        ({"throughput_mode": True, "ninstances": 3}, "--throughput-mode", "--ninstances 3"),
        ({"throughput_mode": True, "goal": "latency"}, "--throughput-mode", "--goal latency"),
        ({"goal": "latency", "ncores_per_instance": 4}, "--goal latency", "--ncores-per-instance 4"),
        ({"greedy": True, "ncores_per_instance": 4}, "--greedy", "--ncores-per-instance 4"),
        ({"groups": ("1x4",), "ninstances": 3}, "--group", "--ninstances 3"),
        ({"groups": ("1x4",), "ncores_per_instance": 3}, "--group", "--ncores-per-instance 3"),
        ({"groups": ("1x4",), "scope": "l3"}, "--group", "--scope l3"),
        ({"bind_numa_node": True, "scope": "machine"}, "--bind-numa-node", "--scope machine"),
        ({"memory": "all", "memory_policy": "none"}, "--memory all", "--memory-policy none"),
    ],
)
def test_contradictions_name_both_options(asked: dict[str, Any], first: str, second: str) -> None:
    with pytest.raises(RequestError) as caught:
        make_plan(TWO, Request(**asked))
    assert first in str(caught.value)
    assert second in str(caught.value)


def test_cores_and_nodes_lists_that_disagree_are_refused() -> None:
    with pytest.raises(PlanError, match="--cores-list 0-3,30 together with --nodes-list 0: cpus 30 are on other nodes"):
        make_plan(TWO, Request(cores_list="0-3,30", nodes_list="0"))
    assert lists(make_plan(TWO, Request(cores_list="0-3", nodes_list="0"))) == ["0-3"]


def test_zero_minus_one_and_auto_cores() -> None:
    assert lists(make_plan(TWO, Request(ninstances=3, ncores_per_instance=0))) == ["0-13", "14-27", "28-41"]
    assert lists(make_plan(TWO, Request(ninstances=3, ncores_per_instance=-1))) == ["0-13", "14-27", "28-55"]
    assert lists(make_plan(TWO, Request(ninstances=3, ncores_per_instance="auto"))) == ["0-13", "14-27", "28-41"]
    assert len(make_plan(TWO, Request(ncores_per_instance="auto")).instances) == 8


def test_greedy_uses_every_core_and_sizes_differ_by_one_inside_a_node() -> None:
    plan = make_plan(TWO, Request(ninstances=5, greedy=True))
    assert [len(instance.cpus) for instance in plan.instances] == [10, 9, 9, 14, 14]
    assert not plan.idle_cpus


def test_close_fills_the_first_node() -> None:
    request = Request(ninstances=4, ncores_per_instance=4, strategy="close")
    assert lists(make_plan(TWO, request)) == ["0-3", "4-7", "8-11", "12-15"]


def test_latency_mode_is_four_cores_and_throughput_mode_one_instance_per_node() -> None:
    assert len(make_plan(TWO, Request(latency_mode=True)).instances) == 14
    assert lists(make_plan(TWO, Request(throughput_mode=True))) == ["0-27", "28-55"]
    assert lists(make_plan(TWO, Request(throughput_mode=True, nodes_list="1"))) == ["28-55"]


@pytest.mark.parametrize(
    ("topology", "cores"),
    [
        (machine([43, 43, 42] * 2, sockets=2), 7),  # Llama-3.1-8B on 2 x Xeon 6980P: 36 x 7
        (machine([32] * 6, sockets=2), 8),  # the same on 96-core parts: 8
        (machine([28, 28]), 7),
        (machine([60, 60]), 6),
        (machine([64], l3_cores=8), 8),
        (machine([64], l3_cores=4), 4),
        (machine([3, 3]), 3),
    ],
)
def test_the_throughput_goal_follows_published_practice(topology: Topology, cores: int) -> None:
    plan = make_plan(topology, Request(goal="throughput"))
    assert {len(instance.cpus) for instance in plan.instances} == {cores}


def test_the_latency_goal_is_a_node_each() -> None:
    assert lists(make_plan(TWO, Request(goal="latency"))) == ["0-27", "28-55"]


def test_reserved_cores_are_the_first_of_each_node() -> None:
    plan = make_plan(machine([8, 8], threads=2), Request(reserve_cores=2, use_logical_cores=True))
    assert lists(plan) == ["2-7,18-23", "10-15,26-31"]


def test_scopes_widen_what_an_instance_may_cross() -> None:
    four = machine([8] * 4, sockets=2)
    assert lists(make_plan(four, Request(scope="socket"))) == ["0-15", "16-31"]
    assert lists(make_plan(four, Request(scope="machine"))) == ["0-31"]
    assert sum(len(i.cpus) for i in make_plan(four, Request(ninstances=3, scope="machine")).instances) == 30


def test_groups_are_placed_where_they_say() -> None:
    plan = make_plan(TWO, Request(groups=("2x14@node0", "3x8@node1")))
    assert lists(plan) == ["0-13", "14-27", "28-35", "36-43", "44-51"]


def test_groups_without_a_place_stay_inside_nodes_where_they_can() -> None:
    assert lists(make_plan(TWO, Request(groups=("1x40", "2x4")))) == ["0-39", "40-43", "44-47"]
    assert lists(make_plan(TWO, Request(groups=("2x20", "2x8")))) == ["0-19", "28-47", "20-27", "48-55"]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("2y4", ["it is not COUNTxCORES"]),
        ("0x4", ["from 1"]),
        ("2x4@node7", ["node 7 has no usable core", "0-1"]),
        ("2x20@node0", ["2x20@node0", "28 cores", "8 of node 0"]),
        ("1x4@node3-1", ["ends before it begins"]),
    ],
)
def test_groups_that_cannot_be_are_refused(group: str, words: list[str]) -> None:
    with pytest.raises((RequestError, PlanError)) as caught:
        make_plan(TWO, Request(groups=(group,)))
    for word in words:
        assert word in str(caught.value)


def test_memory_of_groups_counts_too() -> None:
    with pytest.raises(PlanError, match="40 GiB"):
        make_plan(TWO, Request(groups=("2x4@node0",), memory_per_instance_bytes=40 * GIB))


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("24GiB", 24 << 30),
        ("24Gi", 24 << 30),
        ("1024B", 1024),
        ("24g", 24 << 30),
        ("24GB", 24 * 10**9),
        ("1.5T", 3 << 39),
    ],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_bytes(text, "--memory-per-instance") == size


@pytest.mark.parametrize("text", ["", "GiB", "-1G", "1 2", "4XB", "1e3", "24", "24GiBB", "24ib", "0GiB"])
def test_malformed_sizes_are_refused(text: str) -> None:
    with pytest.raises(RequestError, match=r"it is not a size|it has no unit|no memory has that size"):
        parse_bytes(text, "--memory-per-instance")


def test_sizes_are_written_in_the_largest_unit() -> None:
    assert [format_bytes(n) for n in (512, 1 << 20, 3 << 29, 5 << 40)] == ["512 B", "1 MiB", "1.5 GiB", "5 TiB"]
