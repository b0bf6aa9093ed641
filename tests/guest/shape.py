"""Shape: one guest's sockets, cores, nodes, cpu numbering and limits, and what its kernel must show for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Literal

Numbering = Literal["adjacent", "cores-first", "sockets-in-turn"]
"""Which cpus the kernel counts up first: a core's siblings; one thread of every core (most Xeons); or one thread of
the first core of each socket, then of the second (some vendors' firmware)."""

LOCAL, SAME_SOCKET, OTHER_SOCKET = 10, 12, 21
"""Distances as real two-socket firmware gives them (ACPI SLIT)."""
MEMORY_ONLY_NEAR, MEMORY_ONLY_FAR = 14, 24
"""Distances between a node without cpus and the nodes of its own and of other sockets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestCpu:
    """One cpu of a guest, by its number in Linux and by its place in QEMU."""

    id: int
    socket: int
    core: int
    """Within its socket."""
    thread: int
    """Within its core."""
    node: int
    apic_id: int
    uid: int
    """ACPI processor uid: the cpu's index in QEMU's own order."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A guest machine. Nodes with cpus come first and get equal runs of cores; nodes without cpus follow."""

    about: str
    sockets: int
    nodes_per_socket: int
    cores_per_node: int
    threads: int = 1
    """Per core."""
    node_mib: int = 512
    memory_only_mib: tuple[int, ...] = ()
    """Size of each node without cpus; they belong to the sockets in turn."""
    memoryless: frozenset[int] = frozenset()
    """Nodes that have cpus and no memory."""
    numbering: Numbering = "cores-first"
    offline: frozenset[int] = frozenset()
    """Cpus taken offline after boot."""
    cpuset_cpus: str = ""
    """cpuset.cpus of the cgroup v2 that the command runs in; empty for no cgroup."""
    cpuset_mems: str = ""
    """cpuset.mems of the same cgroup."""
    refuse_memory_policy: bool = False
    """Run the command under a seccomp filter that answers EPERM to the memory policy calls."""
    attributes: bool = False
    """Tell the kernel each node's latency and bandwidth (ACPI HMAT), as firmware does for HBM and CXL memory."""
    distances: dict[tuple[int, int], int] = field(default_factory=dict)
    """Replaces the default distance for some pairs of nodes."""

    @cached_property
    def cpu_nodes(self) -> range:
        """The ids of the nodes with cpus."""
        return range(self.sockets * self.nodes_per_socket)

    @cached_property
    def node_sizes_mib(self) -> tuple[int, ...]:
        """Size of each node by its id, 0 for a memoryless one."""
        with_cpus = (0 if node in self.memoryless else self.node_mib for node in self.cpu_nodes)
        return (*with_cpus, *self.memory_only_mib)

    @cached_property
    def cpus(self) -> tuple[GuestCpu, ...]:
        """All cpus, offline ones too, ascending by Linux's number.

        An APIC id holds thread, core and socket in fields of whole bits (Intel SDM, 9.9 "Programming considerations
        for hardware multi-threading"), so ids have gaps where a count is not a power of two.
        """
        cores = self.nodes_per_socket * self.cores_per_node
        thread_bits, core_bits = (self.threads - 1).bit_length(), (cores - 1).bit_length()
        places = list(product(range(self.sockets), range(cores), range(self.threads)))
        uid = {place: index for index, place in enumerate(places)}
        if self.numbering == "cores-first":
            places.sort(key=lambda place: (place[2], place[0], place[1]))
        elif self.numbering == "sockets-in-turn":
            places.sort(key=lambda place: (place[2], place[1], place[0]))
        return tuple(
            GuestCpu(
                id=number,
                socket=socket,
                core=core,
                thread=thread,
                node=socket * self.nodes_per_socket + core // self.cores_per_node,
                apic_id=(socket << core_bits | core) << thread_bits | thread,
                uid=uid[socket, core, thread],
            )
            for number, (socket, core, thread) in enumerate(places)
        )

    @cached_property
    def online(self) -> frozenset[int]:
        """The cpus that run."""
        return frozenset(cpu.id for cpu in self.cpus) - self.offline

    def online_of_node(self, node: int) -> frozenset[int]:
        """The running cpus of one node; none for a node without cpus."""
        return frozenset(cpu.id for cpu in self.cpus if cpu.node == node) & self.online

    def siblings(self, cpu: GuestCpu) -> frozenset[int]:
        """The running cpus of one cpu's core."""
        return frozenset(c.id for c in self.cpus if (c.socket, c.core) == (cpu.socket, cpu.core)) & self.online

    def socket_of_node(self, node: int) -> int:
        """The socket that a node belongs to; nodes without cpus go round the sockets."""
        if node in self.cpu_nodes:
            return node // self.nodes_per_socket
        return (node - len(self.cpu_nodes)) % self.sockets

    def initiator(self, node: int) -> int:
        """The node whose cpus are nearest to a node's memory."""
        return node if node in self.cpu_nodes else self.socket_of_node(node) * self.nodes_per_socket

    def latency_ns(self, one: int, other: int) -> int:
        """Read and write latency that the firmware claims between a node's cpus and a node's memory."""
        return 10 * self.distance(one, other)

    def bandwidth_gib_s(self, one: int, other: int) -> int:
        """Read and write bandwidth that the firmware claims between a node's cpus and a node's memory."""
        return 640 // self.distance(one, other)

    def distance(self, one: int, other: int) -> int:
        """The ACPI distance from one node to another."""
        if one == other:
            return LOCAL
        if (one, other) in self.distances:
            return self.distances[one, other]
        near = self.socket_of_node(one) == self.socket_of_node(other)
        if one in self.cpu_nodes and other in self.cpu_nodes:
            return SAME_SOCKET if near else OTHER_SOCKET
        return MEMORY_ONLY_NEAR if near else MEMORY_ONLY_FAR


SHAPES: dict[str, Shape] = {
    "2s2n-smt": Shape(
        about="2 sockets of 2 nodes (sub-NUMA clusters), 2 threads a core, numbered cores first",
        sockets=2,
        nodes_per_socket=2,
        cores_per_node=2,
        threads=2,
    ),
    "4s": Shape(
        about="4 sockets of 1 node, 2 threads a core, siblings numbered side by side",
        sockets=4,
        nodes_per_socket=1,
        cores_per_node=2,
        threads=2,
        numbering="adjacent",
    ),
    "8n": Shape(
        about="8 nodes on 4 sockets, no SMT",
        sockets=4,
        nodes_per_socket=2,
        cores_per_node=2,
    ),
    "memory-only": Shape(
        about="2 sockets of 1 node, and 2 nodes that have memory and no cpus",
        sockets=2,
        nodes_per_socket=1,
        cores_per_node=4,
        memory_only_mib=(320, 320),
        attributes=True,
    ),
    "memoryless": Shape(
        about="2 sockets of 2 nodes; nodes 1 and 2 have cpus and no memory",
        sockets=2,
        nodes_per_socket=2,
        cores_per_node=2,
        node_mib=768,
        memoryless=frozenset({1, 2}),
    ),
    "offline": Shape(
        about="2 sockets of 1 node with SMT; one whole core and one thread of two other cores are offline",
        sockets=2,
        nodes_per_socket=1,
        cores_per_node=4,
        threads=2,
        offline=frozenset({2, 10, 5, 15}),
    ),
    "interleaved": Shape(
        about="2 sockets of 1 node with SMT; even cpus on one socket, odd ones on the other",
        sockets=2,
        nodes_per_socket=1,
        cores_per_node=4,
        threads=2,
        numbering="sockets-in-turn",
    ),
    "cpuset": Shape(
        about="2 sockets of 2 nodes with SMT, in a cgroup v2 cpuset of three nodes' cpus and memory, two of them whole",
        sockets=2,
        nodes_per_socket=2,
        cores_per_node=2,
        threads=2,
        cpuset_cpus="2-6,10-14",
        cpuset_mems="1-3",
    ),
    "seccomp": Shape(
        about="2 sockets of 1 node with SMT, under a seccomp filter that refuses memory policy",
        sockets=2,
        nodes_per_socket=1,
        cores_per_node=4,
        threads=2,
        refuse_memory_policy=True,
    ),
}
"""The shapes of the test bed, by the name that --shape takes."""
