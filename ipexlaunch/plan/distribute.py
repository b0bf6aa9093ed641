"""How many instances each domain gets, and of how many cores: arithmetic on sizes, no cores involved.

Groups of whole domains that are nearest each other, for fewer instances than domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from ipexlaunch.plan.request import Strategy

COVER_STEPS = 1_000
"""Searches for groups of unlike domains end after so many steps; real machines have few distinct sizes and need few."""
COVER_PICKS = 200
"""How many ways to make one group are tried at each step."""


@dataclass(frozen=True, slots=True)
class MemoryCapacity:
    """How many instances each memory holds: domain to pool, pool to instances. No pools = no limit."""

    pools: tuple[int, ...] = ()
    """For each domain the index of the memory pool that its instances use."""
    instances: tuple[int, ...] = ()
    """For each pool how many instances its memory holds."""

    def of(self, domains: Sequence[int]) -> MemoryCapacity:
        """The same limits for some of the domains."""
        return MemoryCapacity(tuple(self.pools[at] for at in domains), self.instances) if self.pools else self

    def holds(self, given: Sequence[int]) -> bool:
        """Whether so many instances in each domain have their memory."""
        used = [0] * len(self.instances)
        for pool, count in zip(self.pools, given, strict=False):
            used[pool] += count
        return all(count <= most for count, most in zip(used, self.instances, strict=True))


def capacity(sizes: Sequence[int], cores: int, room: MemoryCapacity) -> int:
    """How many instances of `cores` cores fit when none crosses a domain."""
    if not room.pools:
        return sum(size // cores for size in sizes)
    held = [0] * len(room.instances)
    for size, pool in zip(sizes, room.pools, strict=True):
        held[pool] += size // cores
    return sum(min(count, most) for count, most in zip(held, room.instances, strict=True))


def spread(sizes: Sequence[int], cores: int, count: int, room: MemoryCapacity, strategy: Strategy) -> list[int]:
    """How many of `count` instances of `cores` cores each domain gets; the caller knows that they fit.

    scatter: as even as the sizes allow, one more for the first domains. close: the first domains are filled.
    """
    slots = [size // cores for size in sizes]
    given = [0] * len(slots)
    left = list(room.instances)
    missing = count
    while missing:
        before = missing
        for i, most in enumerate(slots):
            pool_left = left[room.pools[i]] if room.pools else missing
            free = min(most - given[i], pool_left, missing)
            take = free if strategy == "close" else min(free, 1)
            given[i] += take
            missing -= take
            if room.pools:
                left[room.pools[i]] -= take
        if missing == before:
            raise ValueError(f"{count} instances do not fit into slots {slots}")
    return given


def apportion(sizes: Sequence[int], count: int) -> list[int]:
    """How many of `count` instances each domain gets so that every core is used and the smallest is largest.

    Every domain gets one, then the next goes where instances stay largest (highest averages, as in D'Hondt).

    Args:
        sizes: cores of each domain, at least one each.
        count: between the number of domains and the number of cores.
    """
    given = [1] * len(sizes)
    for _ in range(count - len(sizes)):
        best = max(range(len(sizes)), key=lambda i: (sizes[i] / (given[i] + 1), -i))
        given[best] += 1
    return given


def cut_evenly(total: int, count: int) -> list[int]:
    """Sizes that differ by one at most, larger ones first, and sum to `total`."""
    size, larger = divmod(total, count)
    return [size + 1] * larger + [size] * (count - larger)


def cover(sizes: Sequence[int], count: int, cores: int) -> list[list[int]] | None:
    """Disjoint groups of domains (indices), `count` of them, each with at least `cores` cores; None where impossible.

    Exact while the search stays within COVER_STEPS (few distinct sizes, as real machines have); beyond that the
    answer is that of filling the emptiest group with the largest domain.
    """
    if sum(sizes) < count * cores or len(sizes) < count:
        return None
    greedy = _fill_emptiest(sizes, count, cores)
    if greedy is not None:
        return greedy
    distinct = tuple(sorted(set(sizes), reverse=True))
    amounts = tuple(sizes.count(size) for size in distinct)
    picks = _cover_amounts(distinct, amounts, count, cores)
    if picks is None:
        return None
    members = {size: [i for i, other in enumerate(sizes) if other == size] for size in distinct}
    return [
        [members[size].pop(0) for size, taken in zip(distinct, pick, strict=True) for _ in range(taken)]
        for pick in picks
    ]


def _fill_emptiest(sizes: Sequence[int], count: int, cores: int) -> list[list[int]] | None:
    groups: list[list[int]] = [[] for _ in range(count)]
    sums = [0] * count
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        target = min(range(count), key=lambda g: (sums[g], g))
        if sums[target] >= cores:
            break
        groups[target].append(i)
        sums[target] += sizes[i]
    return groups if min(sums) >= cores else None


def _cover_amounts(
    distinct: tuple[int, ...], amounts: tuple[int, ...], count: int, cores: int
) -> list[tuple[int, ...]] | None:
    """Groups as numbers of each distinct size, by exact search over what is left."""
    steps = 0

    @cache
    def search(left: tuple[int, ...], groups: int) -> tuple[tuple[int, ...], ...] | None:
        nonlocal steps
        steps += 1
        if not groups:
            return ()
        if steps > COVER_STEPS or sum(s * a for s, a in zip(distinct, left, strict=True)) < groups * cores:
            return None
        for pick in _minimal_picks(distinct, left, cores):
            rest = search(tuple(a - p for a, p in zip(left, pick, strict=True)), groups - 1)
            if rest is not None:
                return (pick, *rest)
        return None

    found = search(amounts, count)
    return None if found is None else list(found)


def _minimal_picks(distinct: tuple[int, ...], left: tuple[int, ...], cores: int) -> list[tuple[int, ...]]:
    """Every way to reach `cores` from which no member can be spared, fewest cores to spare first.

    The largest size that is left is always in the pick: in any cover some group holds it, or could.
    """
    picks: list[tuple[int, ...]] = []

    def extend(at: int, taken: tuple[int, ...], missing: int) -> None:
        if len(picks) >= COVER_PICKS:
            return
        if missing <= 0:
            picks.append(taken + (0,) * (len(distinct) - at))
            return
        if at == len(distinct):
            return
        most = min(left[at], -(-missing // distinct[at]))
        for amount in range(most, -1, -1):
            extend(at + 1, (*taken, amount), missing - amount * distinct[at])

    first = next(i for i, amount in enumerate(left) if amount)
    for amount in range(min(left[first], -(-cores // distinct[first])), 0, -1):
        extend(first + 1, (0,) * first + (amount,), cores - amount * distinct[first])
    return sorted(picks, key=lambda pick: sum(s * p for s, p in zip(distinct, pick, strict=True)))


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
