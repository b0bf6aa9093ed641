"""Made machines for the tests of the drawings."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from ipexlaunch.machine.topology import Cpu, Node, Topology

GIB = 1 << 30


def regular(
    sockets: int,
    nodes: int,
    cores: int,
    threads: int,
    *,
    l3_cores: int | None = None,
    allowed: Iterable[int] | None = None,
    memory_bytes: int = 128 * GIB,
) -> Topology:
    """So many sockets of so many nodes of so many cores; siblings numbered in halves as on most servers.

    Args:
        sockets: of the machine.
        nodes: per socket.
        cores: per node.
        threads: per core.
        l3_cores: cores that share an L3 cache; None for those of the socket.
        allowed: cpu ids; None for all.
        memory_bytes: per node.
    """
    total = sockets * nodes * cores
    share = l3_cores or cores * nodes
    cpus = tuple(
        Cpu(
            id=cpu,
            core=cpu % total,
            node=cpu % total // cores,
            socket=cpu % total // cores // nodes,
            l2=cpu % total,
            l3=cpu % total // share * share,
        )
        for cpu in range(total * threads)
    )
    ids = range(sockets * nodes)
    return Topology(
        cpus=cpus,
        nodes=tuple(
            Node(
                id=node,
                memory_bytes=memory_bytes,
                distances={other: _distance(node, other, nodes) for other in ids},
            )
            for node in ids
        ),
        allowed_cpus=frozenset(range(len(cpus)) if allowed is None else allowed),
        allowed_nodes=frozenset(ids),
    )


def _distance(node: int, other: int, per_socket: int) -> int:
    if node == other:
        return 10
    return 12 if node // per_socket == other // per_socket else 21


@st.composite
def assignments(draw: st.DrawFn, topology: Topology) -> dict[int, int] | None:
    """No plan, or some cpus of the machine given to instances."""
    if draw(st.booleans()):
        return None
    cpus = draw(st.sets(st.sampled_from([cpu.id for cpu in topology.cpus])))
    return {cpu: draw(st.integers(0, 12)) for cpu in sorted(cpus)}
