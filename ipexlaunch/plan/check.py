"""check_plan: whether a plan keeps the promises on a machine, be it made, edited or stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ipexlaunch.errors import IpexLaunchError, PlanError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.devices import misplaced_accelerators
from ipexlaunch.plan.plan import MEMORY_POLICIES, Instance, Plan
from ipexlaunch.plan.resources import nodes_with_memory, usable_cores

Place = tuple[str | int, ...]
"""In the plan document, e.g. ("instances", 2, "cpus")."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken promise."""

    where: Place
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
    if plan.topology != topology.fingerprint and not any_machine:
        there = f"it was made for machine {plan.topology}, this is machine {topology.fingerprint}"
        return (_problem(("topology",), "use this plan", there, "make it again here, or force it with --any-machine"),)
    machine = _Machine(
        topology,
        frozenset(topology.by_cpu),
        frozenset(topology.by_cpu) & topology.allowed_cpus,
        frozenset(topology.by_node),
        nodes_with_memory(topology),
    )
    found = [*_of_count(plan), *_of_instances(machine, plan)]
    if not plan.request.unequal:
        found += [*_of_equality(topology, plan), *_of_straddling(topology, plan)]
    return (*found, *_of_accelerators(topology, plan), *_of_idle(machine, plan))


def _problem(where: Place, wanted: str, there: str, hint: str = "") -> Problem:
    return Problem(where, PlanError(wanted, there, hint))


def _of_count(plan: Plan) -> Iterator[Problem]:
    count, wanted = len(plan.instances), plan.request.ninstances
    if not count:
        yield _problem(("instances",), "use this plan", "it has no instances", "give it at least one")
    elif wanted is not None and wanted != count:
        hint = "correct the request's ninstances or the instances"
        yield _problem(("instances",), f"plan {wanted} instances", f"there are {count}", hint)
    for at, instance in enumerate(plan.instances):
        if instance.index != at:
            what = f"call instance number {at} {instance.index}"
            yield _problem(("instances", at, "index"), what, "indices count 0, 1, 2, ... in order", f"write {at}")


def _of_instances(machine: _Machine, plan: Plan) -> Iterator[Problem]:
    """Each for itself, then each of its cpus that another instance has, or whose core another one has."""
    owner: dict[int, int] = {}
    cores: dict[int, int] = {}
    for at, instance in enumerate(plan.instances):
        index, where = instance.index, ("instances", at, "cpus")
        yield from _of_instance(machine, ("instances", at), instance)
        for cpu in sorted(instance.cpus & machine.online):
            core, wanted = machine.topology.by_cpu[cpu].core, f"give cpu {cpu} to instance {index}"
            if cpu in owner:
                there = f"instance {owner[cpu]} has it already"
                yield _problem(where, wanted, there, "give each cpu to one instance")
            elif cores.setdefault(core, index) != index:
                there = f"it is on core {core}, which serves instance {cores[core]}"
                yield _problem(where, wanted, there, "keep the cpus of a core together")
            owner.setdefault(cpu, index)


def _of_instance(machine: _Machine, place: Place, instance: Instance) -> Iterator[Problem]:
    name, where = f"instance {instance.index}", (*place, "cpus")
    if not instance.cpus:
        yield _problem(where, f"run {name}", "it has no cpus", "give it at least one")
    if absent := instance.cpus - machine.online:
        hint = f"online are {format_list(machine.online)}"
        yield _problem(where, f"give cpus {format_list(absent)} to {name}", "they do not exist or are offline", hint)
    if denied := (instance.cpus & machine.online) - machine.allowed:
        hint = f"allowed are {format_list(machine.allowed)}"
        yield _problem(where, f"give cpus {format_list(denied)} to {name}", "they are not allowed here", hint)
    if instance.threads < 1:
        what = f"run {name} with {instance.threads} threads"
        yield _problem((*place, "threads"), what, "it needs one at least")
    if instance.memory not in MEMORY_POLICIES:
        what, hint = f"use memory policy {instance.memory!r} for {name}", "use " + ", ".join(MEMORY_POLICIES)
        yield _problem((*place, "memory"), what, "there is no such policy", hint)
    yield from _of_memory(machine, (*place, "nodes"), name, instance)


def _of_memory(machine: _Machine, where: Place, name: str, instance: Instance) -> Iterator[Problem]:
    taken = f"take memory of {name} from nodes "
    allowed = f"nodes with allowed memory are {format_list(machine.with_memory)}"
    if not machine.nodes:
        if instance.nodes:
            named = format_list(instance.nodes)
            yield _problem(where, taken + named, "this machine has no NUMA nodes", 'write ""')
    elif absent := instance.nodes - machine.nodes:
        hint = f"nodes are {format_list(machine.nodes)}"
        yield _problem(where, taken + format_list(absent), "they do not exist", hint)
    elif useless := instance.nodes - machine.with_memory:
        there = "they have no memory or are not allowed here"
        yield _problem(where, taken + format_list(useless), there, allowed)
    elif not instance.nodes and instance.memory not in ("none", "local"):
        what = f"take memory of {name} by policy {instance.memory}"
        yield _problem(where, what, "it names no nodes", allowed)


def _of_equality(topology: Topology, plan: Plan) -> Iterator[Problem]:
    """Equal in cores and in cpus; the odd one out is named."""
    sizes = [(len(topology.cores_of(instance.cpus)), len(instance.cpus)) for instance in plan.instances]
    if len(set(sizes)) > 1:
        usual = Counter(sizes).most_common(1)[0][0]
        at = next(at for at, size in enumerate(sizes) if size != usual)
        there = f"instance {plan.instances[at].index} has {_extent(sizes[at])}, others have {_extent(usual)}"
        hint = 'write "greedy: true" in the request if that is meant'
        yield _problem(("instances", at, "cpus"), "keep all instances equal", there, hint)


def _extent(size: tuple[int, int]) -> str:
    return f"{size[0]} cores" if size[0] == size[1] else f"{size[0]} cores ({size[1]} cpus)"


def _of_straddling(topology: Topology, plan: Plan) -> Iterator[Problem]:
    """No instance on several nodes while there are as many instances as usable nodes, unless the scope is wider."""
    if plan.request.scope in ("socket", "machine"):
        return
    try:
        usable = {core.node for core in usable_cores(topology, plan.request).cores}
    except IpexLaunchError as error:
        yield _problem(("request",), error.wanted, error.available, error.hint)
        return
    for at, instance in enumerate(plan.instances if len(plan.instances) >= len(usable) else ()):
        if len(nodes := topology.nodes_of(instance.cpus)) > 1:
            there = f"its cpus are on nodes {format_list(nodes)}, and there are as many instances as nodes"
            hint = 'write "scope: machine" in the request if that is meant'
            what = f"keep instance {instance.index} inside one node"
            yield _problem(("instances", at, "cpus"), what, there, hint)


def _of_accelerators(topology: Topology, plan: Plan) -> Iterator[Problem]:
    """Every instance drives one that is there, of the kind asked for, from cores of the node that serves it."""
    if plan.request.device is not None or any(instance.accelerator for instance in plan.instances):
        for at, error in misplaced_accelerators(topology, plan):
            yield Problem(("instances", at, "accelerator"), error)


def _of_idle(machine: _Machine, plan: Plan) -> Iterator[Problem]:
    idle = machine.allowed - plan.used_cpus
    if idle != plan.idle_cpus:
        what = f"leave cpus {format_list(plan.idle_cpus) or '(none)'} idle"
        there = "allowed cpus that no instance uses are " + (format_list(idle) or "(none)")
        yield _problem(("idle_cpus",), what, there, f'write "{format_list(idle)}"')
