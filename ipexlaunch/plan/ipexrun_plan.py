"""What ipexrun's rule would have given for a request, so that users see the difference before they switch.

Source: the published behaviour of ipexrun 2.8, option by option; its figures on known machines are in the tests. Where
only one case of a rule is published (how --bind-numa-node deals instances that do not divide by the nodes), the
simplest rule that gives this case stands here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.machine.topology import Cpu, Topology, group_by
from ipexlaunch.plan.cpuset_syntax import read_ids
from ipexlaunch.plan.request import LATENCY_MODE_CORES, Request


@dataclass(frozen=True, slots=True)
class IpexrunInstance:
    """One instance as ipexrun would have started it."""

    cpus: tuple[int, ...]
    nodes: frozenset[int]


def predecessor_pools(topology: Topology, request: Request) -> tuple[IpexrunInstance, ...]:
    """The instances that `ipexrun` starts for this request; it knows nothing of what is allowed.

    Options that it does not have (goals, groups, scopes, reserved cores, memory) count as not given. Instances of
    zero cpus are what it really makes of more instances than cores.

    Raises:
        RequestError: a malformed list.
        PlanError: a cpu or node that does not exist.
    """
    cpus = _pool(topology, request)
    count = request.ninstances or 0
    each = request.ncores_per_instance if isinstance(request.ncores_per_instance, int) else 0
    bind = request.bind_numa_node
    if request.latency_mode:
        count, each = 0, LATENCY_MODE_CORES
    elif request.throughput_mode:
        count, each, bind = len(topology.nodes) or 1, 0, True
    if not count and each <= 0:
        slices = [cpus]
    elif bind:
        nodes = group_by(cpus, lambda cpu: -1 if cpu.node is None else cpu.node)
        slices = _cut_per_node([nodes[node] for node in sorted(nodes)], count, each, request.strategy == "close")
    else:
        slices = _cut_flat(cpus, count, each, request.strategy == "close")
    return tuple(
        IpexrunInstance(tuple(cpu.id for cpu in part), frozenset(cpu.node for cpu in part if cpu.node is not None))
        for part in slices
    )


def _pool(topology: Topology, request: Request) -> list[Cpu]:
    """Its flat list: online cpus, filtered, in the order of cores and siblings."""
    online = frozenset(topology.by_cpu)
    logical = request.use_logical_cores and not request.latency_mode
    wanted = online
    if request.cores_list is not None:
        wanted = read_ids(request.cores_list, "--cores-list", "cpu", online, online).ids
    elif request.nodes_list is not None and topology.nodes:
        numbers = frozenset(topology.by_node)
        nodes = read_ids(request.nodes_list, "--nodes-list", "node", numbers, numbers).ids
        wanted = frozenset(cpu.id for cpu in topology.cpus if cpu.node in nodes)
    hybrid = any(cpu.kind == "performance" for cpu in topology.cpus) and not request.use_e_cores
    chosen = [
        cpu
        for cpu in topology.cpus
        if cpu.id in wanted and (logical or cpu.id == cpu.core) and not (hybrid and cpu.kind == "efficiency")
    ]
    return sorted(chosen, key=lambda cpu: (cpu.core, cpu.id))


def _cut_flat(cpus: Sequence[Cpu], count: int, each: int, close: bool) -> list[list[Cpu]]:
    if each <= 0:
        size, more = divmod(len(cpus), max(count, 1))
        return _slices(cpus, [size + 1 if each < 0 and i < more else size for i in range(max(count, 1))])
    possible = _slices(cpus, [each] * (len(cpus) // each))
    if not 0 < count < len(possible):
        return possible
    return possible[:count] if close else possible[:: -(-len(possible) // count)]


def _cut_per_node(nodes: Sequence[Sequence[Cpu]], count: int, each: int, close: bool) -> list[list[Cpu]]:
    if each <= 0:
        few, more = divmod(count, len(nodes))
        dealt = [few + 1 if at >= len(nodes) - more else few for at in range(len(nodes))]
        return [
            part for node, here in zip(nodes, dealt, strict=True) if here for part in _cut_flat(node, here, each, close)
        ]
    possible = [_slices(node, [each] * (len(node) // each)) for node in nodes]
    flat = [part for parts in possible for part in parts]
    if not 0 < count < len(flat):
        return flat
    if close:
        return flat[:count]
    deepest = max(len(parts) for parts in possible)
    return [parts[turn] for turn in range(deepest) for parts in possible if turn < len(parts)][:count]


def _slices(cpus: Sequence[Cpu], sizes: Sequence[int]) -> list[list[Cpu]]:
    parts, at = [], 0
    for size in sizes:
        parts.append(list(cpus[at : at + size]))
        at += size
    return parts
