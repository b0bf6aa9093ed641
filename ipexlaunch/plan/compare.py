"""The plan beside what ipexrun's rule gives for the same request."""

from __future__ import annotations

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.ipexrun_plan import IpexrunInstance, predecessor_pools
from ipexlaunch.plan.plan import Plan

SHOWN = 16
"""More instances than these are summed up."""


def compare_with_predecessor(topology: Topology, plan: Plan) -> tuple[str, ...]:
    """Lines: ipexrun's instances, and in what they differ from the plan's.

    Args:
        topology: the machine.
        plan: made for it; its request is what both were asked.
    """
    pools = predecessor_pools(topology, plan.request)
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
