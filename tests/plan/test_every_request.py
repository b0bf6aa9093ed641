"""Every number of instances and every number of cores on five shapes, and brute force on small machines.

IPEXLAUNCH_EXHAUSTIVE=1 asks every (n, cores) pair of the largest shape and 2,000 small machines.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Iterator

import pytest

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, Request, make_plan
from tests.plan.machines import SHAPES, machine

EXHAUSTIVE = bool(os.environ.get("IPEXLAUNCH_EXHAUSTIVE"))
SMALL_MACHINES = 2_500 if EXHAUSTIVE else 150
LARGE = 200
"""Cores above which the default run asks only for pairs that could fit, and the first that cannot."""


def node_sizes(topology: Topology) -> list[int]:
    sizes: dict[int, int] = {}
    for cpu in topology.cpus:
        if cpu.id == cpu.core and cpu.node is not None:
            sizes[cpu.node] = sizes.get(cpu.node, 0) + 1
    return [sizes[node] for node in sorted(sizes)]


def pairs(total: int) -> Iterator[tuple[int, int]]:
    for n in range(1, total + 1):
        highest = total if EXHAUSTIVE or total <= 56 else min(total, total // n + 1)
        stride = 1 if EXHAUSTIVE or total <= LARGE else 40
        yield from ((n, c) for c in {*range(1, highest + 1, stride), total // n, highest})


def straddles(topology: Topology, plan: Plan) -> bool:
    return any(len({topology.by_cpu[cpu].node for cpu in instance.cpus}) > 1 for instance in plan.instances)


@pytest.mark.parametrize("name", SHAPES)
def test_exactly_n_or_an_error_and_no_straddling(name: str) -> None:
    topology = SHAPES[name]
    sizes = node_sizes(topology)
    for n, c in pairs(sum(sizes)):
        fits_inside = sum(size // c for size in sizes) >= n
        try:
            plan = make_plan(topology, Request(ninstances=n, ncores_per_instance=c))
        except PlanError:
            assert not fits_inside, (n, c)
            continue
        assert len(plan.instances) == n, (n, c)
        assert all(len(instance.cpus) == c for instance in plan.instances), (n, c)
        if n >= len(sizes) or fits_inside:
            assert not straddles(topology, plan), (n, c)


@pytest.mark.parametrize("name", SHAPES)
def test_every_n_alone_is_exact_and_does_not_straddle(name: str) -> None:
    topology = SHAPES[name]
    sizes = node_sizes(topology)
    for n in range(1, sum(sizes) + 1):
        plan = make_plan(topology, Request(ninstances=n))
        assert len(plan.instances) == n
        assert len({len(instance.cpus) for instance in plan.instances}) == 1
        assert n < len(sizes) or not straddles(topology, plan)
    with pytest.raises(PlanError):
        make_plan(topology, Request(ninstances=sum(sizes) + 1))


@pytest.mark.parametrize("name", SHAPES)
def test_every_size_alone_gives_as_many_as_fit(name: str) -> None:
    topology = SHAPES[name]
    sizes = node_sizes(topology)
    for c in range(1, sum(sizes) + 1):
        plan = make_plan(topology, Request(ncores_per_instance=c))
        inside = sum(size // c for size in sizes)
        assert len(plan.instances) == inside if inside else len(plan.instances) >= 1


def best_by_brute_force(sizes: list[int], n: int) -> int:
    """Cores that the best equal split uses in which no instance crosses a node: every way to deal n to the nodes."""
    best = 0
    for dealt in itertools.product(*(range(min(n, size) + 1) for size in sizes)):
        if sum(dealt) == n:
            each = min(size // here for size, here in zip(sizes, dealt, strict=True) if here)
            best = max(best, n * each)
    return best


def small_machines(count: int) -> Iterator[Topology]:
    rng = random.Random(4)
    for _ in range(count):
        total = rng.randint(1, 24)
        nodes = rng.randint(1, min(5, total))
        marks = sorted(rng.sample(range(1, total), nodes - 1))
        sizes = [b - a for a, b in zip([0, *marks], [*marks, total], strict=True)]
        yield machine(
            sizes,
            threads=rng.choice([1, 2]),
            interleaved=rng.random() < 0.3,
            adjacent=rng.random() < 0.3,
            l3_cores=rng.choice([None, 2, 3, 4]),
            sockets=rng.choice([None, 1]),
        )


def test_never_fewer_cores_than_the_best_equal_split_that_brute_force_finds() -> None:
    known: dict[tuple[tuple[int, ...], int], int] = {}
    for topology in small_machines(SMALL_MACHINES):
        sizes = node_sizes(topology)
        for n in range(1, sum(sizes) + 1):
            plan = make_plan(topology, Request(ninstances=n))
            key = (tuple(sorted(sizes)), n)
            best = known[key] if key in known else known.setdefault(key, best_by_brute_force(list(key[0]), n))
            assert sum(len(instance.cpus) for instance in plan.instances) >= best, (sizes, n)


def test_as_many_instances_of_a_size_as_brute_force_finds() -> None:
    for topology in small_machines(SMALL_MACHINES):
        sizes = node_sizes(topology)
        for c in range(1, max(sizes) + 1):
            plan = make_plan(topology, Request(ncores_per_instance=c))
            assert len(plan.instances) == sum(size // c for size in sizes), (sizes, c)
