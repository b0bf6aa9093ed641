"""Whether the nodes are alike: cpus, memory, what is free of it; and whether others count them as we do."""

from __future__ import annotations

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, require
from ipexlaunch.doctor.host_files_read import FileText, Undecidable
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted, in_gib

NODES = "/sys/devices/system/node"
NODE_MEMORY = "/sys/devices/system/node/node*/meminfo"
NODE_CPUS = "/sys/devices/system/node/node*/cpulist"
"""Read by the probe; named here as evidence."""

PATHS = (NODE_MEMORY,)

UNLIKE_SIZE = 0.9
"""Of the largest node's memory: with less, a node has fewer or smaller modules (the kernel keeps a few per cent)."""

UNLIKE_FREE = 0.5
"""Of the share that is left on the roomiest node: with less, others crowd this node."""


def check_node_cores(facts: Facts) -> Finding:
    """Whether equal instances can fill every node."""
    machine = facts.machine
    counts = {node.id: 0 for node in machine.nodes}
    for core, cpus in machine.cores.items():
        node = machine.by_cpu[core].node
        if node is not None and cpus & machine.allowed_cpus:
            counts[node] += 1
    used = {node: number for node, number in counts.items() if number}
    if len(used) < 2:
        return finding("ok", f"{counted(len(used) or 1, 'node')} with cpus of ours", _topology(facts))
    seen = [
        Evidence(
            NODE_CPUS.replace("*", str(node)),
            f"{format_list(cpu.id for cpu in machine.cpus if cpu.node == node)} ({counted(number, 'allowed core')})",
        )
        for node, number in used.items()
    ]
    least, most = min(used.values()), max(used.values())
    if least == most:
        return finding("ok", f"Each of {len(used)} nodes has {counted(least, 'allowed core')}", seen[0], seen[-1])
    return finding(
        "note",
        f"Nodes have {least} to {most} allowed cores: equal instances leave some idle",
        *seen,
        remedy="see which sizes leave least",
        command="ipexlaunch plan",
    )


def check_memoryless_nodes(facts: Facts) -> Finding:
    """Whether cpus have no memory of their own."""
    machine = facts.machine
    with_cpus = machine.nodes_of(machine.allowed_cpus)
    bare = [node.id for node in machine.nodes if node.memory_bytes == 0 and node.id in with_cpus]
    if bare:
        readings = {node: facts.files.read(NODE_MEMORY.replace("*", str(node))) for node in bare}
        rest = with_cpus - readings.keys()
        return finding(
            "warning",
            f"Node {format_list(bare)} has cpus but no memory: all memory of its workers is remote",
            *(
                Evidence(r.path, f"MemTotal: {r.require_field(f'Node {node} MemTotal')}")
                for node, r in readings.items()
            ),
            remedy="put memory modules into its channels, or leave its cpus out of the plan",
            command=f"ipexlaunch --nodes-list {format_list(rest)} ..." if rest else "",
        )
    apart = sorted(node for node in machine.memory_only_nodes if machine.by_node[node].memory_bytes)
    if apart:
        message = f"Node {format_list(apart)} is memory without cpus (HBM, CXL, persistent or device memory)"
        return finding("note", f"{message}: workers use it only if you say so", _topology(facts))
    return finding("ok", "Every node with cpus of ours has memory", _topology(facts))


def check_node_memory_size(facts: Facts) -> Finding:
    """Whether nodes with cpus have equal memory, thus equal bandwidth as far as can be seen."""
    machine = facts.machine
    with_cpus = {cpu.node for cpu in machine.cpus}
    sizes = {node.id: node.memory_bytes for node in machine.nodes if node.id in with_cpus and node.memory_bytes}
    if len(sizes) < 2:
        return finding("ok", "One node with cpus and memory", _topology(facts))
    smallest, largest = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    seen = [Evidence(NODE_MEMORY.replace("*", str(node)), in_gib(sizes[node])) for node in (smallest, largest)]
    if sizes[smallest] >= UNLIKE_SIZE * sizes[largest]:
        return finding("ok", f"{len(sizes)} nodes have equal memory, give or take the firmware's share", *seen)
    return finding(
        "warning",
        f"Node {smallest} has {in_gib(sizes[smallest])}, node {largest} {in_gib(sizes[largest])}: "
        "the instances of the smaller one bound the model's size, and perhaps its bandwidth",
        *seen,
        remedy="fill the memory channels of all sockets alike",
        command="sudo dmidecode -t memory | grep -E 'Locator|Size|Speed'",
    )


def check_node_memory_free(facts: Facts) -> Finding:
    """Whether the memory that is left is spread evenly; counts file cache that can be dropped as left."""
    machine = facts.machine
    ours = machine.nodes_of(machine.allowed_cpus) & machine.allowed_nodes
    readings = {node: r for r in facts.files.matching(NODE_MEMORY) if (node := _node_id(r)) in ours}
    if not readings:
        raise Undecidable("no node tells its memory", Evidence(NODE_MEMORY, "no such file"))
    left = {node: _available(reading) for node, reading in readings.items()}
    total = {node: _bytes(reading, "MemTotal") for node, reading in readings.items()}
    share = {node: left[node] / max(1, total[node]) for node in readings}
    order = sorted(readings, key=share.__getitem__)
    seen = [
        Evidence(readings[node].path, f"{in_gib(left[node])} free or cached of {in_gib(total[node])}") for node in order
    ]
    fullest, roomiest = order[0], order[-1]
    if share[fullest] >= UNLIKE_FREE * share[roomiest]:
        return finding("ok", f"Every node has at least {in_gib(min(left.values()))} left", *seen)
    return finding(
        "warning",
        f"Of node {fullest} {share[fullest]:.0%} is left, of node {roomiest} {share[roomiest]:.0%}: "
        "workers of the fuller one run out first, or spill to other nodes",
        *seen,
        remedy="see what kind of memory it is, then end or move who holds it",
        command="numastat -cm",
    )


def check_numa_package(facts: Facts) -> Finding:
    """Whether the `numa` package, where installed, counts the nodes as the kernel does."""
    package = require(facts.numa_package) if facts.numa_package is not None else None
    if package is None:
        said = "No package numa is here (numa builds on Python 3.10 only, py-libnuma on all): nothing to cross-check"
        return finding("ok", said, _topology(facts))
    nodes = facts.machine.nodes
    with_memory = [node for node in nodes if node.memory_bytes]
    if package.count is not None:
        right, says = package.count in (len(nodes), len(with_memory)), counted(package.count, "node")
    elif package.highest_id is not None:
        right, says = package.highest_id == max((n.id for n in nodes), default=0), f"highest node {package.highest_id}"
    else:
        right, says = len(nodes) < 2, "no NUMA here"
    seen = (Evidence(package.path, says), Evidence(NODES, format_list(node.id for node in nodes) or "no nodes"))
    if right:
        return finding("ok", "The package numa sees the nodes that the kernel has", *seen)
    return finding("warning", "The package numa sees other nodes than the kernel has: do not place by it", *seen)


def _topology(facts: Facts) -> Evidence:
    return Evidence(NODES, counted(len(facts.machine.nodes), "node"))


def _node_id(reading: FileText) -> int:
    return int(reading.path.split("/node/node")[1].split("/")[0])


def _available(reading: FileText) -> int:
    """MemFree and what can be dropped: file cache and reclaimable slabs."""
    return sum(_bytes(reading, name) for name in ("MemFree", "Active(file)", "Inactive(file)", "SReclaimable"))


def _bytes(reading: FileText, name: str) -> int:
    """A line such as "Node 0 MemTotal: 1024 kB", in bytes."""
    return reading.require_count_of(name, " kB", f"Node {_node_id(reading)} ") * 1024
