"""The machine as parts inside parts, each with its words: what every drawing of a machine draws.

Sockets hold nodes, nodes hold L3 caches, L3 caches hold cores; where a node has cpus of several sockets (many virtual
machines), nodes hold sockets. What would hold one thing only is merged with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Node, Topology, group_by
from ipexlaunch.machine.wording import accelerators_text, grouped, memory_is_known, memory_words

Outer = Literal["socket", "node"]
What = Literal["socket", "node", "memory", "l3", "group", "row"]
"""A "memory" is a node without cpus; a "row" only keeps together what it holds."""


@dataclass(frozen=True, slots=True)
class State:
    """What a cpu is used for."""

    name: Literal["instance", "idle", "allowed", "not allowed"]
    index: int | None = None
    """Of the instance."""

    def __str__(self) -> str:
        return self.name if self.index is None else f"{self.name} {self.index}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One box of the drawing; a "group" is a run of cores that are alike, the only part that has cpus of its own."""

    what: What
    title: str = ""
    facts: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    cores: tuple[tuple[int, ...], ...] = ()
    """Of a group: each core's cpus, as many of every core."""
    states: tuple[State, ...] = ()
    """Of a group: what the first cpu of each core is used for, then the second, and so on."""


@dataclass(frozen=True)
class _View:
    """What the parts are made from."""

    topology: Topology
    assignment: Mapping[int, int] | None
    restricted: bool

    def state(self, cpu: int) -> State:
        if self.assignment is not None and cpu in self.assignment:
            return State("instance", self.assignment[cpu])
        if cpu not in self.topology.allowed_cpus:
            return State("not allowed")
        return State("allowed" if self.assignment is None else "idle")


def machine_parts(topology: Topology, assignment: Mapping[int, int] | None = None) -> tuple[Part, ...]:
    """The outermost parts, which hold every cpu once and every node.

    Args:
        topology: the machine.
        assignment: cpu id to the index of its instance; allowed cpus that it leaves out are idle. None draws no plan.
    """
    view = _View(topology, assignment, not topology.allowed_cpus >= set(topology.by_cpu))
    nodes = group_by(topology.cpus, lambda cpu: cpu.node)
    several = any(len({cpu.socket for cpu in cpus}) > 1 for node, cpus in nodes.items() if node is not None)
    order: tuple[Outer, Outer] = ("node", "socket") if several else ("socket", "node")
    outer, inner = order
    memory = _homes_of_memory(topology, outer)
    places: dict[int | None, list[Cpu]] = group_by(topology.cpus, attrgetter(outer))
    tops = [_place(view, places[at], outer, inner, memory.get(at, ())) for at in sorted(places, key=_number)]
    return _with_memory(view, tops, memory.get("apart", ()))


def _with_memory(view: _View, parts: Sequence[Part], memory: Sequence[Node]) -> tuple[Part, ...]:
    """The parts and the nodes without cpus, kept apart so that neither stands between the others."""
    if not memory:
        return tuple(parts)
    several = sum(part.what == "node" for part in parts) > 1
    nodes = tuple(_memory_part(view, node, several) for node in memory)
    return Part(what="row", parts=tuple(parts)), Part(what="row", parts=nodes)


def _number(place: int | None) -> int:
    return -1 if place is None else place


def _place(view: _View, cpus: Sequence[Cpu], outer: Outer, inner: Outer, memory: Sequence[Node]) -> Part:
    """A socket with its nodes, or a node with its sockets; merged into one part where there is one of each."""
    within: dict[int | None, list[Cpu]] = group_by(cpus, attrgetter(inner))
    title = _name(outer, getattr(cpus[0], outer)) or "no node"
    if len(within) == 1:
        (place,) = within
        title = f"{title}, {_name(inner, place)}" if place is not None else title
        facts = (*_core_facts(cpus), *_memory_facts(view, cpus[0].node), *_l3_facts(view, cpus))
        return Part(what=outer, title=title, facts=facts, parts=_with_memory(view, _caches(view, cpus), memory))
    shared = _is_one_l3(cpus)
    parts = []
    for place in sorted(within, key=_number):
        some = within[place]
        facts = _core_facts(some) if len(some) > 1 else ()
        facts = (*facts, *(_memory_facts(view, place) if inner == "node" else ()))
        facts = (*facts, *(() if shared else _l3_facts(view, some)))
        parts.append(Part(what=inner, title=_name(inner, place), facts=facts, parts=_caches(view, some)))
    facts = (*_core_facts(cpus), *(_memory_facts(view, cpus[0].node) if outer == "node" else ()))
    every = "both" if len(within) == 2 else f"all {len(within)}"
    facts = (*facts, *((f"one L3 for {every} {inner}s",) if shared else ()))
    return Part(what=outer, title=title, facts=facts, parts=_with_memory(view, parts, memory))


def _name(what: str, number: int | None) -> str:
    return "" if number is None else f"{what} {number}"


def _core_facts(cpus: Sequence[Cpu]) -> tuple[str, ...]:
    cores = len({cpu.core for cpu in cpus})
    facts = (grouped(cores, "core"),)
    return facts if cores == len(cpus) else (*facts, grouped(len(cpus), "cpu"))


def _memory_facts(view: _View, node_id: int | None) -> tuple[str, ...]:
    node = None if node_id is None else view.topology.by_node.get(node_id)
    if node is None:
        return ()
    facts = [memory_words(node.memory_bytes)] if memory_is_known(view.topology) else []
    if node.read_bandwidth_mb_s:
        facts.append(f"{node.read_bandwidth_mb_s / 1000:.0f} GB/s")
    if node.memory_bytes and node.id not in view.topology.allowed_nodes:
        facts.append("memory not allowed")
    return (*facts, *accelerators_text(view.topology, node.id))


def _memory_part(view: _View, node: Node, several: bool) -> Part:
    """A node without cpus; where it stands among several nodes, with the one that it is nearest to."""
    facts = (*_memory_facts(view, node.id), "no cpus")
    nearest = view.topology.initiators(node.id)
    if several and len(nearest) == 1:
        facts = (*facts, f"nearest to node {next(iter(nearest))}")
    return Part(what="memory", title=f"node {node.id}", facts=facts)


def _homes_of_memory(topology: Topology, outer: str) -> dict[int | str | None, list[Node]]:
    """Nodes without cpus, under the socket (or node) that they are nearest to; "apart" where that is not one."""
    with_cpus = {cpu.node: getattr(cpu, outer) for cpu in topology.cpus if cpu.node is not None}

    def home(node: Node) -> int | str | None:
        nearest: set[int | None] = {with_cpus[other] for other in topology.initiators(node.id)}
        return nearest.pop() if len(nearest) == 1 else "apart"

    return group_by((node for node in topology.nodes if node.id not in with_cpus), home)


def _is_one_l3(cpus: Iterable[Cpu]) -> bool:
    domains = {cpu.l3 for cpu in cpus}
    return len(domains) == 1 and None not in domains


def _l3_facts(view: _View, cpus: Sequence[Cpu]) -> tuple[str, ...]:
    """How the cpus of one place share L3, where a few words say it."""
    domains = {cpu.l3 for cpu in cpus}
    if None in domains:
        return ()
    if len(domains) > 1:
        return ("an L3 for each core",) if _is_l3_per_core(cpus) else ()
    if others := l3_sharers(view.topology, cpus):
        return (f"L3 shared with {others}",)
    return ("one L3",) if len({cpu.core for cpu in cpus}) > 1 else ()


def l3_sharers(topology: Topology, cpus: Iterable[Cpu]) -> str:
    """ "node 1", "nodes 1-3": who else uses L3 caches of these cpus; "" for nobody.

    Args:
        topology: the machine.
        cpus: those of one place.
    """
    domains, nodes = {cpu.l3 for cpu in cpus} - {None}, {cpu.node for cpu in cpus}
    beside = {cpu.node for cpu in topology.cpus if cpu.l3 in domains and cpu.node is not None} - nodes
    others = format_list(node for node in beside if node is not None)
    return others and f"node{'s' * (len(beside) > 1)} {others}"


def _is_l3_per_core(cpus: Iterable[Cpu]) -> bool:
    return all(len({cpu.core for cpu in some}) == 1 for some in group_by(cpus, lambda cpu: cpu.l3).values())


def _caches(view: _View, cpus: Sequence[Cpu]) -> tuple[Part, ...]:
    """The L3 caches of one place, or its cores where it has one cache or where nothing is known."""
    domains = group_by(cpus, lambda cpu: cpu.l3)
    if len(domains) == 1 or _is_l3_per_core(cpus):
        return _groups(view, cpus)
    parts = []
    for domain in sorted(domains, key=_number):
        title = "no L3" if domain is None else "L3"
        parts.append(_merged(Part(what="l3", title=title, parts=_groups(view, domains[domain]))))
    return tuple(sorted(parts, key=_first_cpu))


def _first_cpu(part: Part) -> int:
    return min(_first_cpu(child) for child in part.parts) if part.parts else part.cores[0][0]


def _merged(cache: Part) -> Part:
    """The cache with its one group's words in its title, so that it takes one line less."""
    if len(cache.parts) != 1 or not cache.parts[0].title:
        return cache
    group = cache.parts[0]
    return replace(cache, title=f"{cache.title}: {group.title}", parts=(replace(group, title=""),))


def _groups(view: _View, cpus: Sequence[Cpu]) -> tuple[Part, ...]:
    """Runs of cores that are alike in kind, in number of siblings and in what their cpus are used for."""
    cores = [some for _, some in sorted(group_by(cpus, lambda cpu: cpu.core).items())]
    groups = group_by(cores, lambda some: (some[0].kind, tuple(view.state(cpu.id) for cpu in some)))
    return tuple(
        Part(
            what="group",
            title=_group_title(view, kind, states),
            cores=tuple(tuple(cpu.id for cpu in core) for core in alike),
            states=states,
        )
        for (kind, states), alike in groups.items()
    )


def _group_title(view: _View, kind: str | None, states: tuple[State, ...]) -> str:
    words = [] if states[0].name == "allowed" and not view.restricted else [str(states[0])]
    words += [f"{kind} cores"] if kind else []
    return ", ".join(words)
