"""Which nodes an instance's memory comes from: its own, the nearest with memory, the fast ones, or all near ones.

Sizes of memory as people write them, "24GiB", to and from bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Node, Topology
from ipexlaunch.plan.request import MemoryTier

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


_UNITS = {
    "b": 1,
    **{
        unit: 1 << 10 * power
        for power, letter in enumerate("kmgt", 1)
        for unit in (letter, f"{letter}i", f"{letter}ib")
    },
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
}
LARGEST_BYTES = 1 << 60
_NAMES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def parse_bytes(text: str, option: str) -> int:
    """Bytes of "24GiB" or "24Gi", "24G" (binary too, as in systemd and Slurm), "24GB" (decimal) or "1024B".

    Args:
        text: as a person wrote it; a number without its unit is none, because nobody means 24 bytes.
        option: for the message.

    Raises:
        RequestError: the text is not such a size.
    """
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)\s*", text.lower())
    unit = None if match is None else _UNITS.get(match[2])
    if match is None or unit is None:
        what = "it has no unit" if match is not None and not match[2] else "it is not a size"
        raise RequestError(f"read {option} {text!r}", what, 'write e.g. "24GiB" or "24GB"')
    size = int(float(match[1]) * unit)
    if not 1 <= size <= LARGEST_BYTES:
        raise RequestError(f"read {option} {text!r}", "no memory has that size", 'write e.g. "24GiB" or "24GB"')
    return size


def format_bytes(amount: int) -> str:
    """The size in the largest binary unit that leaves at least 1, with one digit after the point where it is needed."""
    for unit, name in _NAMES:
        if amount >= unit:
            number = amount / unit
            return f"{number:.0f} {name}" if number == int(number) else f"{number:.1f} {name}"
    return f"{amount} B"
