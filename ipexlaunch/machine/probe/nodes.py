"""NUMA nodes with their cpus, memory, huge pages, distances and initiators, from sys/devices/system/node.

Source: Documentation/ABI/stable/sysfs-devices-node and Documentation/admin-guide/mm/numaperf.rst of the Linux kernel.

Accelerators: PCI devices of the display and processing classes that can compute, with the node they hang on.

Source: Documentation/ABI/testing/sysfs-bus-pci of the Linux kernel; the PCI code and ID assignment specification.
"""

from __future__ import annotations

from ipexlaunch.machine.cpulist import NODE, numbers_of, shortened
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Accelerator, Node

INITIATORS = "access0/initiators"
LINKS = "cpu*"
LOCAL_DISTANCE = 10
"""The kernel refuses firmware tables with smaller values (include/linux/topology.h, arch/x86/mm/numa.c)."""


def read_nodes(
    tree: Tree, online: frozenset[int], hidden: frozenset[int] = frozenset()
) -> tuple[tuple[Node, ...], dict[int, int]]:
    """The nodes, ascending by id, and each online cpu's node; both empty where the kernel has no node directories.

    Nodes whose cpus are all in a lower node already are left out: firmware that lists the same cpus in several nodes
    describes one node, and no cpu may be counted twice.

    Args:
        tree: where to read.
        online: ids of the online cpus.
        hidden: ids of the host's cpus that a container does not show.
    """
    order = _node_ids(tree)
    if not order:
        return (), {}
    node_of: dict[int, int] = {}
    hidden_of: dict[int, frozenset[int]] = {}
    kept = []
    spelling = _spelling(tree, order)
    for node in order:
        path = f"{NODE}/node{node}/{spelling}"
        listed = _linked_cpus(tree, node) if spelling == LINKS else tree.ids(path)
        members = listed & online
        claimed = {node_of[cpu] for cpu in members if cpu in node_of}
        if claimed and not all(cpu in node_of for cpu in members):
            raise tree.problem(path, f"it names cpus of node {min(claimed)} beside its own")
        if not claimed:
            kept.append(node)
            hidden_of[node] = listed & hidden
            node_of.update(dict.fromkeys(members, node))
    stray = online - node_of.keys()
    if stray:
        raise tree.problem(NODE, f"cpu {min(stray)} is online, and no node*/{spelling} names it")
    with_memory = any(tree.has(f"{NODE}/node{node}/meminfo") for node in (order[0], order[-1]))
    distances = _distances(tree, order)
    return tuple(
        Node(
            id=node,
            memory_bytes=_memory(tree, node) if with_memory else 0,
            distances={other: distance for other, distance in distances[node].items() if other in kept},
            huge_pages=_huge_pages(tree, node),
            initiators=_initiators(tree, node) & frozenset(kept),
            read_bandwidth_mb_s=tree.optional_number(f"{NODE}/node{node}/{INITIATORS}/read_bandwidth"),
            read_latency_ns=tree.optional_number(f"{NODE}/node{node}/{INITIATORS}/read_latency"),
            hidden_cpus=hidden_of[node],
        )
        for node in kept
    ), node_of


def _spelling(tree: Tree, order: list[int]) -> str:
    """Which of a node's files name its cpus; its links to them where a saved tree has neither file, or empty ones."""
    for name in ("cpulist", "cpumap"):
        if any(tree.tells(f"{NODE}/node{node}/{name}") for node in (order[0], order[-1])):
            return name
    return LINKS if not tree.live and any(_linked_cpus(tree, node) for node in order) else "cpumap"


def _linked_cpus(tree: Tree, node: int) -> frozenset[int]:
    return numbers_of(tree.names(f"{NODE}/node{node}") or (), "cpu")


def nodes_with_memory(tree: Tree, nodes: tuple[Node, ...]) -> frozenset[int]:
    """Nodes that memory can come from; in saved trees without meminfo those of has_memory, or else all."""
    known = frozenset(node.id for node in nodes if node.memory_bytes)
    if known:
        return known
    all_nodes = frozenset(node.id for node in nodes)
    told = tree.optional_ids(f"{NODE}/has_memory")
    return all_nodes if told is None else told & all_nodes


def _node_ids(tree: Tree) -> list[int]:
    names = tree.names(NODE)
    if names is None:
        return []
    found = numbers_of(names, "node")
    path = f"{NODE}/online"
    online = tree.optional_ids(path)
    if online is not None and online != found:
        strange = min(online ^ found)
        if strange in online:
            raise tree.problem(f"{NODE}/node{strange}", f"there is no such directory, and {path} names the node")
        raise tree.problem(path, f"it does not name node {strange}, which has a directory")
    return sorted(found)


def _memory(tree: Tree, node: int) -> int:
    path = f"{NODE}/node{node}/meminfo"
    for line in tree.text(path).splitlines():
        words = line.split()  # "Node 0 MemTotal:  8385116 kB"
        if len(words) == 5 and words[2] == "MemTotal:":
            if not words[3].isdecimal() or len(words[3]) > 20 or words[4] != "kB":
                break
            return int(words[3]) * 1024
    raise tree.problem(path, "it has no line 'Node N MemTotal: SIZE kB'")


def _distances(tree: Tree, order: list[int]) -> dict[int, dict[int, int]]:
    """Each node's distances to all nodes; empty where no node has the file, or where no row fits.

    Rows that are all of one other length belong to a machine from whose tree whole nodes were cut: which value is whose
    cannot be told. One row that differs from the others is a broken file.
    """
    if not any(tree.has(f"{NODE}/node{node}/distance") for node in (order[0], order[-1])):
        return {node: {} for node in order}
    rows = {node: _distance_row(tree, node) for node in order}
    lengths = set(map(len, rows.values()))
    if len(order) > 1 and len(lengths) == 1 and len(order) not in lengths:
        return {node: {} for node in order}
    for node, row in rows.items():
        if len(row) != len(order):
            path = f"{NODE}/node{node}/distance"
            raise tree.problem(path, f"it holds {len(row)} distances, and there are {len(order)} nodes")
    return {node: dict(zip(order, row, strict=True)) for node, row in rows.items()}


def _distance_row(tree: Tree, node: int) -> list[int]:
    path = f"{NODE}/node{node}/distance"
    words = tree.text(path).split()
    if not all(word.isascii() and word.isdecimal() and len(word) < 10 for word in words):
        raise tree.problem(path, f"it holds {shortened(' '.join(words))}, which are no distances")
    row = [int(word) for word in words]
    if min(row) < LOCAL_DISTANCE:
        raise tree.problem(path, f"it holds the distance {min(row)}, and the least is {LOCAL_DISTANCE}")
    return row


def _huge_pages(tree: Tree, node: int) -> dict[int, int]:
    base = f"{NODE}/node{node}/hugepages"
    pages = {}
    for name in tree.names(base) or ():
        size = name.removeprefix("hugepages-").removesuffix("kB")
        if size.isdecimal() and len(size) < 20:
            pages[int(size) * 1024] = tree.number(f"{base}/{name}/nr_hugepages")
    return dict(sorted(pages.items()))


def _initiators(tree: Tree, node: int) -> frozenset[int]:
    return numbers_of(tree.names(f"{NODE}/node{node}/{INITIATORS}") or (), "node")


PCI = "sys/bus/pci/devices"
DISPLAY, PROCESSING = 0x03, 0x12
"""PCI base classes."""
VENDORS = {0x8086: "intel", 0x10DE: "nvidia", 0x1002: "amd"}
"""Of the display class only these count: the others are consoles of baseboard controllers and virtual machines."""


def read_accelerators(tree: Tree) -> tuple[Accelerator, ...]:
    """Ascending by address; empty where the tree has no PCI bus."""
    found = []
    for address in sorted(tree.names(PCI) or ()):
        base_class = _hex(tree, f"{PCI}/{address}/class") >> 16
        if base_class not in (DISPLAY, PROCESSING):
            continue
        if not tree.has(f"{PCI}/{address}/vendor") and not tree.has(f"{PCI}/{address}/device"):
            continue  # saved trees that keep the class only: nothing tells a GPU from a console
        code = _hex(tree, f"{PCI}/{address}/vendor")
        if code in VENDORS or base_class == PROCESSING:
            node = tree.optional_number(f"{PCI}/{address}/numa_node")
            found.append(
                Accelerator(
                    address=address,
                    vendor=VENDORS.get(code, f"0x{code:04x}"),
                    device=f"0x{_hex(tree, f'{PCI}/{address}/device'):04x}",
                    node=None if node is None or node < 0 else node,
                )
            )
    return tuple(found)


def _hex(tree: Tree, path: str) -> int:
    text = tree.text(path)
    digits = text.removeprefix("0x")
    if not 0 < len(digits) <= 8 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise tree.problem(path, f"it holds {shortened(text)}, which is no hexadecimal number")
    return int(digits, 16)
