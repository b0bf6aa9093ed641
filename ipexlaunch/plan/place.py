"""From "how many, how large" to slices of cores: the rules of the planner, in the order in which they apply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.defaults import default_split, goal_size
from ipexlaunch.plan.distribute import apportion, cut_evenly
from ipexlaunch.plan.domains import WITHIN, Domain, MemoryCapacity, capacity, cut, domains_of, sizes_text, spread
from ipexlaunch.plan.groups import parse_group, place_groups
from ipexlaunch.plan.layout import Layout, memory_allowed
from ipexlaunch.plan.notation import format_bytes
from ipexlaunch.plan.plan import ALL_CORES, LATENCY_MODE_CORES, Request
from ipexlaunch.plan.resources import Core, MemoryMap, Usable, memory_suffices


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedSize:
    """How many instances, of how many cores; None = as many, or as large, as fits."""

    count: int | None
    cores: int | None
    greedy: bool


def place(topology: Topology, request: Request, usable: Usable, memory: MemoryMap) -> list[list[Core]]:
    """The cores of each instance.

    Args:
        topology: the machine, for distances and memory sizes.
        request: checked, without lists of single instances.
        usable: the cores that may be used, at least one.
        memory: where each node's memory is.

    Raises:
        PlanError: what was asked for does not fit.
    """
    cores = usable.cores
    if request.groups:
        groups = [parse_group(text) for text in request.groups]
        return place_groups(topology, groups, cores, memory, request.memory_per_instance_bytes)
    domains = domains_of(cores, request.scope or "node")
    size = asked_size(request, domains)
    if size.count is not None and size.count > len(cores):
        hint = f"ask for {counted(len(cores), 'instance')} at most: a core serves one instance"
        there = f"{sizes_text(domains)}{usable.left_out()}"
        raise PlanError(f"plan {counted(size.count, 'instance')}", there, hint)
    layout = layout_for(topology, request, usable, memory)
    slices = _greedy(layout, size.count) if size.greedy else _equal(layout, size)
    each = request.memory_per_instance_bytes
    needs = [memory.nodes(core.node for core in part) for part in slices]
    if each is not None and topology.nodes and not memory_suffices(topology, needs, each):
        # Nodes share a memory node, in ways that the arithmetic of domains does not see.
        wanted = f"give {format_bytes(each)} to each of {counted(len(slices), 'instance')}"
        there = f"they share the memory of nodes {format_list(frozenset().union(*needs))}"
        raise PlanError(wanted, there, "ask for fewer instances, or less memory for each")
    return slices


def asked_size(request: Request, domains: Sequence[Domain]) -> RequestedSize:
    """Read the options that say how many and how large: counts, modes, goals."""
    count, cores = request.ninstances, request.ncores_per_instance
    if request.latency_mode:
        return RequestedSize(count=None, cores=LATENCY_MODE_CORES, greedy=False)
    if request.goal is not None or (cores == "auto" and count is None):
        size = goal_size(domains, request.goal or "throughput", request.workload, request.reserve_cores)
        return RequestedSize(count=count, cores=size.cores, greedy=False)
    wanted = cores if isinstance(cores, int) and cores > 0 else None
    return RequestedSize(count=count, cores=wanted, greedy=request.greedy or cores == ALL_CORES)


def layout_for(topology: Topology, request: Request, usable: Usable, memory: MemoryMap) -> Layout:
    """The domains of a request without groups, and what fits into them.

    With few or large instances L3 domains give way to nodes; else they are combined in them.
    """
    scope = request.scope or "node"
    domains, nodes = domains_of(usable.cores, scope), domains_of(usable.cores, "node")
    size = asked_size(request, domains)
    if scope == "l3":
        too_large = size.count is None and size.cores is not None and size.cores > max(len(d.cores) for d in domains)
        few = size.count is not None and size.count < len(domains)
        if too_large or (few and (size.greedy or (size.count or 0) < len(nodes))):
            scope, domains = "node", nodes
    parents: tuple[tuple[int, ...], ...] = (tuple(range(len(domains))),)
    if scope == "l3":
        parents = tuple(tuple(i for i, d in enumerate(domains) if d.node == node.node) for node in nodes)
    return Layout(
        topology=topology,
        request=request,
        scope=scope,
        domains=domains,
        parents=parents,
        room=memory_room(topology, request, domains, memory),
        memory=memory,
        memory_allowed=memory_allowed(topology),
        left_out=usable.left_out(),
    )


def memory_room(topology: Topology, request: Request, domains: Sequence[Domain], memory: MemoryMap) -> MemoryCapacity:
    """How many instances the memory of each domain holds, with --memory-per-instance."""
    each = request.memory_per_instance_bytes
    if each is None or not topology.nodes:
        return MemoryCapacity()
    pools: list[tuple[frozenset[int], list[int]]] = []
    for at, domain in enumerate(domains):
        nodes = memory.nodes(core.node for core in domain.cores)
        touching = [pool for pool in pools if pool[0] & nodes]
        pools = [pool for pool in pools if not pool[0] & nodes]
        pools.append((nodes.union(*(p[0] for p in touching)), [at, *(i for p in touching for i in p[1])]))
    held = [sum(topology.by_node[node].memory_bytes for node in nodes) // each for nodes, _ in pools]
    pool_of = {at: i for i, (_, members) in enumerate(pools) for at in members}
    return MemoryCapacity(tuple(pool_of[at] for at in range(len(domains))), tuple(held))


def _equal(layout: Layout, size: RequestedSize) -> list[list[Core]]:
    """Slices of one size: inside domains where they fit, else of whole domains that are near each other."""
    sizes = layout.sizes
    count, each = size.count, size.cores
    if count is None and each is None:
        split = default_split(layout)
        count, each = split.count, split.cores
        if split.members:
            layout = layout.only(split.members)
            sizes = layout.sizes
    elif count is None and each is not None:
        count = layout.at_most(capacity(sizes, each, layout.room) or layout.most_groups(each))
    if not count:
        raise layout.does_not_fit(1, each)
    if each is None:
        each = layout.largest_size(count)
        if each and (alike := layout.alike_groups(count, each)) is not None:
            each, groups = alike
            return [_joined(layout, group, each) for group in groups]
    if not each or not layout.fits(count, each):
        raise layout.does_not_fit(count, each or None)
    strategy = layout.request.strategy or "scatter"
    placed: list[tuple[int, list[list[Core]]]] = []
    for members, here in zip(layout.parents, layout.share_parents(count, each, strategy), strict=True):
        inner = [sizes[at] for at in members]
        room = layout.room.of(members) if len(layout.parents) == 1 else MemoryCapacity()
        inside = min(here, capacity(inner, each, room))
        for at, amount in zip(members, spread(inner, each, inside, room, strategy), strict=True):
            if amount:
                placed.append((at, cut(layout.domains[at].cores, [each] * amount, WITHIN[layout.scope])))
        for group in layout.groups(members, here - inside, each):
            placed.append((group[0], [_joined(layout, group, each)]))
    return [part for _, parts in sorted(placed, key=lambda item: item[0]) for part in _in_order(parts)]


def _joined(layout: Layout, group: Sequence[int], each: int) -> list[Core]:
    """So many cores of whole domains, the last one of them possibly in part."""
    return cut(_cores_of(layout, group), [each], WITHIN["machine"])[0]


def _cores_of(layout: Layout, group: Sequence[int]) -> list[Core]:
    return sorted((core for at in group for core in layout.domains[at].cores), key=lambda core: core.id)


def _greedy(layout: Layout, asked: int | None) -> list[list[Core]]:
    """Slices that use every core, their sizes as near each other as the domains allow."""
    sizes = layout.sizes
    count = asked or layout.at_most(len(sizes))
    if not count:
        raise layout.does_not_fit(1, None)
    if count >= len(sizes):
        given = apportion(sizes, count)
        if not layout.room.holds(given):
            raise layout.does_not_fit(count, None)
        parts = [
            _in_order(cut(domain.cores, cut_evenly(len(domain.cores), here), WITHIN[layout.scope]))
            for domain, here in zip(layout.domains, given, strict=True)
        ]
        return [part for inside in parts for part in inside]
    groups = layout.all_in_groups(count)
    if not layout.groups_have_memory(groups):
        raise layout.does_not_fit(count, None)
    return [_cores_of(layout, group) for group in groups]


def _in_order(slices: list[list[Core]]) -> list[list[Core]]:
    return sorted(slices, key=lambda part: min(core.id for core in part))
