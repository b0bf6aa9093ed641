"""The splits of a machine that are worth a trial: equal instances that use as many cores as their number allows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Plan, make_plan
from ipexlaunch.plan.cores import usable_cores
from ipexlaunch.plan.domains import domains_of
from ipexlaunch.plan.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """One way to cut the machine, with the plan that it gives."""

    name: str
    """Instances x physical cores of each, e.g. "4x7"; unequal instances and lists of the user's own are "given"."""
    smt: bool
    """Whether instances have all siblings of their cores."""
    plan: Plan
    landmark: bool = False
    """One instance, or one for each node: the machine's own structure."""


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
        request = replace(asked, use_logical_cores=smt)
        for candidate in _requests(topology, request):
            try:
                plan = make_plan(topology, candidate)
            except (PlanError, RequestError):
                continue  # a size of another node, or more instances than the user's lists leave room for
            key = frozenset(instance.cpus for instance in plan.instances)
            landmark = len(plan.instances) in (1, len(nodes))
            found.setdefault(key, Split(name=_name(topology, plan), smt=smt, plan=plan, landmark=landmark))
    if not found:
        make_plan(topology, asked)  # raises, and says what fits
    named: dict[tuple[str, bool], Split] = {}  # the search tells them apart by these
    for split in found.values():
        named.setdefault((split.name, split.smt), split)
    return tuple(sorted(named.values(), key=_order))


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
