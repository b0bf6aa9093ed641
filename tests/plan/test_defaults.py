"""Where nothing is asked: unlike nodes, quotas, what a cgroup's memory holds, and what is said before the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.topology import Limit, Node, Topology
from ipexlaunch.plan import Plan, Request, check_plan, make_plan
from ipexlaunch.plan.explain import explain_plan
from ipexlaunch.plan.planner import plan_notes
from tests.plan.machines import GIB, machine


def shape(plan: Plan) -> tuple[int, int]:
    """Number of instances and the cpus of each, which are equal."""
    [size] = {len(instance.cpus) for instance in plan.instances}
    return len(plan.instances), size


def nodes_of(topology: Topology, plan: Plan) -> list[set[int | None]]:
    return [{topology.by_cpu[cpu].node for cpu in instance.cpus} for instance in plan.instances]


@pytest.mark.parametrize(
    ("sizes", "count", "cores"),
    [
        ([28, 28], 2, 28),
        ([48, 16], 4, 16),
        ([1, 1, 12, 12, 12, 12], 8, 6),
        ([4, 3, 1], 8, 1),
        ([43, 43, 42], 3, 42),
        ([5, 5, 4], 3, 4),
        ([16, 16, 18, 18], 4, 16),
        ([7, 1], 8, 1),
        ([30, 1], 2, 15),
        ([100, 1], 2, 50),
    ],
)
def test_the_number_of_instances_for_unlike_nodes(sizes: Sequence[int], count: int, cores: int) -> None:
    topology = machine(sizes)
    plan = make_plan(topology, Request())
    assert shape(plan) == (count, cores)
    assert all(len(nodes) == 1 for nodes in nodes_of(topology, plan))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_the_rule_is_the_first_that_uses_95_percent_else_the_most_with_fewest(sizes: list[int]) -> None:
    def used(count: int) -> int:
        return count * max((c for c in range(1, max(sizes) + 1) if sum(s // c for s in sizes) >= count), default=0)

    counts = range(len(sizes), 4 * len(sizes) + 1)
    first = next((n for n in counts if used(n) >= 0.95 * sum(sizes)), None)
    wanted = len(sizes) if len(set(sizes)) == 1 else first or min(counts, key=lambda n: (-used(n), n))
    topology = machine(sizes)
    plan = make_plan(topology, Request())
    count, cores = shape(plan)
    assert (count, count * cores) == (wanted, used(wanted))
    check_plan(topology, plan)


def test_what_decided_is_said_with_what_greedy_would_give() -> None:
    topology = machine([48, 16])
    [note] = plan_notes(topology, make_plan(topology, Request()))
    assert note == (
        "64 of 64 cores used (100 %), in 4 instances: nodes are unlike: the first number from 2 on whose equal split "
        "inside nodes uses 95 % of the cores (64 of 64); --greedy would give 2 instances of 16 to 48 cores, all 64"
    )
    topology = machine([5, 5, 4])
    plan = make_plan(topology, Request())
    [note] = plan_notes(topology, plan)
    assert note.startswith("12 of 14 cores used (85 %), in 3 instances: nodes are unlike: no number of equal instances")
    assert any("3 uses most (12 of 14); --greedy would" in line for line in explain_plan(topology, plan))
    assert len(make_plan(topology, Request(greedy=True)).instances) == 3
    assert make_plan(topology, Request(greedy=True)).idle_cpus == frozenset()


@pytest.mark.parametrize("sizes", [[28, 28], [43, 43, 42]])
def test_nothing_is_said_where_one_per_node_uses_nearly_all(sizes: Sequence[int]) -> None:
    topology = machine(sizes)
    assert plan_notes(topology, make_plan(topology, Request())) == ()


def test_throughput_mode_stays_one_per_node() -> None:
    topology = machine([48, 16])
    plan = make_plan(topology, Request(throughput_mode=True))
    assert nodes_of(topology, plan) == [{0}, {1}]
    assert shape(plan) == (2, 16)


def test_fewer_instances_than_nodes_are_told_which_numbers_would_use_all() -> None:
    topology = machine([16] * 6)
    [note] = plan_notes(topology, make_plan(topology, Request(ninstances=4)))
    assert note == "4 instances on 6 nodes use 64 of 96 cores (66 %); --ninstances 3 or 6 would use all"
    for count in (1, 2, 3, 6):
        assert plan_notes(topology, make_plan(topology, Request(ninstances=count))) == ()


@pytest.mark.parametrize(
    ("sizes", "quota", "count", "cores", "nodes"),
    [
        ([32, 32], 8.0, 2, 4, [0, 1]),
        ([32, 32], 7.5, 2, 4, [0, 1]),
        ([32, 32], 9.0, 2, 4, [0, 1]),
        ([32, 32], 64.0, 2, 32, [0, 1]),
        ([32, 32], 0.5, 1, 1, [0]),
        ([16] * 8, 3.0, 3, 1, [0, 1, 2]),
        ([16] * 8, 10.2, 8, 1, list(range(8))),
        ([48, 16], 8.0, 2, 4, [0, 1]),
        ([48, 16], 60.0, 4, 15, [0, 0, 0, 1]),
        ([4, 3, 1], 2.0, 2, 1, [0, 1]),
        ([2, 7, 4, 2], 14.0, 7, 2, [0, 1, 1, 1, 2, 2, 3]),
        ([1, 12, 12], 9.0, 3, 3, [1, 1, 2]),
    ],
)
def test_a_quota_pays_for_the_cores_that_are_planned(
    sizes: Sequence[int], quota: float, count: int, cores: int, nodes: list[int]
) -> None:
    topology = replace(machine(sizes), cpu_quota=quota)
    plan = make_plan(topology, Request())
    assert shape(plan) == (count, cores)
    assert nodes_of(topology, plan) == [{node} for node in nodes]
    if sum(sizes) > quota:
        assert f"the cgroup's cpu quota of {quota:g} cpus" in plan_notes(topology, plan)[0]


def test_the_instances_of_a_small_quota_are_on_nodes_nearest_each_other() -> None:
    far = {(0, 1): 31, (0, 2): 12, (1, 3): 12, (2, 3): 31, (0, 3): 31, (1, 2): 31}
    topology = replace(machine([8] * 4, distances=far), cpu_quota=2.0)
    assert nodes_of(topology, make_plan(topology, Request())) == [{0}, {2}]


@given(st.lists(st.integers(1, 24), min_size=1, max_size=5), st.floats(0.01, 80), st.booleans())
def test_the_default_never_has_more_threads_than_the_quota_pays_for(
    sizes: list[int], quota: float, logical: bool
) -> None:
    topology = replace(machine(sizes, threads=2), cpu_quota=quota)
    plan = make_plan(topology, Request(use_logical_cores=logical))
    threads = sum(instance.threads for instance in plan.instances)
    assert threads <= max(ceil(quota), 2 if logical else 1)
    check_plan(topology, plan)


def test_what_was_asked_for_is_planned_and_the_quota_told() -> None:
    limit = Limit(kind="quota", file="sys/fs/cgroup/cpu.max", quota=8.0)
    topology = replace(machine([32, 32]), cpu_quota=8.0, limits=(limit,))
    for request in (Request(ninstances=4), Request(ncores_per_instance=16), Request(greedy=True)):
        plan = make_plan(topology, request)
        assert sum(instance.threads for instance in plan.instances) == 64
        [note] = plan_notes(topology, plan)
        assert note.startswith(
            "the cgroup's cpu quota of 8 cpus (sys/fs/cgroup/cpu.max) does not pay for the 64 threads of this plan"
        )
        assert plan_notes(topology, plan, stored=True) == (note,)


MAX = Limit(kind="memory", file="sys/fs/cgroup/memory.max", memory_bytes=32 * GIB)


def limited(*limits: Limit, nodes: tuple[Node, ...] = ()) -> Topology:
    plain = [limit.memory_bytes for limit in limits if limit.page_bytes is None and limit.memory_bytes is not None]
    topology = replace(machine([32, 32]), limits=limits, memory_limit_bytes=min(plain, default=None))
    return replace(topology, nodes=nodes) if nodes else topology


@pytest.mark.parametrize(
    ("request_", "count"),
    [
        (Request(memory_per_instance_bytes=24 * GIB), 1),
        (Request(memory_per_instance_bytes=16 * GIB), 2),
        (Request(memory_per_instance_bytes=8 * GIB, ncores_per_instance=4), 4),
        (Request(memory_per_instance_bytes=24 * GIB, greedy=True), 1),
        (Request(memory_per_instance_bytes=24 * GIB, ncores_per_instance=4), 1),
    ],
)
def test_the_cgroups_memory_limits_the_number_of_instances(request_: Request, count: int) -> None:
    assert len(make_plan(limited(MAX), request_).instances) == count


@pytest.mark.parametrize(
    "request_",
    [
        Request(memory_per_instance_bytes=40 * GIB),
        Request(memory_per_instance_bytes=24 * GIB, ninstances=2),
        Request(memory_per_instance_bytes=40 * GIB, greedy=True),
        Request(memory_per_instance_bytes=24 * GIB, groups=("2x4",)),
        Request(memory_per_instance_bytes=24 * GIB, cores_list="0-1|2-3"),
        Request(memory_per_instance_bytes=24 * GIB, ninstances=4, scope="machine"),
    ],
)
def test_more_than_the_cgroup_allows_is_an_error_that_names_the_limit(request_: Request) -> None:
    with pytest.raises(
        PlanError, match=r"the cgroup allows 32 GiB \(sys/fs/cgroup/memory\.max\) to all processes in it"
    ):
        make_plan(limited(MAX), request_)


def test_huge_pages_that_the_cgroup_refuses_are_no_memory() -> None:
    nodes = tuple(Node(id=n, memory_bytes=64 * GIB, huge_pages={1 << 30: 60}) for n in range(2))
    refusal = Limit(kind="memory", file="sys/fs/cgroup/hugetlb.1GB.max", memory_bytes=0, page_bytes=1 << 30)
    asked = Request(memory_per_instance_bytes=24 * GIB, ncores_per_instance=8)
    assert len(make_plan(limited(nodes=nodes), asked).instances) == 4
    with pytest.raises(PlanError, match=r"120 GiB of the nodes' 128 GiB are huge pages .*hugetlb\.1GB\.max"):
        make_plan(limited(refusal, nodes=nodes), asked)
    allowed = replace(refusal, memory_bytes=60 * GIB)
    assert len(make_plan(limited(allowed, nodes=nodes), asked).instances) == 2


@pytest.mark.parametrize("asked", [{"latency_mode": True}, {"ncores_per_instance": 4}])
def test_cores_that_memory_leaves_idle_are_told_where_a_size_was_asked_for(asked: dict[str, int]) -> None:
    topology = machine([16, 16], threads=2, memory=[40, 64])
    plan = make_plan(topology, Request(memory_per_instance_bytes=30 * GIB, **asked))  # type: ignore[arg-type]
    assert plan_notes(topology, plan) == (
        "3 instances: memory holds no more (--memory-per-instance), and the cores would hold 8",
    )
    assert plan_notes(topology, make_plan(topology, Request(**asked))) == ()  # type: ignore[arg-type]


def test_cores_that_the_user_reserved_are_not_said_to_be_idle_siblings_and_all() -> None:
    topology = machine([16, 16], threads=2)
    assert plan_notes(topology, make_plan(topology, Request(reserve_cores=8))) == ()
