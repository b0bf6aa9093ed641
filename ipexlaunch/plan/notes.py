"""What somebody should know of a plan before it starts: cores that stay idle and why, a quota that stops threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.cores import usable_cores
from ipexlaunch.plan.defaults import ENOUGH_PERCENT, default_split
from ipexlaunch.plan.layout import Layout
from ipexlaunch.plan.limits import cpus_paid_for, quota_words
from ipexlaunch.plan.memory import map_memory
from ipexlaunch.plan.place import asked_size, layout_for
from ipexlaunch.plan.plan import Plan
from ipexlaunch.plan.planner import make_plan


def notes_on(topology: Topology, plan: Plan, *, stored: bool = False) -> tuple[str, ...]:
    """Sentences, most often none.

    Args:
        topology: the machine.
        plan: one that fits it.
        stored: it was read from a file, so that nothing was decided now.
    """
    found = [] if stored else [*_of_request(topology, plan)]
    return (*found, *_of_quota(topology, plan), *topology.gaps)


def _of_request(topology: Topology, plan: Plan) -> Iterator[str]:
    request = plan.request
    if request.lists_instances or request.device is not None or request.groups:
        return
    usable = usable_cores(topology, request)
    slow_cpus = frozenset(cpu for cpu, reason in usable.out.items() if reason == "efficiency")
    there = topology.cores_of(slow_cpus).union(core.id for core in usable.cores)  # nobody need be told what else is out
    used = topology.cores_of(plan.used_cpus)
    enough = len(used) * 100 >= len(there) * ENOUGH_PERCENT
    nodes = len({core.node for core in usable.cores})
    if request.ninstances is not None:
        if len(used) < len(usable.cores) and len(plan.instances) < nodes:
            yield from _of_nodes_left(layout_for(topology, request, usable, map_memory(topology, request.memory)), plan)
        return
    if enough and nodes < 2 and topology.cpu_quota is None:
        return
    layout = layout_for(topology, request, usable, map_memory(topology, request.memory))
    size = asked_size(request, layout.domains)
    if size.count is not None or size.cores is not None or size.greedy:
        yield from _of_memory(topology, plan)
        return
    split = default_split(layout)
    if split.plain and enough:
        return
    share = f"{len(used)} of {counted(len(there), 'core')} used ({_percent(len(used), len(there))})"
    how = "" if split.plain else f", in {counted(len(plan.instances), 'instance')}: {split.rule}"
    slow = "; efficiency cores are left out, --use-e-cores adds them" * bool(slow_cpus)
    yield share + how + slow


def _of_memory(topology: Topology, plan: Plan) -> Iterator[str]:
    """As many instances of a size as memory holds, where the cores would hold more."""
    if plan.request.memory_per_instance_bytes is None:
        return
    count = len(plan.instances)
    would = len(make_plan(topology, replace(plan.request, memory_per_instance_bytes=None)).instances)
    if would > count:
        few = f"{counted(count, 'instance')}: memory holds no more (--memory-per-instance)"
        yield f"{few}, and the cores would hold {would}"


def _of_nodes_left(layout: Layout, plan: Plan) -> Iterator[str]:
    """With fewer instances than nodes: which numbers would use all."""
    domains, count = len(layout.domains), len(plan.instances)
    total = sum(layout.sizes)
    used = sum(len(layout.topology.cores_of(instance.cpus)) for instance in plan.instances)
    whole = [n for n in range(1, domains + 1) if n * _size(layout, n) == total]
    below = max((n for n in whole if n < count), default=None)
    above = min((n for n in whole if n > count), default=None)
    numbers = " or ".join(str(n) for n in (below, above) if n is not None)
    would = f"; --ninstances {numbers} would use all" if numbers else "; --greedy would use all"
    share = f"{used} of {total} cores ({_percent(used, total)})"
    yield f"{counted(count, 'instance')} on {domains} nodes use {share}{would}"


def _size(layout: Layout, count: int) -> int:
    """Cores of each of so many instances, as the planner would have it."""
    each = layout.largest_size(count)
    alike = layout.alike_groups(count, each) if each else None
    return each if alike is None else alike[0]


def _of_quota(topology: Topology, plan: Plan) -> Iterator[str]:
    threads = sum(instance.threads for instance in plan.chosen)
    paid = cpus_paid_for(topology)
    if paid is not None and threads > paid:
        stopped = f"does not pay for the {threads} threads of this plan: the kernel stops them for part of each period"
        yield f"{quota_words(topology)} {stopped}; {counted(paid, 'thread')} would run all the time"


def _percent(part: int, whole: int) -> str:
    return f"{part * 100 // whole} %"
