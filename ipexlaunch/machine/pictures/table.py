"""The machine as a table: one line per node and socket, then the distances between nodes.

How far the nodes are from each other: one sentence where a rule says it all, a matrix where none does.

The machine as a tree: sockets, their nodes, L3 caches, and cores with their cpus.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipexlaunch.documents.visible_text import wrapped
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.pictures.parts import Part, l3_sharers, machine_parts
from ipexlaunch.machine.topology import Cpu, Topology, group_by
from ipexlaunch.machine.wording import (
    accelerators_text,
    core_kinds_text,
    grouped,
    heading_lines,
    memory_is_known,
    memory_words,
    rendered,
    table_text,
    threads_text,
)

if TYPE_CHECKING:
    from rich.tree import Tree


DISPENSABLE = ("accelerators", "L3 caches", "kinds", "socket", "cores")
"""Columns that a narrow terminal goes without, in this order; --format yaml has them all."""


def distance_lines(topology: Topology, width: int) -> list[str]:
    """Lines of at most `width` that give every distance; none where the kernel gives none.

    Args:
        topology: the machine.
        width: columns.
    """
    known = [node for node in topology.nodes if node.distances]
    if len(topology.nodes) < 2 or not known:
        return []
    rule = distance_rule(topology)
    if rule:
        return wrapped(f"distances: {rule}", width)
    return [*wrapped("distances from node (row) to node (column):", width), *_matrix(topology, width)]


def distance_rule(topology: Topology) -> str:
    """ "10 within a node, 12 within a socket, 32 to another socket", or "" where the distances are not so regular.

    Args:
        topology: the machine; a node without cpus, or with cpus of several sockets, has no rule.
    """
    by_node = group_by(topology.cpus, lambda cpu: cpu.node)
    homes = {node: {cpu.socket for cpu in cpus} for node, cpus in by_node.items()}
    if any(len(homes.get(node.id, ())) != 1 for node in topology.nodes):
        return ""
    found: dict[str, set[int | None]] = {}
    for node in topology.nodes:
        for other in topology.nodes:
            same = "within a socket" if homes[node.id] == homes[other.id] else "to another socket"
            found.setdefault("within a node" if node is other else same, set()).add(node.distances.get(other.id))
    if any(len(distances) > 1 or None in distances for distances in found.values()):
        return ""
    if found.get("within a socket") == found.get("to another socket"):
        found = {"within a node": found["within a node"], "to any other": found["within a socket"]}
    order = [
        place for place in ("within a node", "to any other", "within a socket", "to another socket") if place in found
    ]
    return ", ".join(f"{next(iter(found[place]))} {place}" for place in order)


def _matrix(topology: Topology, width: int) -> list[str]:
    """The distances as rows and columns, in several bands of columns where they are too many for the width."""
    ids = [node.id for node in topology.nodes]
    cells = [str(far) for node in topology.nodes for far in node.distances.values()]
    cell = max(len(text) for text in [*cells, *map(str, ids)]) + 1
    head = max(len(str(node)) for node in ids) + 2
    band = max(1, (width - head) // cell)
    lines = []
    for start in range(0, len(ids), band):
        columns = ids[start : start + band]
        lines.append(" " * head + "".join(str(node).rjust(cell) for node in columns))
        for node in topology.nodes:
            row = "".join(str(node.distances.get(other, "?")).rjust(cell) for other in columns)
            lines.append(str(node.id).rjust(head - 1) + ":" + row)
    return lines


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
        columns["kinds"] = [core_kinds_text(cpus) for cpus in places.values()]
    if any(cpu.l3 is not None for cpu in topology.cpus):
        columns["L3 caches"] = [_l3_words(topology, cpus) for cpus in places.values()]
    if topology.nodes:
        columns["memory"] = [_memory(topology, node) for node in places]
        if topology.accelerators:
            columns["accelerators"] = [", ".join(accelerators_text(topology, node)) or "-" for node in places]
    else:
        del columns["node"]
    rows = [[column[row] for column in columns.values()] for row in range(len(places))]
    lists = [name for name in ("cpus", "allowed cpus") if name in columns]
    right = ("node", "socket", "cores", "memory")
    table = table_text(
        list(columns), rows, right=right, lists=lists, dispensable=DISPENSABLE, width=width, color=color
    ).rstrip("\n")
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


def machine_tree(topology: Topology, *, width: int = 100, color: bool = False) -> str:
    """Sockets, nodes, L3 caches and cores, each under what holds it, every cpu on one line only.

    Args:
        topology: the machine.
        width: columns of the terminal; longer lines are folded.
        color: with ANSI colours.
    """
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text("\n".join(heading_lines(topology, width))))
    for part in machine_parts(topology):
        _grow(root, part)
    return rendered(root, width=width, color=color)


def _grow(tree: Tree, part: Part) -> None:
    from rich.text import Text

    children = part.parts
    if part.what == "row":
        for child in children:
            _grow(tree, child)
        return
    words = list(part.facts)
    if len(children) == 1 and children[0].cores and not children[0].title:
        words.append(_cpu_words(children[0]) if words else _core_words(children[0]))
        children = ()
    if part.cores:
        words.append(_core_words(part))
    text = Text(part.title, style="bold")
    text.append((": " if part.title else "") + ", ".join(words), style="not bold")
    branch = tree.add(text)
    for child in children:
        _grow(branch, child)


def _core_words(part: Part) -> str:
    """ "8 cores of 2 threads, cpus 0-7,128-135"."""
    count = grouped(len(part.cores), "core")
    return f"{count} of {threads_text(map(len, part.cores))}, {_cpu_words(part)}"


def _cpu_words(part: Part) -> str:
    cpus = [cpu for core in part.cores for cpu in core]
    return f"{'cpus' if len(cpus) > 1 else 'cpu'} {format_list(cpus)}"
