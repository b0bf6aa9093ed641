"""The machine as a value: what is present, what is allowed, and where it came from.

Words, with one meaning each: *cpu* a logical CPU; *core* a physical core, whose id is the lowest cpu id among its
siblings; *thread* a software thread; *node* a NUMA node, never a host; *socket* a package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal, TypeVar

from ipexlaunch.documents.fields import Bounds, NonNegativeInt
from ipexlaunch.machine.cpulist import Ids

Quota = Annotated[float, Bounds(gt=0)]
Kind = Literal["performance", "efficiency"]
LimitKind = Literal["affinity", "cpuset", "quota", "memory", "view"]
"""What narrows; a view narrows nothing, it is what a container is shown in place of a file of the host."""


Item = TypeVar("Item")
Key = TypeVar("Key")


def group_by(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Each key to the items that have it, both in the order in which they come.

    Args:
        items: cpus, nodes or anything else.
        key: of an item.
    """
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """One online logical cpu."""

    id: NonNegativeInt
    core: NonNegativeInt
    """Lowest cpu id among the SMT siblings of its core, so that it is unique on the machine."""
    socket: NonNegativeInt
    """physical_package_id, or the lowest cpu id of the package where the kernel gives none (-1)."""
    node: NonNegativeInt | None = None
    """NUMA node; None where the machine has no node directories."""
    l2: NonNegativeInt | None = None
    """Lowest cpu id that shares its L2 cache; None where unknown."""
    l3: NonNegativeInt | None = None
    """Lowest cpu id that shares its L3 cache; None where unknown."""
    kind: Kind | None = None
    """On hybrid machines; None where all cores are alike."""
    die: NonNegativeInt | None = None
    """Lowest cpu id of its die; None where the kernel tells none."""
    cluster: NonNegativeInt | None = None
    """Lowest cpu id of its cluster (cores that share an L2 cache or a bus); None where the kernel tells none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One NUMA node. It may have no cpus (HBM, CXL, GPU memory) or no memory."""

    id: NonNegativeInt
    memory_bytes: NonNegativeInt
    """MemTotal; 0 for a memoryless node, and on all nodes where a saved tree holds no meminfo at all (then
    `Topology.allowed_nodes` still tells which nodes may be used)."""
    distances: Mapping[NonNegativeInt, NonNegativeInt] = field(default_factory=dict)
    """Node id to ACPI SLIT distance (10 = local); empty where the kernel gives none."""
    huge_pages: Mapping[NonNegativeInt, NonNegativeInt] = field(default_factory=dict)
    """Page size in bytes to the number of pages set aside on this node; empty where the kernel tells none."""
    initiators: Ids = frozenset()
    """Nodes that reach this node's memory fastest (HMAT access class 0); empty where the firmware tells none."""
    read_bandwidth_mb_s: NonNegativeInt | None = None
    """MB/s from its initiators, as HMAT says; None where it says nothing."""
    read_latency_ns: NonNegativeInt | None = None
    """Nanoseconds from its initiators, as HMAT says; None where it says nothing."""
    hidden_cpus: Ids = frozenset()
    """Cpus of this node that a container does not show; a node without other cpus is not memory-only for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerator:
    """One PCI device of the display or processing class that can compute."""

    address: str
    """PCI address, "0000:3a:00.0"."""
    vendor: str
    """"intel", "nvidia", "amd", or the PCI vendor id, "0x1da3"."""
    device: str
    """PCI device id, "0x0bd5"."""
    node: NonNegativeInt | None = None
    """The node that it hangs on; None where the firmware tells none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One thing that narrows what this process may use."""

    kind: LimitKind
    file: str
    """The file that says so, relative to the root, e.g. "proc/self/status"."""
    cpus: Ids | None = None
    """Cpus that it allows, as the file says; None where it says nothing of cpus."""
    nodes: Ids | None = None
    """Nodes whose memory it allows, as the file says; None where it says nothing of nodes."""
    quota: Quota | None = None
    """Cpu time per time, in cpus; None where it sets no quota."""
    memory_bytes: NonNegativeInt | None = None
    """That all processes in the cgroup may have together; None where it says nothing of memory."""
    page_bytes: NonNegativeInt | None = None
    """Size of the huge pages that `memory_bytes` is about; None where it is about ordinary memory."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """One machine. Present and allowed are apart: `cpus` are the online ones, `allowed_cpus` those we may use."""

    about: str = ""
    source: str = "made"
    """Where the facts come from: "live", "sysfs:DIR", "file:PATH", "made:2s 2n 28c 2t"."""
    cpu_model: str | None = None
    """As /proc/cpuinfo names it; None where it does not."""
    cpus: Annotated[tuple[Cpu, ...], Bounds(min_length=1)]
    """Ascending by id."""
    nodes: tuple[Node, ...] = ()
    """Ascending by id; empty where the machine has no node directories."""
    allowed_cpus: Ids
    allowed_nodes: Ids
    """Nodes whose memory we may use."""
    cpu_quota: Quota | None = None
    """In cpus (quota / period of the tightest cgroup); None where there is no limit."""
    memory_limit_bytes: NonNegativeInt | None = None
    """Of the tightest cgroup, swap not counted; None where there is no limit."""
    isa: frozenset[str] = frozenset()
    """Instruction-set flags as the kernel spells them, those that matter to inference."""
    present_cpus: Ids = frozenset()
    """Cpus that are plugged in, online or not; empty where only the online ones are known."""
    possible_cpus: Ids = frozenset()
    """Cpus that could ever be plugged in; empty where only the online ones are known."""
    offline_cpus: Ids = frozenset()
    """Cpus that have a directory and are not online."""
    isolated_cpus: Ids = frozenset()
    """Cpus that the scheduler leaves alone (isolcpus); they are used only by who asks for them."""
    smt: str | None = None
    """SMT control: on, off, forceoff, notsupported, notimplemented; None where the kernel tells none."""
    accelerators: tuple[Accelerator, ...] = ()
    """Ascending by address."""
    limits: tuple[Limit, ...] = ()
    """The parts that `allowed_cpus`, `allowed_nodes`, `cpu_quota` and `memory_limit_bytes` are made of."""
    gaps: tuple[str, ...] = ()
    """What the files of this machine do not tell, and what is assumed instead; a sentence each."""

    @cached_property
    def by_cpu(self) -> Mapping[int, Cpu]:
        """Cpu id to Cpu."""
        return {cpu.id: cpu for cpu in self.cpus}

    @cached_property
    def by_node(self) -> Mapping[int, Node]:
        """Node id to Node."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def cores(self) -> Mapping[int, frozenset[int]]:
        """Core id to the ids of its online cpus, ascending by core id."""
        siblings = group_by(self.cpus, lambda cpu: cpu.core)
        return {core: frozenset(cpu.id for cpu in siblings[core]) for core in sorted(siblings)}

    def cores_of(self, cpus: Iterable[int]) -> frozenset[int]:
        """The cores that some cpus are on; those that are not online are left out."""
        return frozenset(self.by_cpu[cpu].core for cpu in cpus if cpu in self.by_cpu)

    def nodes_of(self, cpus: Iterable[int]) -> frozenset[int]:
        """The nodes that some cpus are on; those without a node, or not online, are left out."""
        found = (self.by_cpu[cpu].node for cpu in cpus if cpu in self.by_cpu)
        return frozenset(node for node in found if node is not None)

    @cached_property
    def memory_only_nodes(self) -> frozenset[int]:
        """Nodes without cpus of their own, hidden ones counted: high-bandwidth, persistent or device memory."""
        with_cpus = {cpu.node for cpu in self.cpus}
        return frozenset(node.id for node in self.nodes if node.id not in with_cpus and not node.hidden_cpus)

    def distance(self, here: int, there: int) -> int | None:
        """The kernel's distance between two nodes, in whichever direction it is given; None where it is not."""
        distances = [self.by_node[a].distances.get(b) for a, b in ((here, there), (there, here)) if a in self.by_node]
        return next((distance for distance in distances if distance is not None), None)

    def initiators(self, node: int) -> frozenset[int]:
        """The nodes with cpus that reach a memory-only node fastest, by HMAT or else by distance; none if untold."""
        with_cpus = {cpu.node for cpu in self.cpus if cpu.node is not None}
        if told := self.by_node[node].initiators & with_cpus:
            return told
        reach = {other: far for other in with_cpus if (far := self.distance(other, node)) is not None}
        return frozenset(other for other, far in reach.items() if far == min(reach.values()))

    @cached_property
    def view(self) -> Limit | None:
        """What a container is shown in place of the host's list of online cpus; None where that is the host's."""
        return next((limit for limit in self.limits if limit.kind == "view"), None)

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that tell this machine's shape from another's.

        Over ids only (cpu, core, socket, node; node ids), so that a change of memory size, of what is allowed, or of
        the source leaves it alone.
        """
        from zlib import crc32  # a checksum against mistakes, not malice; hashlib would cost every start 2 ms

        cpus = sorted(self.cpus, key=lambda cpu: cpu.id)
        rows = [f"{c.id},{c.core},{c.socket},{'-' if c.node is None else c.node}" for c in cpus]
        text = ";".join(rows) + "|" + ",".join(str(node) for node in sorted(self.by_node))
        data = text.encode()
        return f"{crc32(data):08x}{crc32(data[::-1]):08x}"
