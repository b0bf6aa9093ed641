"""Groups of whole domains that are nearest each other, for fewer instances than domains."""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.plan.distribute import cover

ROUNDS = 8
"""Rounds of exchanges between groups; real machines settle in one or two."""


def nearest_groups(
    sizes: Sequence[int], distances: Sequence[Sequence[int]], count: int, cores: int, members: Sequence[int] = ()
) -> list[list[int]] | None:
    """`count` disjoint groups of domains with at least `cores` cores each, near ones together.

    Args:
        sizes: cores of each domain.
        distances: how far domains are from each other (`domains.distance_table`).
        count: how many groups.
        cores: what each must hold at least.
        members: how many domains each has; empty = as many as it takes.

    Returns:
        Indices of each group's domains, ascending, groups in the order of their first domain; None where impossible.
    """
    groups = _grow(sizes, distances, count, cores, members)
    if groups is None and not members:
        groups = cover(sizes, count, cores)
    if groups is None:
        return None
    groups = _exchange(sizes, distances, [sorted(group) for group in groups], cores)
    return sorted(sorted(group) for group in groups)


def _grow(
    sizes: Sequence[int], distances: Sequence[Sequence[int]], count: int, cores: int, members: Sequence[int]
) -> list[list[int]] | None:
    """Start at the first free domain and add the one nearest to all of the group until it is complete."""
    free = [i for i, size in enumerate(sizes) if size]
    groups: list[list[int]] = []
    while len(groups) < count:
        if not free:
            return None
        group = [free.pop(0)]
        least = members[len(groups)] if members else 0
        while sum(sizes[i] for i in group) < cores or len(group) < least:
            if not free:
                return None
            nearest = min(free, key=lambda j: (sum(distances[i][j] for i in group), j))
            free.remove(nearest)
            group.append(nearest)
        groups.append(group)
    return groups


def _exchange(
    sizes: Sequence[int], distances: Sequence[Sequence[int]], groups: list[list[int]], cores: int
) -> list[list[int]]:
    """Swap members between groups, and with unused domains, while that brings groups nearer together."""
    unused = [i for i in range(len(sizes)) if sizes[i] and not any(i in group for group in groups)]

    def to_group(i: int, group: Sequence[int], without: int) -> int:
        return sum(distances[i][j] for j in group if j != without)

    for _ in range(ROUNDS):
        better = False
        for a, first in enumerate(groups):
            for second in [*groups[a + 1 :], unused]:
                for x in range(len(first)):
                    for y in range(len(second)):
                        i, j = first[x], second[y]
                        change = to_group(j, first, i) - to_group(i, first, i)
                        if second is not unused:
                            change += to_group(i, second, j) - to_group(j, second, j)
                        if change >= 0 or not _still_enough(sizes, first, i, j, cores):
                            continue
                        if second is not unused and not _still_enough(sizes, second, j, i, cores):
                            continue
                        first[x], second[y] = j, i
                        better = True
        if not better:
            break
    return groups


def _still_enough(sizes: Sequence[int], group: Sequence[int], out: int, into: int, cores: int) -> bool:
    return sum(sizes[i] for i in group) - sizes[out] + sizes[into] >= cores
