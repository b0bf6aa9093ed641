"""Groups of whole nodes are the nearest: against every possible grouping of small machines."""

from __future__ import annotations

import itertools
import random

import pytest

from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.distribute import cover, nearest_groups
from tests.plan.machines import machine


def cost(groups: list[list[int]], table: list[list[int]]) -> int:
    return sum(table[a][b] for group in groups for a, b in itertools.combinations(group, 2))


def every_grouping(members: list[int], size: int) -> list[list[list[int]]]:
    if not members:
        return [[]]
    first, rest = members[0], members[1:]
    found = []
    for others in itertools.combinations(rest, size - 1):
        left = [m for m in rest if m not in others]
        found += [[[first, *others], *more] for more in every_grouping(left, size)]
    return found


def layered(nodes: int, per_socket: int, ring: bool = False) -> list[list[int]]:
    """Distances of nodes in sockets that are all alike far apart, or on a ring."""
    sockets = nodes // per_socket

    def between(a: int, b: int) -> int:
        if a == b:
            return 10
        hop = abs(a // per_socket - b // per_socket)
        hop = min(hop, sockets - hop) if ring else min(hop, 1)
        return 12 if hop == 0 else 11 + 10 * hop

    return [[between(a, b) for b in range(nodes)] for a in range(nodes)]


@pytest.mark.parametrize(("nodes", "per_socket"), [(4, 2), (8, 4), (8, 2), (8, 1), (6, 3)])
@pytest.mark.parametrize("ring", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
def test_groups_are_the_nearest_of_all(nodes: int, per_socket: int, ring: bool, shuffled: bool) -> None:
    table = layered(nodes, per_socket, ring)
    if shuffled:
        order = list(range(nodes))
        random.Random(nodes).shuffle(order)
        table = [[table[a][b] for b in order] for a in order]
    for size in range(2, nodes):
        if nodes % size == 0:
            groups = nearest_groups([4] * nodes, table, nodes // size, 4 * size)
            assert groups is not None
            best = min(cost(found, table) for found in every_grouping(list(range(nodes)), size))
            assert cost(groups, table) == best, (size, groups)


def test_sockets_count_where_the_kernel_gives_no_distances() -> None:
    topology = machine([4] * 6, sockets=2, distances={(a, b): 20 for a in range(6) for b in range(6) if a != b})
    plan = make_plan(topology, Request(ninstances=2))
    assert [sorted(instance.nodes) for instance in plan.instances] == [[0, 1, 2], [3, 4, 5]]


def test_a_cover_is_found_wherever_there_is_one() -> None:
    rng = random.Random(1)
    for _ in range(80):
        sizes = [rng.randint(1, 9) for _ in range(rng.randint(1, 5))]
        for count in range(1, len(sizes) + 1):
            best = 0
            for owners in itertools.product(range(count), repeat=len(sizes)):
                sums = [0] * count
                for size, owner in zip(sizes, owners, strict=True):
                    sums[owner] += size
                best = max(best, min(sums))
            groups = cover(sizes, count, best)
            assert groups is not None
            assert min(sum(sizes[at] for at in group) for group in groups) >= best
            assert len({at for group in groups for at in group}) == sum(len(group) for group in groups)
            assert cover(sizes, count, best + 1) is None
