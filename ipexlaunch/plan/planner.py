"""What somebody should know of a plan before it starts: cores that stay idle and why, a quota that stops threads.

A plan as a table: one line per instance, then the cpus that nobody uses.

make_plan: from Topology and Request to Plan; exactly what was asked for, or an error that says what fits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from ipexlaunch.documents.visible_text import wrapped
from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import format_list, parse_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import counted, grouped, table_text
from ipexlaunch.plan.check import find_problems
from ipexlaunch.plan.defaults import ENOUGH_PERCENT, default_split
from ipexlaunch.plan.devices import place_by_device
from ipexlaunch.plan.layout import Layout, cpus_of_quota, memory_allowed, quota_text
from ipexlaunch.plan.notation import parse_id_list, split_instances
from ipexlaunch.plan.place import asked_size, layout_for, place
from ipexlaunch.plan.plan import Instance, Plan, Request
from ipexlaunch.plan.resources import Core, MemoryMap, map_memory, usable_cores


def make_plan(topology: Topology, request: Request) -> Plan:
    """Decide the cpus and the memory nodes of each instance.

    The result depends on nothing but the two arguments, and passes `check_plan`.

    Raises:
        RequestError: the request contradicts itself or holds a malformed list.
        PlanError: the machine cannot give it; the message says what it can give.
    """
    request.check()
    memory = map_memory(topology, request.memory)
    accelerators: list[str] = []
    if request.lists_instances:
        slices = _listed_slices(topology, request)
    else:
        usable = usable_cores(topology, request)
        if request.device is None:
            parts = place(topology, request, usable, memory)
        else:
            parts, accelerators = place_by_device(topology, request, request.device, usable, memory)
        slices = [frozenset(cpu for core in part for cpu in core.cpus) for part in _level(parts)]
    _check_cgroup_memory(topology, request, len(slices))
    instances = tuple(
        _instance(topology, request, memory, index, cpus, accelerators[index] if accelerators else "")
        for index, cpus in enumerate(slices)
    )
    idle = (topology.allowed_cpus & topology.by_cpu.keys()).difference(*slices)
    plan = Plan(topology=topology.fingerprint, request=request, instances=instances, idle_cpus=frozenset(idle))
    if problems := find_problems(topology, plan):
        raise RuntimeError(f"the planner made a plan that its own check refuses: {problems[0].error}")
    check_instance_idx(plan)
    return plan


def _check_cgroup_memory(topology: Topology, request: Request, count: int) -> None:
    """Refuse instances that together need more memory than the cgroup allows.

    Raises:
        PlanError: they do; it names the limit.
    """
    each, allowed = request.memory_per_instance_bytes, memory_allowed(topology)
    if each is not None and allowed is not None and allowed.instances(each) < count:
        raise allowed.too_little(count, each)


def _instance(
    topology: Topology, request: Request, memory: MemoryMap, index: int, cpus: frozenset[int], accelerator: str
) -> Instance:
    nodes = memory.nodes(topology.nodes_of(cpus))
    policy = (request.memory_policy or "bind") if nodes else "none"
    return Instance(index=index, cpus=cpus, nodes=nodes, memory=policy, threads=len(cpus), accelerator=accelerator)


def _level(slices: list[list[Core]]) -> list[list[Core]]:
    """Give instances of equally many cores equally many cpus, where cores have unlike numbers of siblings."""
    by_size: dict[int, int] = {}
    for part in slices:
        total = sum(len(core.cpus) for core in part)
        by_size[len(part)] = min(by_size.get(len(part), total), total)
    return [_trim(part, by_size[len(part)]) for part in slices]


def _trim(cores: list[Core], cpus: int) -> list[Core]:
    trimmed = sorted(cores, key=lambda core: core.id)
    for _ in range(sum(len(core.cpus) for core in cores) - cpus):
        at = max(range(len(trimmed)), key=lambda at: (len(trimmed[at].cpus), at))
        trimmed[at] = replace(trimmed[at], cpus=trimmed[at].cpus[:-1])
    return trimmed


def _listed_slices(topology: Topology, request: Request) -> list[frozenset[int]]:
    """One instance for each list of "0-31|32-63", with exactly the cpus that it names."""
    text = request.cores_list or ""
    parts = split_instances(text)
    allowed = frozenset(topology.allowed_cpus & topology.by_cpu.keys())
    slices = [parse_id_list(part, "--cores-list", "cpu", allowed, topology.by_cpu.keys()).ids for part in parts]
    if request.ninstances is not None and request.ninstances != len(parts):
        wanted = f"plan {request.ninstances} instances with --cores-list {text}"
        raise PlanError(wanted, f"the list names {len(parts)} instances", "leave out --ninstances")
    owner: dict[int, int] = {}
    for i, cpus in enumerate(slices):
        cores = topology.cores_of(cpus)
        if request.ncores_per_instance and len(cores) != request.ncores_per_instance:
            wanted = f"give {request.ncores_per_instance} cores to each instance of --cores-list {text}"
            raise PlanError(wanted, f"{parts[i]!r} names {len(cores)} cores", "leave out --ncores-per-instance")
        for core in sorted(cores):
            if core in owner:
                there = f"{parts[owner[core]]!r} and {parts[i]!r} share core {core}"
                raise PlanError(f"use --cores-list {text}", there, "a core serves one instance")
            owner[core] = i
    return slices


def check_instance_idx(plan: Plan) -> None:
    """Refuse a plan whose --instance-idx names an instance that it does not have.

    Raises:
        RequestError: a malformed list.
        PlanError: there is no such instance.
    """
    if (text := plan.request.instance_idx) is not None and not text.strip():
        raise RequestError("read --instance-idx", "it is empty", 'write e.g. "0" or "0-3"; -1 starts all')
    named = 0 if text is None or text.strip() == "-1" else len(parse_list(text, "--instance-idx"))
    if not plan.chosen or len(plan.chosen) < named:
        last = len(plan.instances) - 1
        there = f"the plan has instances 0-{last}" if last else "the plan has instance 0 only"
        raise PlanError(f"start instance {text}", there, "name one of them with --instance-idx")


def plan_notes(topology: Topology, plan: Plan, *, stored: bool = False) -> tuple[str, ...]:
    """Sentences, most often none.

    Args:
        topology: the machine.
        plan: one that fits it.
        stored: it was read from a file, so that nothing was decided now.
    """
    found = [] if stored else [*_of_request(topology, plan)]
    return (*found, *_of_quota(topology, plan), *topology.gaps)


def _of_request(topology: Topology, plan: Plan) -> Iterator[str]:
    request = plan.request
    if request.lists_instances or request.device is not None or request.groups:
        return
    usable = usable_cores(topology, request)
    slow_cpus = frozenset(cpu for cpu, reason in usable.out.items() if reason == "efficiency")
    there = topology.cores_of(slow_cpus).union(core.id for core in usable.cores)  # nobody need be told what else is out
    used = topology.cores_of(plan.used_cpus)
    enough = len(used) * 100 >= len(there) * ENOUGH_PERCENT
    nodes = len({core.node for core in usable.cores})
    if request.ninstances is not None:
        if len(used) < len(usable.cores) and len(plan.instances) < nodes:
            yield from _of_nodes_left(layout_for(topology, request, usable, map_memory(topology, request.memory)), plan)
        return
    if enough and nodes < 2 and topology.cpu_quota is None:
        return
    layout = layout_for(topology, request, usable, map_memory(topology, request.memory))
    size = asked_size(request, layout.domains)
    if size.count is not None or size.cores is not None or size.greedy:
        yield from _of_memory(topology, plan)
        return
    split = default_split(layout)
    if split.plain and enough:
        return
    share = f"{len(used)} of {counted(len(there), 'core')} used ({len(used) * 100 // len(there)} %)"
    how = "" if split.plain else f", in {counted(len(plan.instances), 'instance')}: {split.rule}"
    slow = "; efficiency cores are left out, --use-e-cores adds them" * bool(slow_cpus)
    yield share + how + slow


def _of_memory(topology: Topology, plan: Plan) -> Iterator[str]:
    """As many instances of a size as memory holds, where the cores would hold more."""
    if plan.request.memory_per_instance_bytes is None:
        return
    count = len(plan.instances)
    would = len(make_plan(topology, replace(plan.request, memory_per_instance_bytes=None)).instances)
    if would > count:
        few = f"{counted(count, 'instance')}: memory holds no more (--memory-per-instance)"
        yield f"{few}, and the cores would hold {would}"


def _of_nodes_left(layout: Layout, plan: Plan) -> Iterator[str]:
    """With fewer instances than nodes: which numbers would use all."""
    domains, count = len(layout.domains), len(plan.instances)
    total = sum(layout.sizes)
    used = sum(len(layout.topology.cores_of(instance.cpus)) for instance in plan.instances)
    whole = [n for n in range(1, domains + 1) if n * _size(layout, n) == total]
    below = max((n for n in whole if n < count), default=None)
    above = min((n for n in whole if n > count), default=None)
    numbers = " or ".join(str(n) for n in (below, above) if n is not None)
    would = f"; --ninstances {numbers} would use all" if numbers else "; --greedy would use all"
    share = f"{used} of {total} cores ({used * 100 // total} %)"
    yield f"{counted(count, 'instance')} on {domains} nodes use {share}{would}"


def _size(layout: Layout, count: int) -> int:
    """Cores of each of so many instances, as the planner would have it."""
    each = layout.largest_size(count)
    alike = layout.alike_groups(count, each) if each else None
    return each if alike is None else alike[0]


def _of_quota(topology: Topology, plan: Plan) -> Iterator[str]:
    threads = sum(instance.threads for instance in plan.chosen)
    paid = cpus_of_quota(topology)
    if paid is not None and threads > paid:
        stopped = f"does not pay for the {threads} threads of this plan: the kernel stops them for part of each period"
        yield f"{quota_text(topology)} {stopped}; {counted(paid, 'thread')} would run all the time"


def plan_table(plan: Plan, topology: Topology | None = None, *, width: int = 100, color: bool = False) -> str:
    """One line per instance, and a last line that names the idle cpus; no line is longer than `width`.

    Args:
        plan: what to show.
        topology: the machine it was made for; with it, cores are grouped and the nodes of the cpus are told apart
            from those of the memory.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    heads = ["instance", "cpus", "memory", "threads"]
    if topology is not None:
        heads = ["instance", "cpus", "cores", "on node", "memory", "threads"]
    rows = [_row(instance, topology) for instance in plan.instances]
    if any(instance.accelerator for instance in plan.instances):
        heads.append("accelerator")
        rows = [[*row, instance.accelerator] for row, instance in zip(rows, plan.instances, strict=True)]
    right = ("instance", "cores", "threads")
    dispensable = ("threads", "cores", "on node")  # the last is that of the memory nearly always
    text = table_text(heads, rows, right=right, lists=("cpus",), dispensable=dispensable, width=width, color=color)
    return text + "\n" + "\n".join(wrapped(idle_line(plan, topology), width)) + "\n"


def idle_line(plan: Plan, topology: Topology | None = None) -> str:
    """ "idle: 4 cpus (52-55)", or that every allowed cpu is used.

    Args:
        plan: its idle cpus are named.
        topology: the machine it was made for; with it, cpus of idle cores are told apart from the second threads of
            cores that are used.
    """
    if not plan.idle_cpus:
        return "idle: none, every allowed cpu is used"
    cores = frozenset() if topology is None else topology.cores_of(plan.used_cpus)
    used = {cpu for cpu in plan.idle_cpus if topology is not None and topology.cores_of([cpu]) & cores}
    whole = plan.idle_cpus - used
    words = [f"{grouped(len(whole), 'cpu')} ({format_list(whole)})"] if whole else []
    words += [f"{grouped(len(used), 'sibling')} of used cores ({format_list(used)})"] if used else []
    return "idle: " + ", and ".join(words)


def _row(instance: Instance, topology: Topology | None) -> list[str]:
    row = [str(instance.index), format_list(instance.cpus)]
    if topology is not None:
        row += [str(len(topology.cores_of(instance.cpus))), format_list(topology.nodes_of(instance.cpus))]
    row.append(memory_phrase(instance.memory, instance.nodes))
    return [*row, str(instance.threads)]


def memory_phrase(policy: str, nodes: Collection[int]) -> str:
    """ "bind to node 0", "interleave over nodes 0-1", "local", "none"."""
    if not nodes or policy in ("local", "none"):
        return policy
    between = {"bind": "to", "preferred": "", "preferred-many": ""}.get(policy, "over")
    noun = "node" if len(nodes) == 1 else "nodes"
    return " ".join(word for word in (policy, between, noun, format_list(nodes)) if word)
