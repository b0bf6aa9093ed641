"""How far the nodes are from each other: one sentence where a rule says it all, a matrix where none does."""

from __future__ import annotations

from ipexlaunch.machine.topology import Topology, group_by
from ipexlaunch.machine.wording import wrapped


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
