"""A machine from a sentence: "2s 2n 28c 2t" is 2 sockets of 2 nodes of 28 cores of 2 threads.

Grammar: words in any order, each at most once, separated by spaces; a word left out is 1.

    Ns     sockets
    Nn     nodes per socket
    Nc     cores per node, or, for nodes of unequal size, the cores of each node of a socket: "43+43+42c"
           (then the number of nodes per socket follows, and Nn may only repeat it)
    Nt     threads (SMT siblings) per core
    NGiB   memory per node (default 64GiB); also MiB and TiB
    Nxpu   Intel accelerators, dealt to the nodes as evenly as they divide, the first nodes first; left out: none
    Ncuda  NVIDIA accelerators, likewise

Cpus are numbered as on most Intel servers: first the first siblings of all cores, socket by socket and node by node,
then all the second siblings in the same order. Each socket has one L3 cache, each core its own L2 cache; distances are
10 to itself, 12 within a socket, 21 between sockets (the values of two-socket Xeon servers). Everything is allowed.
"""

from __future__ import annotations

import re
from itertools import accumulate

from ipexlaunch.errors import RequestError
from ipexlaunch.machine.topology import Accelerator, Cpu, Node, Topology

EXAMPLE = 'write for example "2s 2n 28c 2t" or "2s 43+43+42c 2t"'
MEMORY_UNITS = {"MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
DEFAULT_MEMORY_BYTES = 64 << 30
LARGEST_MACHINE = 65536
"""Cpus; eight times the largest NR_CPUS of the kernel, so that a typing error does not fill the memory."""
LARGEST_NODE_COUNT = 1024
"""MAX_NUMNODES of the kernel (CONFIG_NODES_SHIFT=10)."""
LOCAL, SAME_SOCKET, OTHER_SOCKET = 10, 12, 21
"""ACPI SLIT distances."""

_COUNT = re.compile(r"([0-9]{1,7})([snt])", re.ASCII)
_CORES = re.compile(r"([0-9]{1,7}(?:\+[0-9]{1,7})*)c", re.ASCII)
_MEMORY = re.compile(r"([0-9]{1,7})(MiB|GiB|TiB)", re.ASCII)
_ACCELERATORS = re.compile(r"([0-9]{1,3})(xpu|cuda)", re.ASCII)
_NAMES = {
    "s": "sockets",
    "n": "nodes per socket",
    "c": "cores",
    "t": "threads per core",
    "B": "memory per node",
    "xpu": "Intel accelerators",
    "cuda": "NVIDIA accelerators",
}
_DEVICES = {"xpu": ("intel", "0x0bd5"), "cuda": ("nvidia", "0x2330")}
"""Vendor and PCI device id: a Data Center GPU Max 1550, an H100."""


def is_synthetic(text: str) -> bool:
    """Whether a word of the text is one of a sentence, so that a mistake in another is told as such."""
    kinds = (_COUNT, _CORES, _MEMORY, _ACCELERATORS)
    return any(kind.fullmatch(word) for word in text.split() for kind in kinds)


def synthetic_machine(text: str) -> Topology:
    """The machine that the sentence describes.

    Raises:
        RequestError: a word that is none, a word that comes twice, a count of 0, or more than 65536 cpus.
    """
    sockets, cores, threads, memory_bytes, accelerators = _read(text)
    first = list(accumulate((cores * sockets)[:-1], initial=0))  # core of each node
    total = sum(cores) * sockets
    cpus: dict[int, Cpu] = {}
    for index, start in enumerate(first):
        socket = index // len(cores)
        for core in range(start, start + cores[index % len(cores)]):
            for thread in range(threads):
                number = core + thread * total
                l3 = first[socket * len(cores)]
                cpus[number] = Cpu(id=number, core=core, socket=socket, node=index, l2=core, l3=l3)
    nodes = tuple(
        Node(id=index, memory_bytes=memory_bytes, distances=_distances(index, len(cores), len(first)))
        for index in range(len(first))
    )
    online = frozenset(cpus)
    return Topology(
        cpus=tuple(cpus[number] for number in sorted(cpus)),
        nodes=nodes,
        allowed_cpus=online,
        allowed_nodes=frozenset(range(len(first))),
        present_cpus=online,
        possible_cpus=online,
        accelerators=_accelerators(accelerators, len(first)),
        source=f"made:{' '.join(text.split())}",
    )


def _distances(node: int, per_socket: int, count: int) -> dict[int, int]:
    return {
        other: LOCAL if other == node else SAME_SOCKET if other // per_socket == node // per_socket else OTHER_SOCKET
        for other in range(count)
    }


def _accelerators(counts: dict[str, int], nodes: int) -> tuple[Accelerator, ...]:
    """Ascending by address; the first nodes get those that do not divide."""
    found = []
    for bus, (kind, count) in enumerate(sorted(counts.items())):
        vendor, device = _DEVICES[kind]
        for number in range(count):
            node, bus_number = number * nodes // count, 0x40 * (bus + 1) + number % 0x40
            address = f"{node:04x}:{bus_number:02x}:{number // 0x40:02x}.0"
            found.append(Accelerator(address=address, vendor=vendor, device=device, node=node))
    return tuple(sorted(found, key=lambda accelerator: accelerator.address))


def _read(text: str) -> tuple[int, list[int], int, int, dict[str, int]]:
    """(sockets, cores of each node of a socket, threads per core, bytes of memory per node, accelerators by kind)."""
    wanted = f"read the machine {text!r}"
    counts: dict[str, int] = {}
    cores: list[int] = []
    for word in text.split():
        count, core, memory = _COUNT.fullmatch(word), _CORES.fullmatch(word), _MEMORY.fullmatch(word)
        count = count or _ACCELERATORS.fullmatch(word)
        key = count[2] if count else "c" if core else "B"
        if key in counts:
            raise RequestError(wanted, f"the {_NAMES[key]} stand there twice", EXAMPLE)
        if count:
            counts[key] = int(count[1])
        elif core:
            cores = [int(part) for part in core[1].split("+")]
            counts[key] = min(cores)
        elif memory:
            counts[key] = int(memory[1]) * MEMORY_UNITS[memory[2]]
        else:
            raise RequestError(wanted, f"{word!r} is no word of such a sentence", EXAMPLE)
        if not counts[key]:
            raise RequestError(wanted, f"{word!r}: there must be at least 1", EXAMPLE)
    if not counts:
        raise RequestError(wanted, "it is empty", EXAMPLE)
    sockets, nodes, threads = counts.get("s", 1), counts.get("n", 1), counts.get("t", 1)
    if len(cores) > 1 and counts.get("n", len(cores)) != len(cores):
        there = f"it says {nodes} nodes per socket and lists the cores of {len(cores)}"
        raise RequestError(wanted, there, f"leave out '{nodes}n'")
    if len(cores) < 2:
        cores = (cores or [1]) * min(nodes, LARGEST_NODE_COUNT + 1)
    if (cpus := sockets * sum(cores) * threads) > LARGEST_MACHINE:
        raise RequestError(wanted, f"it has {cpus} cpus", f"at most {LARGEST_MACHINE} can be described")
    if sockets * len(cores) > LARGEST_NODE_COUNT:
        raise RequestError(wanted, f"it has more than {LARGEST_NODE_COUNT} nodes", "no kernel has more")
    accelerators = {kind: counts[kind] for kind in _DEVICES if kind in counts}
    return sockets, cores, threads, counts.get("B", DEFAULT_MEMORY_BYTES), accelerators
