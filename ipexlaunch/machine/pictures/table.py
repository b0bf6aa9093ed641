"""The machine as a table: one line per node and socket, then the distances between nodes."""

from __future__ import annotations

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.pictures.distances import distance_lines
from ipexlaunch.machine.pictures.parts import l3_sharers
from ipexlaunch.machine.text_table import table_text
from ipexlaunch.machine.topology import Cpu, Topology, group_by
from ipexlaunch.machine.wording import device_words, heading_lines, kind_words, memory_is_known, memory_words


def machine_table(topology: Topology, *, width: int = 100, color: bool = False) -> str:
    """One line per node with its sockets, cpus, cores, L3 caches and memory, then the distances between nodes.

    A machine without nodes has one line per socket.

    Args:
        topology: the machine.
        width: columns of the terminal; no line is longer.
        color: with ANSI colours.
    """
    places: dict[int | None, list[Cpu]] = {node.id: [] for node in topology.nodes}
    for cpu in topology.cpus:
        places.setdefault(cpu.node if topology.nodes else cpu.socket, []).append(cpu)
    columns = {
        "node": ["-" if node is None else str(node) for node in places],
        "socket": [format_list(cpu.socket for cpu in cpus) or "-" for cpus in places.values()],
        "cores": [str(len({cpu.core for cpu in cpus})) for cpus in places.values()],
        "cpus": [format_list(cpu.id for cpu in cpus) or "none" for cpus in places.values()],
    }
    if not topology.allowed_cpus >= set(topology.by_cpu):
        allowed = [topology.allowed_cpus & {cpu.id for cpu in cpus} for cpus in places.values()]
        columns["allowed cpus"] = [format_list(some) or "none" for some in allowed]
    if any(cpu.kind for cpu in topology.cpus):
        columns["kinds"] = [kind_words(cpus) for cpus in places.values()]
    if any(cpu.l3 is not None for cpu in topology.cpus):
        columns["L3 caches"] = [_l3_words(topology, cpus) for cpus in places.values()]
    if topology.nodes:
        columns["memory"] = [_memory(topology, node) for node in places]
        if topology.accelerators:
            columns["accelerators"] = [", ".join(device_words(topology, node)) or "-" for node in places]
    else:
        del columns["node"]
    rows = [[column[row] for column in columns.values()] for row in range(len(places))]
    lists = [name for name in ("cpus", "allowed cpus") if name in columns]
    right = ("node", "socket", "cores", "memory")
    table = table_text(list(columns), rows, right=right, lists=lists, width=width, color=color).rstrip("\n")
    parts = [heading_lines(topology, width), [table], distance_lines(topology, width)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _memory(topology: Topology, node_id: int | None) -> str:
    if node_id is None or not memory_is_known(topology):
        return "-"
    node = topology.by_node[node_id]
    barred = node.memory_bytes and node.id not in topology.allowed_nodes
    return memory_words(node.memory_bytes) + (", not allowed" if barred else "")


def _l3_words(topology: Topology, cpus: list[Cpu]) -> str:
    """ "1", "8 of 4 cores", "1 shared with nodes 1-3": how many L3 caches these cpus have, and who else uses them."""
    domains = {cpu.l3 for cpu in cpus if cpu.l3 is not None}
    if not domains:
        return "-"
    if others := l3_sharers(topology, cpus):
        return f"{len(domains)}, with {others}"
    if len(domains) == 1:
        return "1"
    caches = group_by((cpu for cpu in cpus if cpu.l3 is not None), lambda cpu: cpu.l3)
    sizes = sorted({len({cpu.core for cpu in some}) for some in caches.values()})
    each = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    return f"{len(domains)} of {each} core{'' if each == '1' else 's'}"
