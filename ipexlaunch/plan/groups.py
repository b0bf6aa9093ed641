"""Unlike instances side by side: "2x16@node0" is two instances of 16 cores on node 0, "4x8" four anywhere."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.documents.visible_text import quoted, whole_number
from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.domains import WITHIN, Domain, cut, distances_of, domains_of, sizes_text
from ipexlaunch.plan.notation import format_bytes
from ipexlaunch.plan.resources import Core, MemoryMap, memory_suffices

GROUP_HINT = 'write e.g. "2x16", "2x16@node0", "4x8@node0-1" or "1x32@socket1"'


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceGroup:
    """Instances of one size."""

    text: str
    count: int
    cores: int
    """Cores of each instance."""
    nodes: frozenset[int] | None
    """Where; None = anywhere."""
    sockets: frozenset[int] | None


def parse_group(text: str) -> InstanceGroup:
    """Read "COUNTxCORES" with an optional "@nodeLIST" or "@socketLIST".

    Raises:
        RequestError: malformed text.
    """
    match = re.fullmatch(r"\s*([0-9]+)\s*x\s*([0-9]+)\s*(?:@\s*(node|socket)s?\s*([\d,\s-]+))?\s*", text)
    if match is None:
        raise RequestError(f"read --group {quoted(text)}", "it is not COUNTxCORES[@nodeLIST]", GROUP_HINT)
    count, cores, kind, place = whole_number(match[1]), whole_number(match[2]), match[3], match[4]
    if not count or not cores:
        raise RequestError(f"read --group {quoted(text)}", "it counts instances and cores from 1", GROUP_HINT)
    ids = parse_list(place, f"--group {text!r}: the list") if kind else None
    nodes, sockets = (ids, None) if kind == "node" else (None, ids)
    return InstanceGroup(text=text.strip(), count=count, cores=cores, nodes=nodes, sockets=sockets)


@dataclass(frozen=True, slots=True)
class _Demand:
    """One instance to place."""

    at: int
    cores: int
    places: tuple[int, ...]
    """Indices of the domains it may use."""
    group: InstanceGroup


def place_groups(
    topology: Topology,
    groups: Sequence[InstanceGroup],
    cores: Sequence[Core],
    memory: MemoryMap,
    memory_bytes: int | None,
) -> list[list[Core]]:
    """The cores of each instance, in the order of the groups.

    Those with a place come first, then the larger ones. Each stays inside a node where one holds it, the emptiest
    first; where that leads nowhere, the fullest that still holds it; else it takes the nearest nodes together.

    Args:
        topology: the machine, for distances.
        groups: what was asked for.
        cores: those that may be used, ascending by id.
        memory: where each node's memory is.
        memory_bytes: what each instance needs, or None.

    Raises:
        PlanError: a place that is not there, or a group that does not fit.
    """
    domains = domains_of(cores, "node")
    demands: list[_Demand] = []
    for group in groups:
        places = _places(group, domains)
        demands += [_Demand(len(demands) + i, group.cores, places, group) for i in range(group.count)]
    order = sorted(demands, key=lambda d: (len(d.places) == len(domains), -d.cores, d.at))
    distances = distances_of(topology, domains)
    try:
        takes = _fit(order, domains, distances, fullest=False)
    except PlanError:
        takes = _fit(order, domains, distances, fullest=True)
    slices: list[list[Core]] = [[] for _ in demands]
    for index, domain in enumerate(domains):
        here = [demand.at for demand in demands if takes[demand.at].get(index)]
        for at, piece in zip(here, cut(domain.cores, [takes[at][index] for at in here], WITHIN["node"]), strict=True):
            slices[at].extend(piece)
    if memory_bytes is not None:
        needs = [memory.nodes(core.node for core in part) for part in slices]
        if not memory_suffices(topology, needs, memory_bytes):
            nodes = frozenset().union(*needs)
            of = f"node{'s' * (len(nodes) > 1)} {format_list(nodes)}"
            what = f"the memory of {of} does not hold {len(needs)} of them"
            raise PlanError(f"give {format_bytes(memory_bytes)} to each instance", what, "ask for fewer, or less")
    return slices


def _places(group: InstanceGroup, domains: Sequence[Domain]) -> tuple[int, ...]:
    if group.nodes is None and group.sockets is None:
        return tuple(range(len(domains)))
    noun, wanted = ("socket", group.sockets or frozenset()) if group.nodes is None else ("node", group.nodes)
    numbers = [domain.socket if group.nodes is None else domain.node for domain in domains]
    there = {number for number in numbers if number is not None}
    if missing := wanted - there:
        hint = f"{noun}s with usable cores are {format_list(there) or '(none)'}"
        raise PlanError(f"place --group {group.text}", f"{noun} {format_list(missing)} has no usable core", hint)
    return tuple(at for at, number in enumerate(numbers) if number in wanted)


def _fit(
    order: Sequence[_Demand], domains: Sequence[Domain], distances: Sequence[Sequence[int]], fullest: bool
) -> list[dict[int, int]]:
    """For each instance how many cores it takes from which domain."""
    left = [len(domain.cores) for domain in domains]
    takes: list[dict[int, int]] = [{} for _ in order]
    for demand in order:
        holding = [at for at in demand.places if left[at] >= demand.cores]
        if holding:
            best = min(holding, key=lambda at: (left[at] if fullest else -left[at], at))
            chosen = {best: demand.cores}
        elif demand.cores > max(len(domains[at].cores) for at in demand.places):
            if sum(left[at] for at in demand.places) < demand.cores:
                raise _does_not_fit(demand, domains, left)
            chosen = _nearest_together(demand, left, distances)
        else:
            raise _does_not_fit(demand, domains, left)
        for at, amount in chosen.items():
            left[at] -= amount
        takes[demand.at] = chosen
    return takes


def _nearest_together(demand: _Demand, left: Sequence[int], distances: Sequence[Sequence[int]]) -> dict[int, int]:
    """Nodes around the emptiest one, nearest first, until they hold the instance."""
    seed = max(demand.places, key=lambda at: (left[at], -at))
    chosen: dict[int, int] = {}
    missing = demand.cores
    for at in sorted(demand.places, key=lambda at: (distances[seed][at], at)):
        amount = min(left[at], missing)
        if amount:
            chosen[at] = amount
            missing -= amount
    return chosen


def _does_not_fit(demand: _Demand, domains: Sequence[Domain], left: Sequence[int]) -> PlanError:
    sizes = sizes_text([domains[at] for at in demand.places])
    rest = ", ".join(f"{left[at]} of {domains[at].name}" for at in demand.places if left[at]) or "none"
    return PlanError(
        f"place each instance of --group {demand.group.text}",
        f"{sizes}, and beside the other instances {rest} are left for one of {demand.cores}",
        "make the groups smaller, or place them on other nodes",
    )
