"""What make_plan gives for the simple requests, and how it refuses."""

from __future__ import annotations

import pytest

from ipexlaunch.errors import IpexLaunchError, PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.plan import Plan, Request, make_plan
from tests.plan.machines import GIB, SHAPES, machine


def rows(plan: Plan) -> list[tuple[str, str]]:
    return [(format_list(instance.cpus), format_list(instance.nodes)) for instance in plan.instances]


def test_nothing_asked_gives_one_instance_per_node() -> None:
    assert rows(make_plan(SHAPES["2x28"], Request())) == [("0-27", "0"), ("28-55", "1")]


def test_three_instances_on_two_nodes_are_equal_and_do_not_straddle() -> None:
    plan = make_plan(SHAPES["2x28"], Request(ninstances=3))
    assert rows(plan) == [("0-13", "0"), ("14-27", "0"), ("28-41", "1")]
    assert format_list(plan.idle_cpus) == "42-55"


def test_eight_instances_of_four_cores_are_eight() -> None:
    plan = make_plan(SHAPES["2x28"], Request(ninstances=8, ncores_per_instance=4))
    assert len(plan.instances) == 8  # ipexrun starts seven


def test_unequal_nodes_give_the_largest_equal_size() -> None:
    plan = make_plan(SHAPES["4x(43,43,42)"], Request(ninstances=12))
    assert {len(instance.cpus) for instance in plan.instances} == {42}


def test_fewer_instances_than_nodes_take_whole_near_nodes() -> None:
    distances = {(0, 2): 11, (1, 3): 11}
    plan = make_plan(machine([8] * 4, distances=distances), Request(ninstances=2))
    assert rows(plan) == [("0-7,16-23", "0,2"), ("8-15,24-31", "1,3")]


def test_siblings_are_given_on_request_only() -> None:
    shape = machine([4, 4], threads=2)
    assert rows(make_plan(shape, Request()))[0] == ("0-3", "0")
    assert rows(make_plan(shape, Request(use_logical_cores=True)))[0] == ("0-3,8-11", "0")


def test_cores_list_of_second_siblings_is_taken_at_its_word() -> None:
    plan = make_plan(machine([4, 4], threads=2), Request(cores_list="8-15"))
    assert rows(plan) == [("8-11", "0"), ("12-15", "1")]


def test_memoryless_node_gets_the_nearest_memory() -> None:
    shape = machine([4, 4, 4], memory=[64, 0, 64], distances={(1, 2): 12, (0, 1): 20})
    assert [nodes for _, nodes in rows(make_plan(shape, Request()))] == ["0", "2", "2"]


def test_memory_caps_the_instances_of_each_node() -> None:
    request = Request(ncores_per_instance=4, memory_per_instance_bytes=24 * GIB)
    assert len(make_plan(SHAPES["2x28"], request).instances) == 4


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (Request(ninstances=57), PlanError, ["57 instances", "28 cores each", "56 instances at most"]),
        (
            Request(ninstances=3, ncores_per_instance=20),
            PlanError,
            ["28 cores each", "2 instances of 20", "3 instances of 14"],
        ),
        (Request(ninstances=0), RequestError, ["0 instances"]),
        (Request(cores_list="99"), PlanError, ["cpu 99 does not exist", "0-55"]),
        (Request(cores_list="3-1"), RequestError, ["ends before it begins", '"1-3"']),
        (Request(cores_list="a"), RequestError, ["'a' is not an id or a range"]),
        (Request(cores_list=""), RequestError, ["it is empty"]),
        (Request(nodes_list="7"), PlanError, ["node 7 does not exist", "0-1"]),
        (Request(latency_mode=True, ninstances=3), RequestError, ["--latency-mode", "--ninstances 3"]),
        (Request(instance_idx="9"), PlanError, ["instance 9", "0-1"]),
    ],
)
def test_a_refusal_says_what_is_there_and_what_would_work(
    request_: Request, kind: type[IpexLaunchError], words: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        make_plan(SHAPES["2x28"], request_)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_empty_allowed_set_is_refused() -> None:
    with pytest.raises(PlanError, match="none of the 8 online cpus is allowed"):
        make_plan(machine([4, 4], allowed=frozenset()), Request())
