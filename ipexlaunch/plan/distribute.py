"""Slices and places that do not match one to one: who takes how many cores of which place, and which go together.

Rules, at each level: slices get places of their own while there are enough; else no slice is split while whole places
are left; else each takes whole places first, and the remainders go where something is split already.

Groups of whole domains that are nearest each other, for fewer instances than domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

COVER_STEPS = 1_000
"""Searches for groups of unlike domains end after so many steps; real machines have few distinct sizes and need few."""
COVER_PICKS = 200
"""How many ways to make one group are tried at each step."""


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
        distances: how far domains are from each other (`domains.distances_of`).
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


def assign(bins: Sequence[int], sizes: Sequence[int]) -> list[dict[int, int]]:
    """For each slice how many cores it takes from which bin.

    Args:
        bins: cores of each bin.
        sizes: cores of each slice, their sum at most that of the bins.
    """
    wanted = [size for size in sizes if size]
    if not wanted:
        return [{} for _ in sizes]
    if min(wanted) == max(wanted):
        size = wanted[0]
        equal = _apart(bins, size, len(wanted)) or _unsplit(bins, size, len(wanted))
        if equal is not None:
            following = iter(equal)
            return [next(following) if wants else {} for wants in sizes]
    return _whole_first(bins, sizes)


def _apart(bins: Sequence[int], size: int, count: int) -> list[dict[int, int]] | None:
    """Each slice in bins of its own."""
    if len(bins) < count:
        return None
    groups = _neighbours(bins, size, count) or cover(bins, count, size)
    if groups is None:
        return None
    takes = []
    for group in sorted(sorted(group) for group in groups):
        take, missing = {}, size
        for at in sorted(group, key=lambda at: (-min(bins[at], size), at)):
            take[at] = min(bins[at], missing)
            missing -= take[at]
        takes.append({at: amount for at, amount in take.items() if amount})
    return takes


def _neighbours(bins: Sequence[int], size: int, count: int) -> list[list[int]] | None:
    """Groups of bins that follow each other, where that is enough."""
    groups: list[list[int]] = []
    group: list[int] = []
    total = 0
    for at, amount in enumerate(bins):
        if amount >= size:
            groups.append([at])
            continue
        group.append(at)
        total += amount
        if total >= size:
            groups.append(group)
            group, total = [], 0
    if len(groups) < count:
        return None
    return sorted(groups, key=lambda group: (len(group), group))[:count]


def _unsplit(bins: Sequence[int], size: int, count: int) -> list[dict[int, int]] | None:
    """Several slices in one bin, but none in two."""
    slots = sorted((turn, at) for at, amount in enumerate(bins) for turn in range(amount // size))
    return [{at: size} for at in sorted(at for _, at in slots[:count])] if len(slots) >= count else None


def _whole_first(bins: Sequence[int], sizes: Sequence[int]) -> list[dict[int, int]]:
    """Whole bins first; then remainders, large ones first, where they fit in one piece."""
    left = list(bins)
    missing = list(sizes)
    takes: list[dict[int, int]] = [{} for _ in sizes]

    def take(i: int, at: int, amount: int) -> None:
        takes[i][at] = takes[i].get(at, 0) + amount
        left[at] -= amount
        missing[i] -= amount

    for i in range(len(sizes)):
        while whole := [at for at, size in enumerate(bins) if left[at] == size and 0 < size <= missing[i]]:
            at = max(whole, key=lambda at: (bins[at], -at))
            take(i, at, bins[at])
    waiting = sorted((i for i in range(len(sizes)) if missing[i]), key=lambda i: (-missing[i], i))
    for turn, i in enumerate(waiting):
        free = [at for at, size in enumerate(bins) if left[at] == size >= missing[i]]
        split = [at for at, size in enumerate(bins) if size > left[at] >= missing[i]]
        enough = len(free) >= len(waiting) - turn
        choice = free if free and (enough or not split) else split
        if choice:
            take(i, min(choice, key=lambda at: (left[at], at)), missing[i])
        while missing[i]:
            at = max(range(len(bins)), key=lambda at: (left[at], -at))
            take(i, at, min(left[at], missing[i]))
    return takes


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
