"""check_plan: whether a plan keeps the promises on a machine, be it made, edited or stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ipexlaunch.errors import IpexLaunchError, PlanError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.cores import usable_cores
from ipexlaunch.plan.devices import misplaced
from ipexlaunch.plan.memory import nodes_with_memory
from ipexlaunch.plan.plan import Instance, Plan
from ipexlaunch.plan.request import MEMORY_POLICIES


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken promise."""

    where: tuple[str | int, ...]
    """The place in the plan document, e.g. ("instances", 2, "cpus")."""
    error: PlanError


@dataclass(frozen=True, slots=True)
class _Machine:
    """What the checks look up, as sets made once."""

    topology: Topology
    online: frozenset[int]
    allowed: frozenset[int]
    nodes: frozenset[int]
    with_memory: frozenset[int]


def check_plan(topology: Topology, plan: Plan, any_machine: bool = False) -> None:
    """Refuse a plan that does not fit the machine or breaks a promise.

    Args:
        topology: the machine that it is to run on.
        plan: made by `make_plan`, or read from a file that somebody may have edited.
        any_machine: accept a plan of a machine with another fingerprint, as long as everything it names is here.

    Raises:
        PlanError: the first problem found.
    """
    for problem in find_problems(topology, plan, any_machine):
        raise problem.error


def find_problems(topology: Topology, plan: Plan, any_machine: bool = False) -> tuple[Problem, ...]:
    """Every problem of a plan on a machine, in the order of the document."""
    machine = _Machine(
        topology,
        frozenset(topology.by_cpu),
        frozenset(topology.by_cpu) & topology.allowed_cpus,
        frozenset(topology.by_node),
        nodes_with_memory(topology),
    )
    problems: list[Problem] = []
    if plan.topology != topology.fingerprint and not any_machine:
        return (
            _problem(
                ("topology",),
                "use this plan",
                f"it was made for machine {plan.topology}, this is machine {topology.fingerprint}",
                "make it anew here, or force it with --any-machine",
            ),
        )
    problems += _of_count(plan)
    owner: dict[int, int] = {}
    cores: dict[int, int] = {}
    for at, instance in enumerate(plan.instances):
        problems += _of_instance(machine, at, instance)
        for cpu in sorted(instance.cpus & machine.online):
            core = topology.by_cpu[cpu].core
            if cpu in owner:
                problems.append(
                    _problem(
                        ("instances", at, "cpus"),
                        f"give cpu {cpu} to instance {instance.index}",
                        f"instance {owner[cpu]} has it already",
                        "give each cpu to one instance",
                    )
                )
            elif cores.setdefault(core, instance.index) != instance.index:
                problems.append(
                    _problem(
                        ("instances", at, "cpus"),
                        f"give cpu {cpu} to instance {instance.index}",
                        f"it is on core {core}, which serves instance {cores[core]}",
                        "keep the cpus of a core together",
                    )
                )
            owner.setdefault(cpu, instance.index)
    if not plan.request.unequal:
        problems += _of_equality(topology, plan)
        problems += _of_straddling(topology, plan)
    problems += _of_accelerators(topology, plan)
    problems += _of_idle(machine, plan)
    return tuple(problems)


def _problem(where: tuple[str | int, ...], wanted: str, there: str, hint: str = "") -> Problem:
    return Problem(where, PlanError(wanted, there, hint))


def _of_count(plan: Plan) -> list[Problem]:
    count, wanted = len(plan.instances), plan.request.ninstances
    if not count:
        return [_problem(("instances",), "use this plan", "it has no instances", "give it at least one")]
    found = []
    if wanted is not None and wanted != count:
        found.append(
            _problem(
                ("instances",),
                f"plan {wanted} instances",
                f"there are {count}",
                "correct the request's ninstances or the instances",
            )
        )
    for at, instance in enumerate(plan.instances):
        if instance.index != at:
            found.append(
                _problem(
                    ("instances", at, "index"),
                    f"call instance number {at} {instance.index}",
                    "indices count 0, 1, 2, ... in order",
                    f"write {at}",
                )
            )
    return found


def _of_instance(machine: _Machine, at: int, instance: Instance) -> list[Problem]:
    place = ("instances", at)
    name = f"instance {instance.index}"
    found = []
    if not instance.cpus:
        found.append(_problem((*place, "cpus"), f"run {name}", "it has no cpus", "give it at least one"))
    if absent := instance.cpus - machine.online:
        found.append(
            _problem(
                (*place, "cpus"),
                f"give cpus {format_list(absent)} to {name}",
                "they do not exist or are offline",
                f"online are {format_list(machine.online)}",
            )
        )
    if denied := (instance.cpus & machine.online) - machine.allowed:
        found.append(
            _problem(
                (*place, "cpus"),
                f"give cpus {format_list(denied)} to {name}",
                "they are not allowed here",
                f"allowed are {format_list(machine.allowed)}",
            )
        )
    if instance.threads < 1:
        found.append(
            _problem((*place, "threads"), f"run {name} with {instance.threads} threads", "it needs one at least")
        )
    if instance.memory not in MEMORY_POLICIES:
        found.append(
            _problem(
                (*place, "memory"),
                f"use memory policy {instance.memory!r} for {name}",
                "there is no such policy",
                "use " + ", ".join(MEMORY_POLICIES),
            )
        )
    return found + _of_memory(machine, place, name, instance)


def _of_memory(machine: _Machine, place: tuple[str | int, ...], name: str, instance: Instance) -> list[Problem]:
    where = (*place, "nodes")
    if not machine.nodes:
        if instance.nodes:
            return [
                _problem(
                    where,
                    f"take memory of {name} from nodes {format_list(instance.nodes)}",
                    "this machine has no NUMA nodes",
                    'write ""',
                )
            ]
        return []
    if absent := instance.nodes - machine.nodes:
        return [
            _problem(
                where,
                f"take memory of {name} from nodes {format_list(absent)}",
                "they do not exist",
                f"nodes are {format_list(machine.nodes)}",
            )
        ]
    with_memory = machine.with_memory
    if useless := instance.nodes - with_memory:
        return [
            _problem(
                where,
                f"take memory of {name} from nodes {format_list(useless)}",
                "they have no memory or are not allowed here",
                f"nodes with allowed memory are {format_list(with_memory)}",
            )
        ]
    if not instance.nodes and instance.memory not in ("none", "local"):
        return [
            _problem(
                where,
                f"take memory of {name} by policy {instance.memory}",
                "it names no nodes",
                f"nodes with allowed memory are {format_list(with_memory)}",
            )
        ]
    return []


def _of_equality(topology: Topology, plan: Plan) -> list[Problem]:
    """Equal in cores and in cpus; the odd one out is named."""
    sizes = [
        (len({topology.by_cpu[cpu].core for cpu in i.cpus if cpu in topology.by_cpu}), len(i.cpus))
        for i in plan.instances
    ]
    if len(set(sizes)) <= 1:
        return []
    usual = Counter(sizes).most_common(1)[0][0]
    at = next(at for at, size in enumerate(sizes) if size != usual)
    return [
        _problem(
            ("instances", at, "cpus"),
            "keep all instances equal",
            f"instance {plan.instances[at].index} has {_extent(sizes[at])}, others have {_extent(usual)}",
            'write "greedy: true" in the request if that is meant',
        )
    ]


def _extent(size: tuple[int, int]) -> str:
    return f"{size[0]} cores" if size[0] == size[1] else f"{size[0]} cores ({size[1]} cpus)"


def _of_straddling(topology: Topology, plan: Plan) -> list[Problem]:
    """No instance on several nodes while there are as many instances as usable nodes, unless the scope is wider."""
    if plan.request.scope in ("socket", "machine"):
        return []
    try:
        usable = {core.node for core in usable_cores(topology, plan.request).cores}
    except IpexLaunchError as error:
        return [Problem(("request",), PlanError(error.wanted, error.available, error.hint))]
    if len(plan.instances) < len(usable):
        return []
    found = []
    for at, instance in enumerate(plan.instances):
        nodes = {topology.by_cpu[cpu].node for cpu in instance.cpus if cpu in topology.by_cpu}
        if len(nodes) > 1:
            crossed = format_list(node for node in nodes if node is not None)
            found.append(
                _problem(
                    ("instances", at, "cpus"),
                    f"keep instance {instance.index} inside one node",
                    f"its cpus are on nodes {crossed}, and there are as many instances as nodes",
                    'write "scope: machine" in the request if that is meant',
                )
            )
    return found


def _of_accelerators(topology: Topology, plan: Plan) -> list[Problem]:
    """Every instance drives one that is there, of the kind asked for, from cores of the node that serves it."""
    if plan.request.device is None and not any(instance.accelerator for instance in plan.instances):
        return []

    return [Problem(("instances", at, "accelerator"), error) for at, error in misplaced(topology, plan)]


def _of_idle(machine: _Machine, plan: Plan) -> list[Problem]:
    used = frozenset().union(*(instance.cpus for instance in plan.instances))
    idle = machine.allowed - used
    if idle == plan.idle_cpus:
        return []
    return [
        _problem(
            ("idle_cpus",),
            f"leave cpus {format_list(plan.idle_cpus) or '(none)'} idle",
            "allowed cpus that no instance uses are " + (format_list(idle) or "(none)"),
            f'write "{format_list(idle)}"',
        )
    ]
