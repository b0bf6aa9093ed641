"""Explanations: the rule that decided, and a reason for every idle cpu."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.explain import explain_plan
from ipexlaunch.plan.ipexrun_plan import compare_with_ipexrun
from tests.plan.machines import GIB, SHAPES, machine
from tests.plan.requests import requests
from tests.strategies import topologies

TWO = machine([28, 28], threads=2)


def told(topology: Topology, request: Request) -> str:
    return "\n".join(explain_plan(topology, make_plan(topology, request)))


def test_the_rule_and_the_left_over_cores_are_named() -> None:
    text = told(TWO, Request(ninstances=3))
    assert "3 instances asked for: 14 cores is the largest size" in text
    assert "4 instances of 14 cores would use 56 cores instead of 42" in text
    assert "idle: cpus 42-55,98-111: left over, 14 cores of node 1, room for one more instance" in text
    assert "idle: cpus 56-97: siblings of used cores; --use-logical-cores adds them" in text


def test_a_goal_says_that_it_is_a_guess() -> None:
    text = told(TWO, Request(goal="throughput"))
    assert "7 cores" in text
    assert "a guess, which `ipexlaunch tune` would measure" in text


def test_memory_says_that_it_capped_the_number() -> None:
    text = told(TWO, Request(ncores_per_instance=4, memory_per_instance_bytes=24 * GIB))
    assert "memory capped the number at 4: 24 GiB" in text


def test_reserved_and_efficiency_cores_are_named() -> None:
    topology = open_topology("core-rpl-1s-1n-8p+16e-2t")
    text = told(topology, Request(reserve_cores=1))
    assert "idle: cpus 16-31: efficiency cores; --use-e-cores adds them" in text
    assert "idle: cpu 0: reserved for the system" in text


def test_whole_nodes_and_memory_only_nodes_are_explained() -> None:
    topology = open_topology("xeon-max-2s-4n-14c-2t-hbm-flat")
    text = told(topology, Request(ninstances=3))
    assert "with fewer instances than nodes, instances 0-2 take whole nodes that are nearest each other" in text
    assert "memory-only nodes 8-15 are not used; --memory hbm or --memory all takes them" in text
    assert "node 8 as hbm" in told(topology, Request(memory="hbm"))


def test_a_quota_is_a_warning() -> None:
    assert "the cgroup's cpu quota is 6.5 cpus and the plan runs 56 threads" in told(
        replace(TWO, cpu_quota=6.5), Request(ninstances=2)
    )


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(topologies().flatmap(lambda topology: st.tuples(st.just(topology), requests(topology))))
@example((machine([4], threads=2), Request(ninstances=1, cores_list="4-5", bind_numa_node=True)))  # siblings alone
def test_every_idle_cpu_has_exactly_one_reason(asked: tuple[Topology, Request]) -> None:
    topology, request = asked
    try:
        plan = make_plan(topology, request)
    except IpexLaunchError:
        return
    lines = explain_plan(topology, plan)
    named = Counter(
        cpu for line in lines if (match := re.match(r"idle: cpus? ([\d,-]+): ", line)) for cpu in parse_list(match[1])
    )
    assert set(named) == plan.idle_cpus
    assert all(count == 1 for count in named.values())
    compare_with_ipexrun(topology, plan)


def test_the_comparison_says_what_the_predecessor_gets_wrong() -> None:
    plan = make_plan(SHAPES["2x28"], Request(ninstances=8, ncores_per_instance=4))
    text = "\n".join(compare_with_ipexrun(SHAPES["2x28"], plan))
    assert "it starts 7 instances, 8 were asked for" in text
    plan = make_plan(SHAPES["2x28"], Request(ninstances=3))
    assert "instance 1 straddles nodes" in "\n".join(compare_with_ipexrun(SHAPES["2x28"], plan))
    plan = make_plan(SHAPES["2x28"], Request(ninstances=2, bind_numa_node=True))
    assert "the plan gives the same cpus" in "\n".join(compare_with_ipexrun(SHAPES["2x28"], plan))


def test_the_comparison_knows_requests_that_leave_it_no_cpu() -> None:
    topology = machine([4], threads=2)
    plan = make_plan(topology, Request(ninstances=1, cores_list="4-5", bind_numa_node=True))
    text = "\n".join(compare_with_ipexrun(topology, plan))
    assert "0: no cpu at all" in text
    assert "1 instance (0) without any cpu" in text


def test_the_comparison_says_where_it_leaves_the_allowed_set() -> None:
    topology = machine([4, 4], allowed=frozenset({1, 2, 5, 6}))
    text = "\n".join(compare_with_ipexrun(topology, make_plan(topology, Request())))
    assert "cpus 0,3-4,7 are not allowed here" in text
