"""make_plan: from Topology and Request to Plan; exactly what was asked for, or an error that says what fits."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.check import find_problems
from ipexlaunch.plan.cores import Core, usable_cores
from ipexlaunch.plan.cpuset_syntax import read_ids, split_instances
from ipexlaunch.plan.devices import place_by_device
from ipexlaunch.plan.limits import memory_allowed
from ipexlaunch.plan.memory import MemoryMap, map_memory
from ipexlaunch.plan.place import place
from ipexlaunch.plan.plan import Instance, Plan
from ipexlaunch.plan.request import Request


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
    spare = sum(len(core.cpus) for core in cores) - cpus
    trimmed = sorted(cores, key=lambda core: core.id)
    while spare > 0:
        at = max(range(len(trimmed)), key=lambda at: (len(trimmed[at].cpus), at))
        core = trimmed[at]
        trimmed[at] = replace(core, cpus=core.cpus[:-1])
        spare -= 1
    return trimmed


def _listed_slices(topology: Topology, request: Request) -> list[frozenset[int]]:
    """One instance for each list of "0-31|32-63", with exactly the cpus that it names."""
    text = request.cores_list or ""
    parts = split_instances(text)
    allowed = frozenset(topology.allowed_cpus & topology.by_cpu.keys())
    slices = [read_ids(part, "--cores-list", "cpu", allowed, topology.by_cpu.keys()).ids for part in parts]
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
