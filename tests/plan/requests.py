"""Hypothesis strategies for requests, and machines that are one step bigger than another."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Node, Topology
from ipexlaunch.plan import Request
from ipexlaunch.plan.plan import MEMORY_POLICIES


@st.composite
def requests(draw: st.DrawFn, topology: Topology) -> Request:
    """What somebody might ask of this machine; some of it does not fit."""
    cores = len({topology.by_cpu[cpu].core for cpu in topology.allowed_cpus if cpu in topology.by_cpu})
    some_cpus = st.sets(st.sampled_from(sorted(topology.allowed_cpus)), min_size=1).map(format_list)
    some_nodes = st.sets(st.sampled_from([node.id for node in topology.nodes] or [0]), min_size=1).map(format_list)
    how_many: dict[str, Any] = draw(
        st.one_of(
            st.builds(dict, ninstances=st.integers(1, cores + 1)),
            st.builds(dict, ncores_per_instance=st.integers(-1, 9)),
            st.builds(dict, ninstances=st.integers(1, 9), ncores_per_instance=st.integers(-1, 6)),
            st.sampled_from(
                [
                    {},
                    {"goal": "throughput"},
                    {"goal": "latency"},
                    {"latency_mode": True},
                    {"throughput_mode": True},
                    {"greedy": True},
                    {"ncores_per_instance": "auto"},
                ]
            ),
            st.builds(dict, ninstances=st.integers(1, 9), greedy=st.just(True)),
        )
    )
    fixed = "goal" in how_many or "latency_mode" in how_many or "throughput_mode" in how_many
    return Request(
        **how_many,
        cores_list=draw(st.one_of(st.none(), st.none(), st.none(), some_cpus)),
        nodes_list=draw(st.one_of(st.none(), st.none(), st.none(), some_nodes)),
        use_logical_cores=not fixed and draw(st.booleans()),
        use_e_cores=draw(st.booleans()),
        strategy=draw(st.sampled_from([None, "close", "scatter"])),
        scope=draw(st.sampled_from([None, None, "node", "l3", "socket", "machine"])),
        reserve_cores=draw(st.sampled_from([0, 0, 0, 1, 2])),
        memory_per_instance_bytes=draw(st.sampled_from([None, None, None, 16 << 30, 40 << 30])),
        memory=draw(st.sampled_from([None, None, None, "dram", "hbm", "all"])),
        memory_policy=draw(st.sampled_from([None, None, *[p for p in MEMORY_POLICIES if p not in ("local", "none")]])),
    )


@st.composite
def bigger(draw: st.DrawFn, topology: Topology) -> Topology:
    """The machine with more cores on one of its nodes, with a node more, or with more of it allowed."""
    how = draw(st.sampled_from(["cores", "node", "allowed"]))
    if how == "allowed":
        return replace(topology, allowed_cpus=frozenset(topology.by_cpu), allowed_nodes=_with_memory(topology))
    next_id = max(topology.by_cpu) + 1
    hybrid = any(cpu.kind for cpu in topology.cpus)
    amount = draw(st.integers(1, 4))
    if how == "cores" or not topology.nodes:
        like = draw(st.sampled_from([cpu for cpu in topology.cpus if cpu.id in topology.allowed_cpus]))
        new = [replace(like, id=i, core=i, l2=None if like.l2 is None else i) for i in range(next_id, next_id + amount)]
        nodes = topology.nodes
    else:
        node = max(node.id for node in topology.nodes) + 1
        socket = max(cpu.socket for cpu in topology.cpus) + 1
        kind = "performance" if hybrid else None
        new = [
            Cpu(id=i, core=i, socket=socket, node=node, l2=i, l3=next_id, kind=kind)  # type: ignore[arg-type]
            for i in range(next_id, next_id + amount)
        ]
        far = {other.id: 254 for other in topology.nodes}
        nodes = (
            *(replace(other, distances={**other.distances, node: 254}) for other in topology.nodes),
            Node(id=node, memory_bytes=1 << 36, distances={**far, node: 10}),
        )
    return replace(
        topology,
        cpus=(*topology.cpus, *new),
        nodes=nodes,
        allowed_cpus=topology.allowed_cpus | {cpu.id for cpu in new},
        allowed_nodes=topology.allowed_nodes | ({nodes[-1].id} if nodes else set()),
    )


def _with_memory(topology: Topology) -> frozenset[int]:
    return frozenset(node.id for node in topology.nodes if node.memory_bytes)
