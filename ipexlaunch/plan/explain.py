"""Why a plan is as it is: which rule decided, and why each left-over cpu is idle."""

from __future__ import annotations

from collections import Counter

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology, group_by
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.defaults import default_split, goal_size
from ipexlaunch.plan.devices import explain_devices
from ipexlaunch.plan.domains import A_DOMAIN, NOUNS, Domain, domains_of, name_domains, sizes_text
from ipexlaunch.plan.layout import Layout, cpus_of_quota
from ipexlaunch.plan.notation import format_bytes
from ipexlaunch.plan.place import asked_size, layout_for
from ipexlaunch.plan.plan import Plan, Request
from ipexlaunch.plan.resources import Usable, expander_kinds, map_memory, nodes_with_memory, usable_cores

OUT = {
    "cores-list": "not in --cores-list",
    "nodes-list": "on nodes outside --nodes-list",
    "efficiency": "efficiency cores; --use-e-cores adds them",
    "reserved": "reserved for the system (--reserve-cores)",
}
SIBLING = "siblings of used cores; --use-logical-cores adds them"
SEARCHED = 64
"""How many other numbers of instances are tried when a better one is looked for."""


def explain_plan(topology: Topology, plan: Plan) -> tuple[str, ...]:
    """Sentences, one a line: how many and how large and why, where, which memory, and each idle cpu with its reason.

    Args:
        topology: the machine.
        plan: one that fits it; where it was edited, what does not follow from its request is said as it stands.
    """
    request = plan.request
    if request.lists_instances:
        lines = [f"--cores-list names the cpus of {counted(len(plan.instances), 'instance')}; nothing was decided here"]
        idle = [f"idle: cpus {format_list(plan.idle_cpus)}: not in --cores-list"] if plan.idle_cpus else []
        return (*lines, *_memory(topology, plan), *_limits(topology, plan), *idle)
    usable, layout = usable_cores(topology, request), None
    lines = [_usable(topology, usable)]
    if request.device is not None:
        lines += explain_devices(topology, request, request.device, usable)
    elif request.groups:
        lines.append("--group says the sizes; each instance stays inside a node where one holds it")
    else:
        layout = layout_for(topology, request, usable, map_memory(topology, request.memory))
        lines += _size(layout, plan)
        lines += _where(topology, layout, plan)
    lines += _memory(topology, plan)
    lines += _limits(topology, plan)
    return (*lines, *_idle(topology, plan, usable, layout))


def _usable(topology: Topology, usable: Usable) -> str:
    domains = domains_of(usable.cores, "node")
    online = counted(len(topology.cpus), "online cpu")
    allowed = len(topology.allowed_cpus & topology.by_cpu.keys())
    limit = "" if allowed == len(topology.cpus) else f", {allowed} of them allowed here (affinity, cpuset)"
    cores = counted(len(usable.cores), "core")
    return f"{online}{limit}; {cores} to plan with: {sizes_text(domains)}{usable.left_out()}"


def _size(layout: Layout, plan: Plan) -> list[str]:
    """Which rule decided how many instances there are and how large each is."""
    request, domains = plan.request, layout.domains
    size = asked_size(request, domains)
    count = len(plan.instances)
    cores = _cores_of_each(layout.topology, plan)
    each = counted(max(cores), "core") if len(set(cores)) == 1 else f"{min(cores)} to {max(cores)} cores"
    found = []
    if request.goal is not None or (request.ncores_per_instance == "auto" and size.count is None):
        rule = goal_size(domains, request.goal or "throughput", request.workload, request.reserve_cores).rule
        found.append(f"goal {rule}: a guess, which `ipexlaunch tune` would measure")
    elif request.latency_mode:
        found.append("--latency-mode means 4 cores each")
    if size.greedy:
        found.append(f"every core is used, so that {counted(count, 'instance')} may be unequal: {each}")
    elif size.count is None and size.cores is None:
        found.append(f"{default_split(layout).rule}, so {count} of {each}")
    elif size.count is None:
        found.append(f"as many instances of {each} as fit: {count}")
    elif size.cores is None:
        found.append(
            f"{counted(count, 'instance')} asked for: {each} is the largest size that all can have by these rules"
        )
        if better := _better_count(layout, count, sum(cores)):
            n, size_then = better
            would = f"{counted(n, 'instance')} of {counted(size_then, 'core')} would use {n * size_then} cores"
            found.append(f"{would} instead of {sum(cores)}")
    else:
        found.append(f"{counted(count, 'instance')} of {each} asked for, and they fit")
    if request.memory_per_instance_bytes is not None:
        found.append(_memory_cap(layout, request, count, max(cores)))
    return found


def _memory_cap(layout: Layout, request: Request, count: int, cores: int) -> str:
    each = format_bytes(request.memory_per_instance_bytes or 0)
    if request.ninstances is None and layout.without_memory_limit().fits(count + 1, cores):
        return f"memory capped the number at {count}: {each} for each instance (--memory-per-instance)"
    return f"the memory of the nodes holds {each} for each instance (--memory-per-instance)"


def _better_count(layout: Layout, count: int, used: int) -> tuple[int, int] | None:
    """The nearest other number of equal instances that uses more cores, and their size."""
    total = sum(layout.sizes)
    if used == total:
        return None
    numbers = range(max(len(layout.domains), count - SEARCHED), min(total, count + SEARCHED) + 1)
    best: tuple[int, int] | None = None
    for other in sorted(numbers, key=lambda n: (abs(n - count), -n)):
        cores = layout.largest_size(other)
        if cores * other > used:
            best, used = (other, cores), cores * other
            if used == total:
                break
    return best


def _where(topology: Topology, layout: Layout, plan: Plan) -> list[str]:
    """Which rule decided where instances are."""
    noun = NOUNS[layout.scope]
    crossing = [instance.index for instance in plan.instances if len(topology.nodes_of(instance.cpus)) > 1]
    strategy = plan.request.strategy or "scatter"
    found = []
    if crossing and layout.scope in ("node", "l3"):
        who = f"instance{'s' if len(crossing) > 1 else ''} {format_list(crossing)}"
        whole = "takes" if len(crossing) == 1 else "take"
        found.append(f"with fewer instances than {noun}s, {who} {whole} whole nodes that are nearest each other")
    elif crossing:
        found.append(f"--scope {layout.scope} lets instances {format_list(crossing)} cross nodes")
    elif len(layout.domains) > 1:
        how = "as evenly as the sizes allow" if strategy == "scatter" else "filling the first ones"
        dealt = f"they are dealt to the {noun}s {how} (--strategy {strategy})"
        found.append(f"no instance crosses {A_DOMAIN[layout.scope]}; {dealt}")
    caches = {(cpu.node, cpu.l3) for cpu in topology.cpus}
    if len(caches) > len({cpu.node for cpu in topology.cpus}):
        found.append(_caches(topology, plan))
    return found


def _caches(topology: Topology, plan: Plan) -> str:
    own = [{(topology.by_cpu[cpu].node, topology.by_cpu[cpu].l3) for cpu in i.cpus} for i in plan.instances]
    users = Counter(cache for caches in own for cache in caches)
    shared = sum(number > 1 for number in users.values())
    apart = "no two instances share an L3"
    if shared:
        apart = f"{counted(shared, 'L3 domain')} of {len(users)} in use serve several instances"
    fewest, most = min(map(len, own)), max(map(len, own))
    span = str(most) if fewest == most else f"{fewest} to {most}"
    return f"{apart}; each instance is on {span} L3 domain{'' if most == 1 else 's'}"


def _memory(topology: Topology, plan: Plan) -> list[str]:
    """Where memory comes from, and which guesses that rests on."""
    if not topology.nodes:
        return ["this machine has no NUMA nodes: memory is not bound"]
    found = []
    usable = nodes_with_memory(topology)
    if plan.request.memory is None and (poor := topology.nodes_of(plan.used_cpus) - usable):
        has = "has" if len(poor) == 1 else "have"
        found.append(f"node {format_list(poor)} {has} no memory that may be used: the nearest that has is taken")
    kinds = expander_kinds(topology)
    if plan.request.memory is not None and kinds:
        names = ", ".join(f"node {node} as {kind}" for node, kind in sorted(kinds.items()))
        found.append(f"--memory {plan.request.memory}: memory-only nodes count as follows: {names}")
    elif kinds and (unused := (kinds.keys() & usable).difference(*(i.nodes for i in plan.instances))):
        found.append(f"memory-only nodes {format_list(unused)} are not used; --memory hbm or --memory all takes them")
    return found


def _limits(topology: Topology, plan: Plan) -> list[str]:
    threads = sum(instance.threads for instance in plan.instances)
    paid = cpus_of_quota(topology)
    if paid is None or threads <= paid:
        return []
    quota = f"the cgroup's cpu quota is {topology.cpu_quota:g} cpus"
    return [f"warning: {quota} and the plan runs {threads} threads: they will be throttled"]


def _idle(topology: Topology, plan: Plan, usable: Usable, layout: Layout | None) -> list[str]:
    """One line for each reason, with its cpus; every idle cpu is in exactly one of them."""
    if not plan.idle_cpus:
        return ["no allowed cpu is idle"]
    busy = topology.cores_of(plan.used_cpus)
    left_over = {} if layout is None else _left_over(topology, plan, layout)

    def why(cpu: int) -> tuple[str, str]:
        """How many cores of its domain are left over, or "", and the reason."""
        core, reason = topology.by_cpu[cpu].core, usable.out.get(cpu, "")
        if reason in OUT:
            return "", OUT[reason]
        if core in busy:
            return "", SIBLING if reason == "sibling" else "siblings that would make instances unequal"
        if core in left_over:
            return left_over[core][1:]
        return "", "in no group" if plan.request.groups else "in no instance of this plan"

    lines = []
    for (amount, reason), cpus in group_by(sorted(plan.idle_cpus), why).items():
        places = (left_over[topology.by_cpu[cpu].core][0] for cpu in cpus if amount)
        domains = {domain.name: domain for domain in places}
        where = f"left over, {amount} of {name_domains([*domains.values()])}, " if domains else ""
        lines.append(f"idle: cpu{'s' if len(cpus) > 1 else ''} {format_list(cpus)}: {where}{reason}")
    return lines


def _left_over(topology: Topology, plan: Plan, layout: Layout) -> dict[int, tuple[Domain, str, str]]:
    """For each usable core in no instance: its domain, how many cores are left there, and why."""
    used = topology.cores_of(plan.used_cpus)
    size = max(_cores_of_each(topology, plan))
    paid, threads = cpus_of_quota(topology), sum(instance.threads for instance in plan.instances)
    found: dict[int, tuple[Domain, str, str]] = {}
    for domain in layout.domains:
        left = [core.id for core in domain.cores if core.id not in used]
        if len(left) == len(domain.cores):
            kind = NOUNS[layout.scope]
            why = f"{counted(len(plan.instances), 'instance')} of {counted(size, 'core')} leave this {kind} out"
        elif paid is not None and threads + size > paid:
            why = "the cgroup's cpu quota does not pay for more"
        elif len(left) < size:
            why = f"too few for one more instance of {counted(size, 'core')}"
        else:
            more = "one more instance" if len(left) // size == 1 else f"{len(left) // size} more instances"
            why = f"room for {more} of {counted(size, 'core')}"
        found |= dict.fromkeys(left, (domain, counted(len(left), "core"), why))
    return found


def _cores_of_each(topology: Topology, plan: Plan) -> list[int]:
    return [len(topology.cores_of(instance.cpus)) for instance in plan.instances]
