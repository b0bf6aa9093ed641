"""Made machines for the tests of the drawings."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import strategies as st

from ipexlaunch.topology import Cpu, Node, Topology
from ipexlaunch.topology.machine import Kind

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
def machines(draw: st.DrawFn) -> Topology:
    """Machines of any shape: sparse ids, uneven cores, hybrid kinds, nodes without cpus or memory, no nodes at all."""
    core_count = draw(st.integers(1, 24))
    nodes = draw(st.sampled_from(([], [0], [0, 1], [0, 1, 2, 3], [1, 4, 33])))
    sockets = draw(st.lists(st.integers(0, 9000), min_size=1, max_size=4, unique=True))
    hybrid = draw(st.booleans())
    cpus: list[Cpu] = []
    next_id = draw(st.integers(0, 3))
    for _ in range(core_count):
        first = next_id
        siblings = draw(st.integers(1, 4))
        kinds: tuple[Kind, Kind] = ("performance", "efficiency")
        kind = draw(st.sampled_from(kinds)) if hybrid else None
        socket = draw(st.sampled_from(sockets))
        node = draw(st.sampled_from(nodes)) if nodes else None
        l3 = draw(st.one_of(st.none(), st.sampled_from([cpu.id for cpu in cpus] + [first])))
        for sibling in range(siblings):
            cpus.append(Cpu(id=first + sibling, core=first, socket=socket, node=node, l2=first, l3=l3, kind=kind))
        next_id = first + siblings + draw(st.sampled_from((0, 0, 1, 1000)))
    ids = [cpu.id for cpu in cpus]
    far = draw(st.booleans())
    return Topology(
        cpus=tuple(cpus),
        nodes=tuple(
            Node(
                id=node,
                memory_bytes=draw(st.sampled_from((0, 512 << 20, 125 * GIB + 12345, 20 << 40))),
                distances={other: draw(st.integers(10, 255)) for other in nodes} if far else {},
            )
            for node in nodes
        ),
        allowed_cpus=frozenset(draw(st.sets(st.sampled_from(ids), min_size=1))),
        allowed_nodes=frozenset(draw(st.sets(st.sampled_from(nodes)))) if nodes else frozenset(),
        cpu_quota=draw(st.sampled_from((None, 6.5))),
    )


@st.composite
def assignments(draw: st.DrawFn, topology: Topology) -> dict[int, int] | None:
    """No plan, or some cpus of the machine given to instances."""
    if draw(st.booleans()):
        return None
    cpus = draw(st.sets(st.sampled_from([cpu.id for cpu in topology.cpus])))
    return {cpu: draw(st.integers(0, 12)) for cpu in sorted(cpus)}
