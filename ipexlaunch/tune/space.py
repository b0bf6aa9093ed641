"""Settings and the space of them: everything that is tried of how a program runs, splits of the machine among it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any

from ipexlaunch.documents.fields import NonNegativeInt, OneOf
from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, make_plan
from ipexlaunch.plan.domains import domains_of
from ipexlaunch.plan.plan import MEMORY_POLICIES, Request
from ipexlaunch.plan.resources import usable_cores


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One way to cut the machine, with the plan that it gives."""

    name: str
    """Instances x physical cores of each, e.g. "4x7"; unequal instances and lists of the user's own are "given"."""
    smt: bool
    """Whether instances have all siblings of their cores."""
    plan: Plan
    landmark: bool = False
    """One instance, or one for each node: the machine's own structure; or the published one."""
    published: bool = False
    """Instances as large as those of the public records of such a workload."""


def splits_of(topology: Topology, asked: Request) -> tuple[Split, ...]:
    """Every split worth a trial, each plan once; those of one use of siblings from few large instances to many small.

    Inside nodes these are, for every number of instances per node, the largest size that fits (43 cores: 43, 21, 14,
    10, 8, 7 ... 1); where caches are smaller than nodes, the same within them; and with fewer instances than nodes,
    whole nodes, down to one instance.

    Args:
        topology: the machine.
        asked: what the user fixed already: a number or a size of instances, lists, reserved cores. Use of siblings is
            tried both ways unless it is asked for.

    Raises:
        RequestError: the request contradicts itself.
        PlanError: nothing fits what was asked for.
    """
    nodes = {cpu.node for cpu in topology.cpus if cpu.id in topology.allowed_cpus}
    found: dict[frozenset[frozenset[int]], Split] = {}
    for smt in (True,) if asked.use_logical_cores else (False, True):
        request = replace(asked, use_logical_cores=smt, workload=None)
        for candidate in _requests(topology, request):
            try:
                plan = make_plan(topology, candidate)
            except (PlanError, RequestError):
                continue  # a size of another node, or more instances than the user's lists leave room for
            key = frozenset(instance.cpus for instance in plan.instances)
            landmark = len(plan.instances) in (1, len(nodes))
            split = Split(name=_name(topology, plan), smt=smt, plan=plan, landmark=landmark)
            found.setdefault(key, split)
        if (known := _published(topology, asked, smt)) is not None:
            key = frozenset(instance.cpus for instance in known.instances)
            split = found.get(key) or Split(name=_name(topology, known), smt=smt, plan=known)
            found[key] = replace(split, landmark=True, published=True)
    if not found:
        make_plan(topology, asked)  # raises, and says what fits
    named: dict[tuple[str, bool], Split] = {}  # the search tells them apart by these
    for split in found.values():
        named.setdefault((split.name, split.smt), split)
    return tuple(sorted(named.values(), key=_order))


def _published(topology: Topology, asked: Request, smt: bool) -> Plan | None:
    """The plan of the public records, where it is known what runs and sizes are open; it may be no other's."""
    if asked.workload is None or asked.ninstances is not None or asked.ncores_per_instance is not None:
        return None
    try:
        return make_plan(topology, replace(asked, goal="throughput", use_logical_cores=smt))
    except (PlanError, RequestError):
        return None


def _order(split: Split) -> tuple[bool, int, int]:
    return split.smt, len(split.plan.instances), -len(split.plan.instances[0].cpus)


def _name(topology: Topology, plan: Plan) -> str:
    sizes = {len({topology.by_cpu[cpu].core for cpu in instance.cpus}) for instance in plan.instances}
    return f"{len(plan.instances)}x{sizes.pop()}" if len(sizes) == 1 else "given"


def _requests(topology: Topology, request: Request) -> Iterator[Request]:
    """Requests that may give a split; many give none, or one that another gives too."""
    listed = request.cores_list is not None and "|" in request.cores_list
    given = request.unequal or listed or request.goal or request.latency_mode or request.throughput_mode
    sized = request.ncores_per_instance is not None
    if given or (request.ninstances is not None and sized):
        yield request
        return
    cores = usable_cores(topology, request).cores
    nodes = [len(node.cores) for node in domains_of(cores, "node")]
    caches = [len(cache.cores) for cache in domains_of(cores, "l3")]
    if sized and isinstance(request.ncores_per_instance, int) and request.ncores_per_instance > 0:
        size = request.ncores_per_instance
        counts = {sum(node // size for node in nodes), sum(cache // size for cache in caches), sum(nodes) // size}
        yield from (replace(request, ninstances=count) for count in sorted(counts) if count)
        return
    if request.ninstances is not None or sized:
        yield request
        return
    for count in range(1, len(nodes)):
        if len(nodes) % count == 0:
            yield replace(request, ninstances=count)
    for size in sorted({node // parts for node in nodes for parts in range(1, node + 1)}, reverse=True):
        yield replace(request, ninstances=sum(node // size for node in nodes), ncores_per_instance=size)
    if len(caches) > len(nodes):
        for size in sorted({cache // parts for cache in caches for parts in range(1, cache + 1)}, reverse=True):
            count = sum(cache // size for cache in caches)
            yield replace(request, ninstances=count, ncores_per_instance=size, scope="l3")


AS_IS = "as is"
"""A program's own choice, where it has no option for one."""

ORDERED = ("split", "batch_size")
"""Axes whose choices have an order, so that the next one is a neighbour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One way to run the program."""

    split: str
    """Name of the split, instances x cores."""
    smt: bool = False
    """With all siblings of the cores."""
    batch_size: NonNegativeInt = 0
    """Inputs of one call; 0 where the program has its own."""
    numbers: str = AS_IS
    """Engine and dtype, by the candidate's name; AS_IS for programs."""
    allocator: Annotated[str, OneOf("default", "tcmalloc", "jemalloc")] = "default"
    runtime: Annotated[str, OneOf("default", "intel")] = "default"
    """OpenMP runtime."""
    memory: Annotated[str, OneOf(*MEMORY_POLICIES)] = "bind"
    """Memory policy."""

    @property
    def words(self) -> str:
        """For tables and messages, e.g. "4x7, siblings, batch 16, tcmalloc"; what is not special is left out."""
        parts = [self.split, "siblings" if self.smt else "", f"batch {self.batch_size}" if self.batch_size else ""]
        parts += [self.numbers if self.numbers != AS_IS else ""]
        parts += [self.allocator if self.allocator != "default" else ""]
        parts += [f"{self.runtime} OpenMP" if self.runtime != "default" else ""]
        parts += [f"memory {self.memory}" if self.memory != "bind" else ""]
        return ", ".join(filter(None, parts))


@dataclass(frozen=True, slots=True)
class Axis:
    """One field of a setting and the choices for it."""

    name: str
    choices: tuple[Any, ...]

    @property
    def ordered(self) -> bool:
        """Whether the next choice is nearer than the one after it."""
        return self.name in ORDERED


@dataclass(frozen=True, kw_only=True)
class Space:
    """Every setting that may be tried."""

    splits: tuple[Split, ...]
    batch_sizes: tuple[int, ...] = (0,)
    """Ascending."""
    numbers: tuple[str, ...] = (AS_IS,)
    """The likeliest first."""
    allocators: tuple[str, ...] = ("default",)
    runtimes: tuple[str, ...] = ("default",)
    memories: tuple[str, ...] = ("bind",)
    shares_model: bool = False
    """Whether the workers of a node are forked from one process that has the model: their number costs little memory
    then."""

    @cached_property
    def axes(self) -> tuple[Axis, ...]:
        """All fields of a setting, each with what it may be."""
        names = dict.fromkeys(split.name for split in sorted(self.splits, key=_size))
        return (
            Axis("split", tuple(names)),
            Axis("smt", tuple(dict.fromkeys(split.smt for split in self.splits))),
            Axis("batch_size", self.batch_sizes),
            Axis("numbers", self.numbers),
            Axis("allocator", self.allocators),
            Axis("runtime", self.runtimes),
            Axis("memory", self.memories),
        )

    @cached_property
    def _plans(self) -> dict[tuple[str, bool], Plan]:
        return {(split.name, split.smt): split.plan for split in self.splits}

    @cached_property
    def _memories(self) -> dict[tuple[str, bool], tuple[str, ...]]:
        """The policies that make a difference: with the memory of one node, all of them give the same."""
        spread = {key: any(len(each.nodes) > 1 for each in plan.instances) for key, plan in self._plans.items()}
        return {key: self.memories if several else self.memories[:1] for key, several in spread.items()}

    def __contains__(self, setting: Setting) -> bool:
        return setting.memory in self._memories.get((setting.split, setting.smt), ()) and all(
            getattr(setting, axis.name) in axis.choices for axis in self.axes
        )

    def __len__(self) -> int:
        count = sum(len(memories) for memories in self._memories.values())
        for choices in (self.batch_sizes, self.numbers, self.allocators, self.runtimes):
            count *= len(choices)
        return count

    @cached_property
    def _loads(self) -> dict[tuple[str, bool], dict[int, float]]:
        loads: dict[tuple[str, bool], dict[int, float]] = {}
        for key, plan in self._plans.items():
            load = loads.setdefault(key, {})
            for instance in plan.instances:
                for node in instance.nodes:
                    load[node] = load.get(node, 0.0) + 1 / len(instance.nodes)
        return loads

    def setting(self, split: Split, **chosen: Any) -> Setting:
        """A setting of this split with the first choice of everything that is not given."""
        first = {axis.name: axis.choices[0] for axis in self.axes}
        return Setting(**{**first, "split": split.name, "smt": split.smt, **chosen})

    def load_of(self, setting: Setting) -> Mapping[int, float]:
        """Instances that take their memory from each node; one with the memory of two counts half on each."""
        return self._loads[setting.split, setting.smt]

    def plan_of(self, setting: Setting) -> Plan:
        """The plan of a setting's split; its memory policy is the setting's."""
        plan = self._plans[setting.split, setting.smt]
        instances = [each if each.memory == "none" else replace(each, memory=setting.memory) for each in plan.instances]
        asked: Any = setting.memory if setting.memory != "bind" or plan.request.memory_policy else None
        return replace(plan, request=replace(plan.request, memory_policy=asked), instances=tuple(instances))

    def settings(self) -> Iterator[Setting]:
        """Every one of them."""
        names = [axis.name for axis in self.axes]
        for choices in itertools.product(*(axis.choices for axis in self.axes)):
            setting = Setting(**dict(zip(names, choices, strict=True)))
            if setting in self:
                yield setting

    def neighbours(self, setting: Setting) -> Iterator[Setting]:
        """Settings that differ in one choice, by one step where choices have an order; then a step on two such axes.

        Fewer cores with smaller batches keep a call's working set in its share of the cache, so the best of one
        split is often two steps from the best of the next.
        """
        steps = {axis.name: list(_steps(axis, getattr(setting, axis.name))) for axis in self.axes}
        for name in ("batch_size", "split", "smt", "numbers", "allocator", "runtime", "memory"):
            yield from (each for choice in steps[name] if (each := replace(setting, **{name: choice})) in self)
        for split, batch_size in itertools.product(steps["split"], steps["batch_size"]):
            if (each := replace(setting, split=split, batch_size=batch_size)) in self:
                yield each


def _size(split: Split) -> tuple[int, int]:
    return len(split.plan.instances), -len(split.plan.instances[0].cpus)


def _steps(axis: Axis, choice: Any) -> Sequence[Any]:
    place = axis.choices.index(choice)
    if axis.ordered:
        return [axis.choices[at] for at in (place + 1, place - 1) if 0 <= at < len(axis.choices)]
    return [other for other in axis.choices if other != choice]
