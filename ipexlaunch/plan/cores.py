"""Which cores a request may use: allowed, listed, of the right kind, not reserved; and why each other cpu is out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.cpuset_syntax import read_ids
from ipexlaunch.plan.request import Request

Reason = str
"""Why a cpu is out: "cores-list", "nodes-list", "efficiency", "sibling", "reserved"."""

LEFT_OUT = {
    "efficiency": "of efficiency cores, which --use-e-cores adds",
    "reserved": "by --reserve-cores",
    "cores-list": "by --cores-list",
    "nodes-list": "by --nodes-list",
}


@dataclass(frozen=True, slots=True)
class Core:
    """One physical core that instances may get, as a whole."""

    id: int
    """Lowest cpu id among all its online siblings."""
    cpus: tuple[int, ...]
    """The cpus that its instance gets: the lowest usable one, or every usable sibling with --use-logical-cores."""
    socket: int
    node: int | None
    l3: int | None
    l2: int | None
    efficiency: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Usable:
    """The cores to plan with."""

    cores: tuple[Core, ...]
    """Ascending by id."""
    out: Mapping[int, Reason] = field(default_factory=dict)
    """Every other allowed cpu, and why it is out."""

    def left_out(self) -> str:
        """ " (left out: 2 cpus by --reserve-cores)": what a message about too few cores should add."""
        parts = [
            f"{counted(number, 'cpu')} {words}"
            for reason, words in LEFT_OUT.items()
            if (number := sum(1 for other in self.out.values() if other == reason))
        ]
        return f" (left out: {', '.join(parts)})" if parts else ""


def usable_cores(topology: Topology, request: Request) -> Usable:
    """Apply the request's filters to the allowed cpus.

    Raises:
        RequestError: a malformed list.
        PlanError: a cpu or node that is not there, or nothing left.
    """
    allowed = sorted(topology.allowed_cpus & topology.by_cpu.keys())
    if not allowed:
        there = f"none of the {len(topology.cpus)} online cpus is allowed"
        hint = "check the affinity mask and the cpuset of this shell (taskset -p $$, Cpus_allowed_list)"
        raise PlanError("plan any instance", there, hint)
    out: dict[int, Reason] = {}
    cpus = [topology.by_cpu[cpu] for cpu in allowed]
    named: frozenset[int] = frozenset()
    if request.cores_list is not None:
        listed = read_ids(request.cores_list, "--cores-list", "cpu", frozenset(allowed), topology.by_cpu.keys())
        named = listed.named
        cpus = _keep(cpus, lambda cpu: cpu.id in listed.ids, "cores-list", out)
    if request.nodes_list is not None:
        nodes = _listed_nodes(topology, request.nodes_list)
        if request.cores_list is not None and (outside := [cpu.id for cpu in cpus if cpu.node not in nodes]):
            wanted = f"use --cores-list {request.cores_list} together with --nodes-list {request.nodes_list}"
            hint = "leave out --nodes-list, or the cpus outside it"
            raise PlanError(wanted, f"cpus {format_list(outside)} are on other nodes", hint)
        cpus = _keep(cpus, lambda cpu: cpu.node in nodes, "nodes-list", out)
        if not cpus:
            there = "none of their cpus is allowed (or they have memory only)"
            hint = f"nodes with allowed cpus are {format_list(topology.nodes_of(topology.allowed_cpus))}"
            raise PlanError(f"use the cpus of --nodes-list {request.nodes_list}", there, hint)
    if not request.use_e_cores and any(cpu.kind != "efficiency" for cpu in cpus):
        cpus = _keep(cpus, lambda cpu: cpu.kind != "efficiency" or cpu.id in named, "efficiency", out)
    cores = _whole_cores(cpus, request.use_logical_cores, out)
    if request.reserve_cores:
        cores = _without_reserved(cores, request.reserve_cores, out)
    return Usable(cores=tuple(cores), out=out)


def _keep(cpus: list[Cpu], wanted: Callable[[Cpu], bool], reason: Reason, out: dict[int, Reason]) -> list[Cpu]:
    out.update((cpu.id, reason) for cpu in cpus if not wanted(cpu))
    return [cpu for cpu in cpus if wanted(cpu)]


def _listed_nodes(topology: Topology, text: str) -> frozenset[int]:
    if not topology.nodes:
        raise PlanError(f"use --nodes-list {text}", "this machine has no NUMA nodes", "leave out --nodes-list")
    present = topology.by_node.keys()
    return read_ids(text, "--nodes-list", "node", frozenset(present), present).ids


def _whole_cores(cpus: list[Cpu], logical: bool, out: dict[int, Reason]) -> list[Core]:
    """One Core per physical core, ascending; without `logical` only its lowest usable cpu, the others are out."""
    cores: list[Core] = []
    for core, (first, *others) in sorted(group_by(cpus, lambda cpu: cpu.core).items()):  # ascending by id
        ids = (first.id, *(cpu.id for cpu in others if logical))
        out.update((cpu.id, "sibling") for cpu in others if not logical)
        cores.append(Core(core, ids, first.socket, first.node, first.l3, first.l2, first.kind == "efficiency"))
    return cores


def _without_reserved(cores: list[Core], count: int, out: dict[int, Reason]) -> list[Core]:
    """Leave out the lowest cores of each node: interrupts and the system's own work start there by default.

    Source: MLPerf Inference v4.1, Intel's ResNet-50 server run, excludes the first core of each node and its sibling.
    """
    kept: list[Core] = []
    seen: Counter[int | None] = Counter()
    for core in cores:
        seen[core.node] += 1
        if seen[core.node] > count:
            kept.append(core)
        else:
            out.update((cpu, "reserved") for cpu in core.cpus)
    if not kept:
        sizes = [str(n) if node is None else f"{n} on node {node}" for node, n in sorted(seen.items(), key=str)]
        what = f"that leaves no core (usable: {', '.join(sizes)})"
        raise PlanError(f"reserve {count} cores per node", what, "reserve fewer")
    return kept
