"""What ipexrun's rule would have given for a request, so that users see the difference before they switch.

Source: the published behaviour of ipexrun 2.8, option by option; its figures on known machines are in the tests. Where
only one case of a rule is published (how --bind-numa-node deals instances that do not divide by the nodes), the
simplest rule that gives this case stands here.

The plan beside what ipexrun's rule gives for the same request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.notation import parse_id_list
from ipexlaunch.plan.plan import LATENCY_MODE_CORES, Plan, Request


@dataclass(frozen=True, slots=True)
class IpexrunInstance:
    """One instance as ipexrun would have started it."""

    cpus: tuple[int, ...]
    nodes: frozenset[int]


def ipexrun_instances(topology: Topology, request: Request) -> tuple[IpexrunInstance, ...]:
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
    elif bind and cpus:  # where the filters leave no cpu there is no node either
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
        wanted = parse_id_list(request.cores_list, "--cores-list", "cpu", online, online).ids
    elif request.nodes_list is not None and topology.nodes:
        numbers = frozenset(topology.by_node)
        nodes = parse_id_list(request.nodes_list, "--nodes-list", "node", numbers, numbers).ids
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


SHOWN = 16
"""More instances than these are summed up."""


def compare_with_ipexrun(topology: Topology, plan: Plan) -> tuple[str, ...]:
    """Lines: ipexrun's instances, and in what they differ from the plan's.

    Args:
        topology: the machine.
        plan: made for it; its request is what both were asked.
    """
    pools = ipexrun_instances(topology, plan.request)
    lines = [f"ipexrun's rule gives {counted(len(pools), 'instance')}:"]
    for index, pool in enumerate(pools[:SHOWN]):
        nodes = f", node {format_list(pool.nodes)}" if pool.nodes else ""
        lines.append(f"  {index}: {_cpus(pool)}{nodes}")
    if len(pools) > SHOWN:
        lines.append(f"  and {len(pools) - SHOWN} more")
    defects = _defects(topology, plan, pools)
    ours = {instance.cpus for instance in plan.instances}
    if {frozenset(pool.cpus) for pool in pools} == ours and not defects:
        return (*lines, "the plan gives the same cpus")
    return (*lines, *(f"- {defect}" for defect in defects or ["other cpus, equally valid"]))


def _cpus(pool: IpexrunInstance) -> str:
    return f"cpus {format_list(pool.cpus)}" if pool.cpus else "no cpu at all"


def _defects(topology: Topology, plan: Plan, pools: tuple[IpexrunInstance, ...]) -> list[str]:
    """What is wrong with its instances, as the plan's rules see it."""
    found = []
    asked, planned = plan.request.ninstances, len(plan.instances)
    if len(pools) != planned:
        wanted = f"{asked} were asked for" if asked is not None else f"the plan has {planned}"
        found.append(f"it starts {counted(len(pools), 'instance')}, {wanted}")
    empty = [index for index, pool in enumerate(pools) if not pool.cpus]
    if empty:
        found.append(f"{counted(len(empty), 'instance')} ({format_list(empty)}) without any cpu")
    crossing = [index for index, pool in enumerate(pools) if len(pool.nodes) > 1]
    homes = {cpu.node for cpu in topology.cpus if cpu.id in topology.allowed_cpus}
    if crossing and len(pools) >= len(homes):
        one = len(crossing) == 1
        found.append(f"instance{'' if one else 's'} {format_list(crossing)} straddle{'s' if one else ''} nodes")
    sizes = {len(pool.cpus) for pool in pools}
    if len(sizes) > 1 and not plan.request.unequal:
        found.append(f"instances have {min(sizes)} to {max(sizes)} cpus")
    used = {cpu for pool in pools for cpu in pool.cpus}
    if outside := used - topology.allowed_cpus:
        found.append(f"cpus {format_list(outside)} are not allowed here, so it fails or escapes the limits")
    memoryless = {
        n for pool in pools for n in pool.nodes if n in topology.by_node and not topology.by_node[n].memory_bytes
    }
    if memoryless and any(node.memory_bytes for node in topology.nodes):
        found.append(f"it binds memory to node {format_list(memoryless)}, which has none")
    ours, theirs = len(topology.cores_of(plan.used_cpus)), len(topology.cores_of(used))
    if theirs < ours:
        found.append(f"it uses {theirs} cores, the plan {ours}")
    return found
