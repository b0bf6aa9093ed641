"""Slices and caches: no shared L3 without need, no split L3 while a whole one is free; hybrids dealt out alike."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Node, Topology
from ipexlaunch.plan import Plan, Request, make_plan
from ipexlaunch.plan.distribute import assign
from tests.plan.machines import GIB, machine

CCX = machine([32], l3_cores=8)


def lists(plan: Plan) -> list[str]:
    return [format_list(instance.cpus) for instance in plan.instances]


def caches(topology: Topology, plan: Plan) -> list[set[int | None]]:
    return [{topology.by_cpu[cpu].l3 for cpu in instance.cpus} for instance in plan.instances]


def test_four_small_instances_get_an_l3_each() -> None:
    assert lists(make_plan(CCX, Request(ninstances=4, ncores_per_instance=4))) == ["0-3", "8-11", "16-19", "24-27"]


def test_a_fifth_instance_shares_one_l3_only() -> None:
    plan = make_plan(CCX, Request(ninstances=5, ncores_per_instance=4))
    found = caches(CCX, plan)
    assert all(len(own) == 1 for own in found)
    assert sorted(sum(other == own for other in found) for own in found) == [1, 1, 1, 2, 2]


def test_instances_larger_than_an_l3_take_whole_ones_first() -> None:
    assert lists(make_plan(CCX, Request(ninstances=2, ncores_per_instance=12))) == ["0-11", "16-27"]
    assert lists(make_plan(CCX, Request(ninstances=3))) == ["0-7,24-25", "8-15,26-27", "16-23,28-29"]


def test_one_l3_is_split_only_where_it_must_be() -> None:
    plan = make_plan(CCX, Request(ninstances=5))  # 6 cores: four in whole L3 domains, one of what is left
    assert sorted(len(own) for own in caches(CCX, plan)) == [1, 1, 1, 1, 3]


def test_scope_l3_never_crosses_an_l3() -> None:
    assert lists(make_plan(CCX, Request(ninstances=3, scope="l3"))) == ["0-7", "8-15", "16-23"]
    assert lists(make_plan(CCX, Request(ninstances=2, scope="l3"))) == ["0-15", "16-31"]
    assert len(make_plan(CCX, Request(ncores_per_instance=6, scope="l3")).instances) == 4


def test_scope_l3_keeps_few_instances_inside_nodes() -> None:
    topology = machine([16, 32], l3_cores=8)
    plan = make_plan(topology, Request(ninstances=3, scope="l3"))
    assert lists(plan) == ["0-15", "16-31", "32-47"]


def test_l2_clusters_are_not_shared_without_need() -> None:
    cpus = tuple(Cpu(id=i, core=i, socket=0, node=0, l2=i // 4 * 4, l3=0) for i in range(16))
    topology = Topology(
        cpus=cpus,
        nodes=(Node(id=0, memory_bytes=GIB),),
        allowed_cpus=frozenset(range(16)),
        allowed_nodes=frozenset({0}),
    )
    assert lists(make_plan(topology, Request(ninstances=4, ncores_per_instance=3))) == ["0-2", "4-6", "8-10", "12-14"]


def hybrid(fast: int, slow: int) -> Topology:
    cpus = [Cpu(id=i, core=i // 2 * 2, socket=0, node=0, kind="performance") for i in range(2 * fast)]
    cpus += [Cpu(id=i, core=i, socket=0, node=0, kind="efficiency") for i in range(2 * fast, 2 * fast + slow)]
    return Topology(
        cpus=tuple(cpus),
        nodes=(Node(id=0, memory_bytes=GIB),),
        allowed_cpus=frozenset(cpu.id for cpu in cpus),
        allowed_nodes=frozenset({0}),
    )


def test_performance_cores_by_default() -> None:
    plan = make_plan(hybrid(8, 16), Request(ninstances=2))
    assert lists(plan) == ["0,2,4,6", "8,10,12,14"]


def test_efficiency_cores_on_request_are_dealt_out_alike() -> None:
    topology = hybrid(8, 16)
    plan = make_plan(topology, Request(ninstances=4, use_e_cores=True))
    kinds = [sorted(str(topology.by_cpu[cpu].kind) for cpu in instance.cpus) for instance in plan.instances]
    assert kinds == [["efficiency"] * 4 + ["performance"] * 2] * 4


def test_unlike_sibling_numbers_still_give_equally_many_threads() -> None:
    plan = make_plan(hybrid(3, 5), Request(ninstances=2, use_e_cores=True, use_logical_cores=True))
    assert len({len(instance.cpus) for instance in plan.instances}) == 1


def test_efficiency_cores_named_in_a_list_are_used() -> None:
    assert lists(make_plan(hybrid(4, 4), Request(cores_list="0,8-11"))) == ["0,8-11"]
    assert lists(make_plan(hybrid(4, 4), Request(cores_list="all"))) == ["0,2,4,6"]


@settings(max_examples=400, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 12), st.integers(1, 12))
def test_assigned_cores_add_up_and_no_bin_is_split_needlessly(bins: list[int], size: int, count: int) -> None:
    if size * count > sum(bins):
        return
    takes = assign(bins, [size] * count)
    assert [sum(take.values()) for take in takes] == [size] * count
    used = [sum(take.get(at, 0) for take in takes) for at in range(len(bins))]
    assert all(amount <= there for amount, there in zip(used, bins, strict=True))
    free = [there for there, amount in zip(bins, used, strict=True) if not amount]
    for take in takes:
        if len(take) > 1 and any(there >= size for there in free):
            pytest.fail(f"{take} is split while a whole bin that holds it is free: {bins}")
    users = [sum(at in take for take in takes) for at in range(len(bins))]
    if max(users) > 1 and size <= min(bins):
        assert not free  # none shares while a whole one is free
