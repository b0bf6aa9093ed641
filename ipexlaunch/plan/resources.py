"""What a request may use: which cores, and which nodes each node's memory comes from.

Cores are allowed, listed, of the right kind, not reserved; every other cpu is out for a reason. A node's memory is its
own, that of the nearest node with memory, of the fast ones, or of all near ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Node, Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.notation import parse_id_list
from ipexlaunch.plan.plan import MemoryTier, Request

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


FAR = 255
"""The distance that ACPI's SLIT gives to what cannot be reached; used where the kernel gives no distance."""


@dataclass(frozen=True, slots=True)
class MemoryMap:
    """What each node with cpus uses as its memory."""

    of_node: dict[int, frozenset[int]]

    def nodes(self, cpu_nodes: Iterable[int | None]) -> frozenset[int]:
        """The memory of an instance with cpus on these nodes; empty where the machine has no nodes."""
        return frozenset().union(*(self.of_node[node] for node in set(cpu_nodes) if node is not None))


def map_memory(topology: Topology, tier: MemoryTier | None) -> MemoryMap:
    """Decide for each node with cpus which nodes its memory comes from.

    Args:
        topology: the machine.
        tier: None: the node itself, or the nearest with memory where it has none (or none that is allowed);
            "dram": the same, leaving out fast memory-only nodes; "hbm": the nearest fast node;
            "all": the node's own and every memory-only node that is nearest to it.

    Raises:
        PlanError: no allowed node has memory, or there is no such tier.
    """
    by_socket = sorted(topology.cpus, key=lambda cpu: cpu.socket, reverse=True)
    sockets = {cpu.node: cpu.socket for cpu in by_socket if cpu.node is not None}  # the lowest of each node
    if not topology.nodes or not sockets:
        return MemoryMap({})
    usable = nodes_with_memory(topology)
    if not usable:
        there = f"none of the allowed nodes ({format_list(topology.allowed_nodes) or 'none'}) has memory"
        hint = "check cpuset.mems of this shell (Mems_allowed_list in /proc/self/status)"
        raise PlanError("place the memory of any instance", there, hint)
    expanders = {} if tier is None else {node: initiators(topology, node) for node in topology.memory_only_nodes}
    fast = frozenset(node for node, near in expanders.items() if _is_fast(topology, topology.by_node[node], near))
    if tier == "hbm":
        if not usable & fast:
            there = "this machine has no allowed high-bandwidth memory node"
            raise PlanError("use --memory hbm", there, "leave out --memory hbm")
        return MemoryMap({node: frozenset({nearest(topology, node, usable & fast, sockets)}) for node in sockets})
    homes = _homes(topology, (usable - fast or usable) if tier == "dram" else usable, sockets)
    beside = {node: {at for at in usable if node in expanders.get(at, ())} for node in homes if tier == "all"}
    return MemoryMap({node: frozenset({home, *beside.get(node, ())}) for node, home in homes.items()})


def nodes_with_memory(topology: Topology) -> frozenset[int]:
    """Nodes whose memory may be used; where no node tells its size (a saved tree without meminfo), the allowed ones."""
    allowed = topology.allowed_nodes & topology.by_node.keys()
    if all(node.memory_bytes == 0 for node in topology.nodes):
        return frozenset(allowed)
    return frozenset(node for node in allowed if topology.by_node[node].memory_bytes > 0)


def memory_suffices(topology: Topology, needs: Iterable[Collection[int]], each: int) -> bool:
    """Whether instances on these memory nodes can all have `each` bytes; one after the other fills its nodes."""
    left = {node.id: node.memory_bytes for node in topology.nodes}
    for nodes in needs:
        missing = each
        for node in sorted(nodes):
            taken = min(left[node], missing)
            left[node] -= taken
            missing -= taken
        if nodes and missing:
            return False
    return True


def _homes(topology: Topology, usable: Collection[int], sockets: dict[int, int]) -> dict[int, int]:
    """Each node's own memory, or the nearest; of equally near ones, that which serves fewest nodes so far."""
    homes = {node: node for node in sockets if node in usable}
    served = dict.fromkeys(usable, 0) | dict.fromkeys(homes, 1)
    for node in sorted(sockets.keys() - homes.keys()):
        homes[node] = min(usable, key=lambda other: (*nearness(topology, node, other, sockets), served[other], other))
        served[homes[node]] += 1
    return homes


def initiators(topology: Topology, node: int) -> frozenset[int]:
    """The nodes with cpus that reach a memory-only node fastest; all, where nothing tells it."""
    return topology.initiators(node) or frozenset(cpu.node for cpu in topology.cpus if cpu.node is not None)


def expander_kinds(topology: Topology) -> dict[int, str]:
    """Each memory-only node with memory, as "hbm" or "expander", and whether that is told or guessed."""
    kinds = {}
    for node in topology.nodes:
        if node.id not in topology.memory_only_nodes or not node.memory_bytes:
            continue
        near = initiators(topology, node.id)
        fast = _is_fast(topology, node, near)
        told = node.read_bandwidth_mb_s is not None
        kinds[node.id] = ("hbm" if fast else "expander") + (" (HMAT)" if told else " (a guess by its size)")
    return kinds


def _is_fast(topology: Topology, node: Node, near: Iterable[int]) -> bool:
    """Whether a memory-only node is high-bandwidth memory.

    By HMAT's bandwidth where firmware gives it for both. Else by size: HBM is smaller than the DRAM beside it (Xeon
    Max: 16 GiB to 32 and more per node; Xeon Phi: 16 to 96), CXL and persistent memory expanders rarely are.
    """
    rates = [rate for other in near if (rate := topology.by_node[other].read_bandwidth_mb_s) is not None]
    if node.read_bandwidth_mb_s is not None and rates:
        return node.read_bandwidth_mb_s > max(rates)
    beside = [topology.by_node[other].memory_bytes for other in near]
    return 0 < node.memory_bytes < max(beside, default=0)


def nearest(topology: Topology, node: int, among: Collection[int], sockets: dict[int, int]) -> int:
    """The node of `among` at the smallest distance from `node`; its own socket, then the lowest id, win a tie."""
    return min(among, key=lambda other: (*nearness(topology, node, other, sockets), other))


def nearness(topology: Topology, node: int, other: int, sockets: dict[int, int]) -> tuple[int, bool]:
    """How near two nodes are, in the order of preference: their distance, then whether they are on unlike sockets."""
    far = topology.distance(node, other)
    apart = sockets.get(node) is None or sockets.get(node) != sockets.get(other)
    return FAR if far is None else far, apart
