"""Domains: what an instance does not cross (an L3, a node, a socket, the machine), and how near they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.cores import Core
from ipexlaunch.plan.request import Scope

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


def describe_sizes(domains: Sequence[Domain]) -> str:
    """ "nodes 0-1 have 28 cores each", "node 0 has 43 cores, node 1 has 42 cores": the sizes in few words."""
    by_size = group_by(domains, lambda domain: len(domain.cores))
    return ", ".join(
        f"{alike[0].name} has {counted(size, 'core')}"
        if len(alike) == 1
        else f"{_names(alike)} have {counted(size, 'core')} each"
        for size, alike in by_size.items()
    )


def distance_table(topology: Topology, domains: Sequence[Domain]) -> list[list[int]]:
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
