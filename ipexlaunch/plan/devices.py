"""Plans by accelerator: which accelerators a request means, and the node whose cores serve each of them.

An accelerator is called by torch's word for its kind and its number among those of its vendor, counted by PCI address:
"xpu:0" is the Intel one with the lowest address. The runtimes are told to count likewise (`device_variables`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ipexlaunch.errors import IpexLaunchError, PlanError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Accelerator, Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.groups import parse_group, place_groups
from ipexlaunch.plan.notation import parse_id_list
from ipexlaunch.plan.plan import Device, Instance, Plan, Request
from ipexlaunch.plan.resources import Core, MemoryMap, Usable, nearest, usable_cores

VENDORS: dict[Device, str] = {"xpu": "intel", "cuda": "nvidia"}
"""Device to the vendor as the probe calls it."""

NAMES: dict[Device, str] = {"xpu": "Intel accelerator", "cuda": "NVIDIA accelerator"}


def asked_accelerators(topology: Topology, request: Request, device: Device) -> dict[int, Accelerator]:
    """Number to accelerator, of those that the request means.

    Args:
        topology: the machine.
        request: with a list of them, or all.
        device: the kind.

    Raises:
        RequestError: a malformed list.
        PlanError: there is none, or the list names one that is not there.
    """
    of_kind = (found for found in topology.accelerators if found.vendor == VENDORS[device])
    there = dict(enumerate(of_kind))  # ascending by address
    if not there:
        others = Counter(found.vendor for found in topology.accelerators)
        words = " and ".join(f"{count} of {vendor}" for vendor, count in sorted(others.items()))
        other = next((name for name, vendor in VENDORS.items() if vendor in others), None)
        raise PlanError(
            f"plan for --device {device}",
            f"there is no {NAMES[device]} on this machine's PCI bus" + (f", but {words}" if words else ""),
            f"use --device {other}" if other else "leave out --device to use the cpus",
        )
    if request.accelerators is None:
        return there
    numbers = frozenset(there)
    listed = parse_id_list(request.accelerators, "--accelerators", "accelerator", numbers, numbers).ids
    return {number: there[number] for number in sorted(listed)}


def _homes_of(topology: Topology, accelerators: Mapping[int, Accelerator], usable: Usable) -> dict[int, int | None]:
    """Number to the node whose cores serve it: its own; the nearest where that has none; dealt evenly where unknown.

    The nodes are those with cores to plan with; None stands for a machine without nodes.
    """
    with_cores = sorted({core.node for core in usable.cores if core.node is not None})
    if not with_cores:
        return dict.fromkeys(accelerators)
    homes: dict[int, int | None] = {}
    for number, accelerator in accelerators.items():
        own = accelerator.node
        if own is not None and own in topology.by_node:
            homes[number] = own if own in with_cores else nearest(topology, own, with_cores, {})
    for number in accelerators:
        if number not in homes:
            served = Counter(homes.values())
            homes[number] = min(with_cores, key=lambda node: (served[node], node))
    return dict(sorted(homes.items()))


def place_by_device(
    topology: Topology, request: Request, device: Device, usable: Usable, memory: MemoryMap
) -> tuple[list[list[Core]], list[str]]:
    """The cores of each instance, in the order of the accelerators, and each one's accelerator.

    Args:
        topology: the machine.
        request: checked.
        device: the kind of accelerator.
        usable: the cores that may be used, at least one.
        memory: where each node's memory is.

    Raises:
        RequestError: a malformed list.
        PlanError: no such accelerator, a number of instances that does not divide by them, or too few cores.
    """
    found = asked_accelerators(topology, request, device)
    homes = _homes_of(topology, found, usable)
    each = _instances_of_each(request, homes, device)
    on_node: dict[int | None, list[int]] = {}
    for number, count in each.items():
        on_node.setdefault(homes[number], []).extend([number] * count)
    size = _cores_of_each(request, usable, on_node)
    groups = [
        parse_group(f"{len(numbers)}x{size}" + ("" if node is None else f"@node{node}"))
        for node, numbers in on_node.items()
    ]
    slices = place_groups(topology, groups, usable.cores, memory, request.memory_per_instance_bytes)
    numbers = [number for own in on_node.values() for number in own]
    order = sorted(range(len(slices)), key=lambda at: (numbers[at], at))
    return [slices[at] for at in order], [f"{device}:{numbers[at]}" for at in order]


def _instances_of_each(request: Request, homes: Mapping[int, int | None], device: Device) -> dict[int, int]:
    """How many instances each accelerator gets; some get none where fewer were asked for than there are."""
    count, there = request.ninstances or len(homes), len(homes)
    if count < there:
        order = sorted(homes) if request.strategy == "close" else _dealt(homes)
        return dict.fromkeys(sorted(order[:count]), 1)
    if count % there:
        few = count - count % there
        wanted = f"plan {counted(count, 'instance')} on {counted(there, NAMES[device])}"
        raise PlanError(wanted, "each accelerator serves equally many", f"ask for {few} or {few + there}")
    return dict.fromkeys(homes, count // there)


def _dealt(homes: Mapping[int, int | None]) -> list[int]:
    """The accelerators, one of each node in turn."""
    turns: Counter[int | None] = Counter()
    place: dict[int, tuple[int, int]] = {}
    for number in sorted(homes):
        place[number] = turns[homes[number]], number
        turns[homes[number]] += 1
    return sorted(place, key=lambda number: place[number])


def _cores_of_each(request: Request, usable: Usable, on_node: Mapping[int | None, Sequence[int]]) -> int:
    sizes = Counter(core.node for core in usable.cores)
    asked = request.ncores_per_instance
    wanted = asked if isinstance(asked, int) and asked > 0 else None
    node, most = min(((node, sizes[node] // len(own)) for node, own in on_node.items()), key=lambda pair: pair[1])
    if most < (wanted or 1):
        where = "the machine" if node is None else f"node {node}"
        raise PlanError(
            f"give {counted(wanted or 1, 'core')} to each of {counted(len(on_node[node]), 'instance')} of {where}",
            f"it has {counted(sizes[node], 'core')} to plan with{usable.left_out()}",
            f"ask for {counted(most, 'core')} each" if most else "ask for fewer instances",
        )
    return wanted or most


def misplaced_accelerators(topology: Topology, plan: Plan) -> Iterator[tuple[int, PlanError]]:
    """Places of instances in a plan, and what is wrong with their accelerators.

    Args:
        topology: the machine that it is to run on.
        plan: made, or edited.
    """
    device = plan.request.device
    if device is None:
        for at, instance in enumerate(plan.instances):
            if instance.accelerator:
                yield at, _wrong(instance, "the request asks for no device", 'write "device: ..."')
        return
    try:
        there = asked_accelerators(topology, plan.request, device)
        homes = _homes_of(topology, there, usable_cores(topology, plan.request))
    except IpexLaunchError as error:
        yield 0, PlanError(error.wanted, error.available, error.hint)
        return
    names = {f"{device}:{number}": number for number in there}
    for at, instance in enumerate(plan.instances):
        if instance.accelerator not in names:
            yield at, _wrong(instance, f"there are {', '.join(names)}", "name one of them")
            continue
        home, nodes = homes[names[instance.accelerator]], topology.nodes_of(instance.cpus)
        if nodes - {home}:
            away = f"node {home} serves it, and cpus are on node {format_list(nodes)}"
            yield at, _wrong(instance, away, f"take cpus of node {home}")


def _wrong(instance: Instance, there: str, hint: str) -> PlanError:
    return PlanError(f"give {instance.accelerator or 'no accelerator'} to instance {instance.index}", there, hint)


def device_variables(accelerator: str) -> dict[str, str]:
    """The variables by which a worker sees one accelerator alone, by the number that the plan gives it.

    Sources: Level Zero specification, "Environment Variables" (an affinity mask counts devices in the order that
    ZE_ENABLE_PCI_ID_DEVICE_ORDER sets; with a composite hierarchy a card with several tiles is one device); SYCL's
    EnvironmentVariables.md for the persistent cache of compiled kernels; CUDA C programming guide, "CUDA Environment
    Variables".

    Args:
        accelerator: "xpu:0", "cuda:1", or "" for none.
    """
    device, _, number = accelerator.partition(":")
    if device == "xpu":
        return {
            "ZE_AFFINITY_MASK": number,
            "ZE_ENABLE_PCI_ID_DEVICE_ORDER": "1",
            "ZE_FLAT_DEVICE_HIERARCHY": "COMPOSITE",
            "SYCL_CACHE_PERSISTENT": "1",
        }
    return {"CUDA_VISIBLE_DEVICES": number, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if device == "cuda" else {}


def cache_variables(accelerator: str, directory: str) -> dict[str, str]:
    """The variables that keep kernels which are compiled at their first run, so that only one run waits for them.

    Args:
        accelerator: as for `device_variables`.
        directory: where caches are kept; "" leaves the runtimes' own places.
    """
    name = {"xpu": "SYCL_CACHE_DIR", "cuda": "CUDA_CACHE_PATH"}.get(accelerator.partition(":")[0])
    return {name: f"{directory}/{name.partition('_')[0].lower()}"} if name and directory else {}


def explain_devices(topology: Topology, request: Request, device: Device, usable: Usable) -> list[str]:
    """Which accelerators there are, and why their instances are where they are; one sentence a line.

    Args:
        topology: the machine.
        request: one that fits.
        device: the kind of accelerator.
        usable: the cores that it was planned with.
    """
    found = asked_accelerators(topology, request, device)
    homes = _homes_of(topology, found, usable)
    lines = [
        f"{counted(len(found), NAMES[device])}, by PCI address; each is served by cores of its node, where that has any"
    ]
    for number, accelerator in found.items():
        home = "the machine" if homes[number] is None else f"node {homes[number]}"
        why = ""
        if accelerator.node is None and homes[number] is not None:
            why = ", because the firmware does not tell where it hangs"
        elif accelerator.node is not None and homes[number] not in (None, accelerator.node):
            why = f", the nearest with cores to plan with; it hangs on node {accelerator.node}"
        lines.append(f"{device}:{number} is {accelerator.address}, served by {home}{why}")
    return lines
