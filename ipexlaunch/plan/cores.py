"""Which cores a request may use: allowed, listed, of the right kind, not reserved; and why each other cpu is out.

The lists that users write: "0-3,8", "0-31:2", "!5", "+0-3", "all", and one list for each instance, "0-31|32-63".

Source: numactl(8) for "all", "+" and "!"; taskset(1) for the stride; VLLM_CPU_OMP_THREADS_BIND for "|".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from ipexlaunch.documents.visible_text import quoted, whole_number
from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list, parse_range
from ipexlaunch.machine.topology import Cpu, Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.request import Request

LIST_HINT = 'write ids and ranges such as "0-3,8", "0-31:2", "!5", "+0-3" or "all"'


@dataclass(frozen=True, slots=True)
class ListedIds:
    """What a list means on one machine."""

    ids: frozenset[int]
    named: frozenset[int]
    """Those that the text names by their number; "all" and "!" name nothing."""


def split_instances(text: str) -> list[str]:
    """The list of each instance in "0-31|32-63"."""
    return [part.strip() for part in text.split("|")]


def parse_id_list(text: str, option: str, noun: str, allowed: frozenset[int], present: Collection[int]) -> ListedIds:
    """The ids that a list means on a machine.

    A leading "!" inverts the whole list within the allowed ids; a later item with "!" takes its ids away;
    "+N" is the N-th allowed id, counted from 0; "N-M:S" is every S-th id of the range.

    Args:
        text: the list; "|" separates lists, whose union is returned.
        option: the option that it came from, for messages.
        noun: "cpu" or "node", for messages.
        allowed: the ids that may be used.
        present: the ids that exist, so that a message can tell absent from not allowed.

    Raises:
        RequestError: malformed text, or a list that ends up empty.
        PlanError: an id that does not exist or is not allowed.
    """
    order = sorted(allowed)
    ids: set[int] = set()
    named: set[int] = set()
    for part in split_instances(text):
        found, by_number = _read_one(part, text, option, order)
        ids |= found
        named |= by_number
    if unknown := ids - allowed:
        _refuse(unknown, text, option, noun, allowed, present)
    return ListedIds(frozenset(ids), frozenset(named & ids))


def check_syntax(text: str, option: str) -> None:
    """Refuse malformed text without knowing the machine; relative items are read as if every id were allowed.

    Raises:
        RequestError: the text is not such a list.
    """
    for part in split_instances(text):
        _read_one(part, text, option, None)


def _read_one(part: str, text: str, option: str, order: list[int] | None) -> tuple[set[int], set[int]]:
    inverted = part.startswith("!")
    body = part[1:] if inverted else part
    if not body.strip():
        what = "it is empty" if not text.strip() else f"{quoted(part)} names nothing"
        raise RequestError(f"read {option} {quoted(text)}", what, LIST_HINT)
    ids: set[int] = set()
    named: set[int] = set()
    for raw in body.split(","):
        item = raw.strip()
        without = item.startswith("!")
        found, by_number = _read_item(item[1:] if without else item, text, option, order)
        if without:
            ids -= found
        else:
            ids |= found
            if by_number:
                named |= found
    if order is None:
        return ids, named
    if inverted:
        ids, named = set(order) - ids, set()
    if not ids:
        raise RequestError(f"read {option} {quoted(text)}", f"{quoted(part)} leaves nothing", LIST_HINT)
    return ids, named & ids


def _read_item(item: str, text: str, option: str, order: list[int] | None) -> tuple[set[int], bool]:
    """(ids, whether they were named by number) of "all", "3", "0-7", "0-7:2", "+0-3"."""
    if item == "all":
        return set(order or ()), False
    relative, wanted = item.startswith("+"), f"read {option} {quoted(text)}"
    span, colon, step_text = (item[1:] if relative else item).partition(":")
    numbers, step = parse_range(span, item, wanted, LIST_HINT), whole_number(step_text)
    if colon and (not step or "-" not in span):
        raise RequestError(wanted, f"{quoted(item)} has no valid stride", 'write e.g. "0-31:2"')
    if not relative or order is None:
        return set(numbers[:: step or 1]), not relative
    if numbers[-1] >= len(order):
        what = f"{quoted(item)} counts further than the {len(order)} allowed ones"
        raise RequestError(wanted, what, f'the last one is "+{len(order) - 1}"')
    return {order[number] for number in numbers[:: step or 1]}, False


def _refuse(
    unknown: set[int], text: str, option: str, noun: str, allowed: frozenset[int], present: Collection[int]
) -> None:
    absent = [number for number in unknown if number not in present]
    forbidden = unknown.difference(absent)
    parts = []
    if absent:
        do, are = ("does", "is") if len(absent) == 1 else ("do", "are")
        parts.append(f"{noun}{'s' * (len(absent) > 1)} {format_list(absent)} {do} not exist or {are} offline")
    if forbidden:
        many, are = ("s", "are") if len(forbidden) > 1 else ("", "is")
        parts.append(f"{noun}{many} {format_list(forbidden)} {are} not allowed here")
    raise PlanError(f"use {option} {text}", " and ".join(parts), f"allowed {noun}s are {format_list(allowed)}")


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
        listed = parse_id_list(request.cores_list, "--cores-list", "cpu", frozenset(allowed), topology.by_cpu.keys())
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
    return parse_id_list(text, "--nodes-list", "node", frozenset(present), present).ids


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
