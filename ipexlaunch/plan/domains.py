"""Domains: what an instance does not cross (an L3, a node, a socket, the machine), and how near they are.

How many instances each domain gets, and of how many cores: arithmetic on sizes, no cores involved. Then a domain is cut
into slices that share no cache when they need not: nodes, then L3 domains, then L2 clusters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.distribute import assign
from ipexlaunch.plan.plan import Scope, Strategy
from ipexlaunch.plan.resources import Core

UNKNOWN = -1
"""Stands for "no node" or "cache unknown" in sorting keys."""

A_DOMAIN: dict[Scope, str] = {"l3": "an L3 domain", "node": "a node", "socket": "a socket", "machine": "the machine"}
NOUNS: dict[Scope, str] = {"l3": "L3 domain", "node": "node", "socket": "socket", "machine": "machine"}


@dataclass(frozen=True, slots=True)
class Domain:
    """Cores that an instance may combine without crossing anything that the scope forbids."""

    name: str
    """"node 0", "socket 1", "L3 domain 16 of node 1", "the machine"."""
    node: int | None
    """Its node, or its lowest node; None where the machine has no nodes."""
    socket: int
    cores: tuple[Core, ...]
    """Ascending by id."""


Level = Literal["socket", "node", "l3", "l2"]

_LEVELS: dict[Scope, tuple[Level, ...]] = {
    "l3": ("node", "l3"),
    "node": ("node",),
    "socket": ("socket",),
    "machine": (),
}
"""What tells the domains of each scope apart."""


def place_of(core: Core, level: Level) -> int:
    """The core's socket, node, L3 or L2 domain as a sorting key."""
    number: int | None = getattr(core, level)
    return UNKNOWN if number is None else number


def domains_of(cores: Sequence[Core], scope: Scope) -> tuple[Domain, ...]:
    """The cores by domain, in the order of node (or socket) ids.

    Args:
        cores: ascending by id.
        scope: which kind of domain.
    """
    members = group_by(cores, lambda core: tuple(place_of(core, level) for level in _LEVELS[scope]))
    found = []
    for place in sorted(members):
        inside = members[place]
        nodes = [core.node for core in inside if core.node is not None]
        name = _name(scope, place)
        found.append(Domain(name, min(nodes, default=None), min(c.socket for c in inside), tuple(inside)))
    return tuple(found)


def _name(scope: Scope, place: tuple[int, ...]) -> str:
    if scope == "socket":
        return f"socket {place[0]}"
    if scope == "machine" or place[0] == UNKNOWN:
        return "the machine"
    if scope == "node":
        return f"node {place[0]}"
    return f"L3 domain {place[1]} of node {place[0]}" if place[1] != UNKNOWN else f"node {place[0]}"


def name_domains(domains: Sequence[Domain]) -> str:
    """ "node 0", "each of nodes 0-3", "each of 4 L3 domains"."""
    return domains[0].name if len(domains) == 1 else f"each of {_names(domains)}"


def _names(domains: Sequence[Domain]) -> str:
    if all(domain.name == f"node {domain.node}" for domain in domains):
        return f"nodes {format_list(domain.node for domain in domains if domain.node is not None)}"
    if all(domain.name == f"socket {domain.socket}" for domain in domains):
        return f"sockets {format_list(domain.socket for domain in domains)}"
    return f"{len(domains)} L3 domains"


def sizes_text(domains: Sequence[Domain]) -> str:
    """ "nodes 0-1 have 28 cores each", "node 0 has 43 cores, node 1 has 42 cores": the sizes in few words."""
    by_size = group_by(domains, lambda domain: len(domain.cores))
    return ", ".join(
        f"{alike[0].name} has {counted(size, 'core')}"
        if len(alike) == 1
        else f"{_names(alike)} have {counted(size, 'core')} each"
        for size, alike in by_size.items()
    )


def distances_of(topology: Topology, domains: Sequence[Domain]) -> list[list[int]]:
    """How far each domain is from each other one, so that the smallest sum is the nearest group.

    The kernel's distances decide (mean over the nodes of both, in both directions); domains on one socket win a tie,
    then neighbours in the order of ids. Where the kernel gives none, only the socket and the order count.
    """
    nodes = [sorted({core.node for core in domain.cores if core.node is not None}) for domain in domains]
    tables = {node.id: node.distances for node in topology.nodes}
    size = len(domains)
    table = [[0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1, size):
            pairs = [(a, b) for a in nodes[i] for b in nodes[j]]
            both = [*pairs, *((b, a) for a, b in pairs)]
            found = [tables[a][b] for a, b in both if b in tables[a]]
            mean = sum(found) * 1000 // len(found) if found else 0
            apart = 0 if domains[i].socket == domains[j].socket else 1
            table[i][j] = table[j][i] = (mean * 2 + apart) * 4096 + (j - i)
    return table


WITHIN: dict[Scope, tuple[Level, ...]] = {
    "l3": ("l3", "l2"),
    "node": ("l3", "l2"),
    "socket": ("node", "l3", "l2"),
    "machine": ("socket", "node", "l3", "l2"),
}
"""What to respect when a domain of each scope is cut, from the largest to the smallest."""


def cut(cores: Sequence[Core], sizes: Sequence[int], levels: tuple[Level, ...]) -> list[list[Core]]:
    """One slice of cores for each size; slices are disjoint, and what is left over is left over.

    Performance and efficiency cores of a hybrid machine are dealt out alike: slices of one size are of one speed.

    Args:
        cores: the domain's cores, ascending by id.
        sizes: cores of each slice; their sum is at most the number of cores.
        levels: what to respect inside the domain, from the largest to the smallest.
    """
    fast = [core for core in cores if not core.efficiency]
    slow = [core for core in cores if core.efficiency]
    if not fast or not slow:
        return _cut(cores, list(sizes), levels)
    shares = _deal_fast(len(fast), sizes)
    from_fast = _cut(fast, shares, levels)
    from_slow = _cut(slow, [size - share for size, share in zip(sizes, shares, strict=True)], levels)
    return [a + b for a, b in zip(from_fast, from_slow, strict=True)]


def _deal_fast(fast: int, sizes: Sequence[int]) -> list[int]:
    """Performance cores of each slice: in proportion to its size, by cumulative rounding, so that they sum up."""
    total = sum(sizes)
    used = min(fast, total)
    shares, given, seen = [], 0, 0
    for size in sizes:
        seen += size
        upto = used * seen // total if total else 0
        shares.append(upto - given)
        given = upto
    return shares


def _cut(cores: Sequence[Core], sizes: list[int], levels: tuple[Level, ...]) -> list[list[Core]]:
    if not levels:
        slices, at = [], 0
        for size in sizes:
            slices.append(list(cores[at : at + size]))
            at += size
        return slices
    bins = group_by(cores, lambda core: place_of(core, levels[0]))
    if len(bins) == 1 or len(bins) == len(cores):
        return _cut(cores, sizes, levels[1:])
    places = sorted(bins.values(), key=lambda inside: (place_of(inside[0], "node"), inside[0].id))
    takes = assign([len(inside) for inside in places], sizes)
    slices = [[] for _ in sizes]
    for at, inside in enumerate(places):
        here = [i for i, take in enumerate(takes) if take.get(at)]
        for i, piece in zip(here, _cut(inside, [takes[i][at] for i in here], levels[1:]), strict=True):
            slices[i].extend(piece)
    return slices


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
