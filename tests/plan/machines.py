"""Machines for planner tests, built by hand: nodes of given sizes, and the odd things that real machines have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipexlaunch.machine.topology import Cpu, Node, Topology

GIB = 1 << 30


def machine(
    node_cores: Sequence[int],
    *,
    threads: int = 1,
    sockets: int | None = None,
    interleaved: bool = False,
    adjacent: bool = False,
    l3_cores: int | None = None,
    memory: Sequence[int] | None = None,
    distances: Mapping[tuple[int, int], int] | None = None,
    allowed: frozenset[int] | None = None,
) -> Topology:
    """Nodes 0, 1, ... with so many cores each.

    Args:
        node_cores: cores of each node.
        threads: siblings of each core.
        sockets: how many sockets the nodes are dealt to in runs; None makes each node a socket.
        interleaved: cpu ids go round the nodes (0, 4, 8, ... on node 0).
        adjacent: siblings have neighbouring ids; else the second siblings follow all the first ones.
        l3_cores: cores of each L3 domain; None makes the node one domain.
        memory: GiB of each node; None gives 64 to each.
        distances: (node, node) to distance; 10 at home, 21 elsewhere by default.
        allowed: allowed cpus; None allows all.
    """
    nodes = len(node_cores)
    per_socket = max(1, nodes // (sockets or nodes))
    order = _interleave(node_cores) if interleaved else [n for n, size in enumerate(node_cores) for _ in range(size)]
    total = len(order)
    cpus: list[Cpu] = []
    placed = [0] * nodes
    first_of_l3: dict[tuple[int, int], int] = {}
    for position, node in enumerate(order):
        ids = [position * threads + t if adjacent else position + t * total for t in range(threads)]
        cache = (node, placed[node] // (l3_cores or 10**6))
        placed[node] += 1
        l3 = first_of_l3.setdefault(cache, ids[0])
        cpus += [Cpu(id=i, core=ids[0], socket=node // per_socket, node=node, l2=ids[0], l3=l3) for i in ids]
    given = distances or {}
    return Topology(
        cpus=tuple(sorted(cpus, key=lambda cpu: cpu.id)),
        nodes=tuple(
            Node(
                id=n,
                memory_bytes=(64 if memory is None else memory[n]) * GIB,
                distances={m: given.get((n, m), given.get((m, n), 10 if n == m else 21)) for m in range(nodes)},
            )
            for n in range(nodes)
        ),
        allowed_cpus=frozenset(cpu.id for cpu in cpus) if allowed is None else allowed,
        allowed_nodes=frozenset(range(nodes)),
    )


def _interleave(node_cores: Sequence[int]) -> list[int]:
    left = list(node_cores)
    order: list[int] = []
    while any(left):
        for node, size in enumerate(left):
            if size:
                order.append(node)
                left[node] -= 1
    return order


SHAPES = {
    "2x28": machine([28, 28]),
    "2x60": machine([60, 60]),
    "8x16": machine([16] * 8, sockets=2),
    "4x(43,43,42)": machine([43, 43, 42] * 4, sockets=4),
    "interleaved 4S": machine([16] * 4, interleaved=True, threads=2),
}
"""The five shapes of the exhaustive tables."""
