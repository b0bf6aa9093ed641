"""How many instances, and how large, where nothing was asked: one per node where nodes are alike; else a rule.

Unlike nodes: the first number, from one per node to four times that, whose equal split inside nodes uses 95 % of the
cores; where none does, the number that uses most, the fewest on ties. Each instance holds a copy of the model, hence no
more than four per node. A cpu quota is never exceeded: threads that it does not pay for are stopped in every period.

Goals: cores per instance from published practice and the shape of the caches. A guess that `tune` would measure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.distribute import nearest_groups
from ipexlaunch.plan.domains import NOUNS, Domain, capacity, domains_of
from ipexlaunch.plan.layout import Layout, cpus_of_quota, quota_text
from ipexlaunch.plan.plan import Goal
from ipexlaunch.plan.published_sizes import PUBLISHED, Workload, published_cores

ENOUGH_PERCENT = 95
"""Of the cores: a split that uses so many is not worth a further copy of the model."""
MOST_PER_DOMAIN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class DefaultSplit:
    """What is planned where nothing was asked."""

    count: int
    """0 where not even one instance has its memory."""
    cores: int | None = None
    """Of each instance; None for the largest that all can have."""
    rule: str
    """Which rule decided, as a sentence."""
    plain: bool = False
    """Whether it is one per node, and all that these have."""
    members: tuple[int, ...] = ()
    """Indices of the domains to use; empty for all."""


def default_split(layout: Layout) -> DefaultSplit:
    """The instances of a request that names neither their number nor their size.

    Args:
        layout: the domains, and what fits into them.
    """
    most = layout.at_most(capacity(layout.sizes, 1, layout.room))
    split = _one_each(layout) if layout.request.throughput_mode else _by_nodes(layout, most)
    if most < split.count:
        split = DefaultSplit(count=most, rule=f"memory holds {counted(most, 'instance')} (--memory-per-instance)")
    paid = cpus_of_quota(layout.topology)
    if layout.request.throughput_mode or not split.count or paid is None:
        return split
    return _within_quota(layout, split, paid, most)


def _one_each(layout: Layout) -> DefaultSplit:
    noun = NOUNS[layout.scope]
    rule = f"one instance per {noun}, as large as the smallest {noun}: --throughput-mode"
    return DefaultSplit(count=len(layout.sizes), cores=min(layout.sizes), rule=rule, plain=True)


def _by_nodes(layout: Layout, most: int) -> DefaultSplit:
    """One per domain where they are alike or nearly; else the rule for unlike ones."""
    sizes, noun = layout.sizes, NOUNS[layout.scope]
    fewest, total = len(sizes), sum(sizes)
    if len(set(sizes)) == 1 or most < fewest:
        rule = f"nothing else was asked for: one instance per {noun}, all equal"
        return DefaultSplit(count=fewest, rule=rule, plain=True)
    last = min(MOST_PER_DOMAIN * fewest, most)
    used = {}
    for count in range(fewest, last + 1):
        used[count] = count * layout.largest_size(count)
        if used[count] * 100 >= total * ENOUGH_PERCENT:
            enough = f"uses {ENOUGH_PERCENT} % of the cores"
            words = f"the first number from {fewest} on whose equal split inside {noun}s {enough}"
            if count == fewest:
                words = f"one instance per {noun}, which {enough}"
            return DefaultSplit(count=count, rule=_unlike(layout, words, used[count]), plain=count == fewest)
    count = max(used, key=lambda n: (used[n], -n))
    words = f"no number of equal instances from {fewest} to {last} uses {ENOUGH_PERCENT} % of the cores inside {noun}s"
    return DefaultSplit(count=count, rule=_unlike(layout, f"{words}, {count} uses most", used[count]))


def _unlike(layout: Layout, words: str, used: int) -> str:
    """The rule with what it gives, and what --greedy would give: an instance per domain with all that it has."""
    sizes = sorted(set(layout.sizes))
    greedy = f"{counted(len(layout.sizes), 'instance')} of {sizes[0]} to {sizes[-1]} cores"
    total = sum(layout.sizes)
    return f"{NOUNS[layout.scope]}s are unlike: {words} ({used} of {total}); --greedy would give {greedy}, all {total}"


def _part_of_unlike(layout: Layout, paid: int, most: int) -> tuple[int, int]:
    """Instances and the cores of each, no more than `paid` together, where one per domain leaves some of them idle."""
    fewest, wanted = len(layout.sizes), min(paid, sum(layout.sizes))
    numbers = range(fewest, min(MOST_PER_DOMAIN * fewest, most) + 1)
    each = {count: min(layout.largest_size(count), paid // count) for count in numbers}
    enough = (count for count in numbers if count * each[count] * 100 >= wanted * ENOUGH_PERCENT)
    best = next(enough, max(numbers, key=lambda count: (count * each[count], -count)))
    return best, each[best]


def _within_quota(layout: Layout, split: DefaultSplit, paid: int, most: int) -> DefaultSplit:
    """No more cores than the quota pays for.

    One instance per domain with an equal part of what is paid for; where that is less than a core, as many instances of
    one core as are paid for, on domains nearest each other. Where a domain is smaller than its part, the rule for
    unlike ones decides, of what is paid for.
    """
    siblings = max(len(core.cpus) for domain in layout.domains for core in domain.cores)
    size = split.cores or layout.largest_size(split.count)
    if split.count * size * siblings <= paid:
        return split
    domains = len(layout.sizes)
    count = min(domains, split.count)
    each = paid // (count * siblings)
    members: tuple[int, ...] = ()
    if each > min(layout.sizes) and count == domains:  # unlike domains, and the smallest is smaller than its part
        count, each = _part_of_unlike(layout, paid // siblings, most)
    elif not each:
        count, each = min(max(1, paid // siblings), count), 1
        groups = nearest_groups(layout.sizes, layout.distances, 1, 1, members=[count])
        members = tuple(groups[0]) if groups else ()
    threads = f" of {siblings} threads" if siblings > 1 else ""
    size_words = f"{counted(count, 'instance')} of {counted(each, 'core')}{threads}"
    rule = f"{quota_text(layout.topology)} pays for {counted(paid, 'thread')}: {size_words}"
    return DefaultSplit(count=count, cores=each, rule=rule, members=members)


SMALLEST, LARGEST = 4, 8
"""Cores per instance of MLPerf Offline on CPU: BERT and RetinaNet 4, Whisper 6, Llama-3.1-8B 7 or 8 (v4.1, v5.1)."""


@dataclass(frozen=True, slots=True)
class GoalSize:
    """How large instances should be, and which rule said so."""

    cores: int
    rule: str


def goal_size(domains: Sequence[Domain], goal: Goal, workload: Workload | None = None, reserved: int = 0) -> GoalSize:
    """Cores per instance for a goal.

    throughput: that of the public records for what the instances run, where it is known (`published_sizes`); else the
    size from 4 to 8 that leaves fewest cores idle, the larger one on a tie; within L3 domains where they are smaller
    than nodes. latency: a whole node, so that one request has all of a node's bandwidth.

    Source: MLPerf Inference v4.1 and v5.1, Intel's CPU submissions. Llama-3.1-8B: 7 cores per instance on nodes of 43
    and 8 on nodes of 32 (Offline), 42 and 32 (Server). Whisper searches the size that leaves fewest cores idle, per
    L3 domain where there are more of them than nodes.

    Args:
        domains: with the cores to plan with.
        goal: which.
        workload: what the instances run; None where that is not known.
        reserved: cores of each node that are left to the system.
    """
    cores = sorted((core for domain in domains for core in domain.cores), key=lambda core: core.id)
    nodes = domains_of(cores, "node")
    if goal == "latency":
        size = min(len(node.cores) for node in nodes)
        source = "MLPerf v5.1 Llama-3.1-8B Server: one instance per node"
        return GoalSize(size, f"latency: a whole node, {size} cores ({source})")
    if workload is not None:
        size = published_cores(workload, min(len(node.cores) for node in nodes), reserved)
        return GoalSize(size, f"throughput of {workload}: {counted(size, 'core')} each ({PUBLISHED[workload].source})")
    caches = domains_of(cores, "l3")
    per_cache = len(caches) > len(nodes)
    sizes = [len(domain.cores) for domain in (caches if per_cache else nodes)]
    where = "L3 domain" if per_cache else "node"
    step = 1
    if per_cache and max(sizes) < SMALLEST:  # caches of one to three cores: nodes count, in whole caches
        step = sizes[0] if len(set(sizes)) == 1 else 1
        sizes, where = [len(node.cores) for node in nodes], f"node in whole L3 domains of {max(sizes)}"
    largest = max(sizes)
    if largest < SMALLEST:
        return GoalSize(largest, f"throughput: a whole node, {largest} cores, as it has fewer than {SMALLEST}")
    candidates = [size for size in range(SMALLEST, min(LARGEST, largest) + 1) if size % step == 0] or [largest]
    best = max(candidates, key=lambda size: (sum(cores // size for cores in sizes) * size, size))
    used = sum(cores // best for cores in sizes) * best
    rule = f"throughput: {best} cores, the size from {SMALLEST} to {LARGEST} that leaves fewest cores idle per {where}"
    return GoalSize(best, f"{rule} ({used} of {sum(sizes)} used; MLPerf v5.1 Offline: Llama-3.1-8B 7 or 8, Whisper 6)")
