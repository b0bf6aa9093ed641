"""Kinds of cores on hybrid machines, and the signs of them where the kernel tells no kinds.

Source: Documentation/ABI/testing/sysfs-devices-system-cpu (cpu_capacity, cpuinfo_max_freq) and the event sources
cpu_core and cpu_atom of arch/x86/events/intel/core.c.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ipexlaunch.machine.probe.sysfs_paths import CPU
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Cpu, Kind, group_by

CAPACITY_MARGIN = (1078, 1024)
"""A cpu is of a larger kind where its capacity is more than 5 % larger (capacity_greater, kernel/sched/fair.c)."""

EFFICIENT_PMUS = ("cpu_atom", "cpu_lowpower")

SLOWER = 0.8
"""Of the largest maximum frequency: favoured cores of one kind stay above it (5.0 of 5.9 GHz on a Ryzen 7950X),
efficiency cores below (3.5 of 4.8 GHz on a Core i7-1270P, 3.9 of 5.2 on an i9-12900K)."""

MOST_CORES_ASKED = 64
"""Frequencies are read on machines of one socket with no more cores: no hybrid one is larger."""


def read_kinds(tree: Tree, order: Sequence[int], online: frozenset[int]) -> dict[int, Kind]:
    """Kinds by Intel's hybrid PMUs, or by cpu_capacity; never by a clock rate, which turbo and binning change."""
    fast = tree.optional_ids("sys/devices/cpu_core/cpus")
    slow = [ids for pmu in EFFICIENT_PMUS if (ids := tree.optional_ids(f"sys/devices/{pmu}/cpus")) is not None]
    if fast is not None or slow:
        efficient = frozenset().union(*slow) & online
        performant = (fast or frozenset()) & online
        stray = online - efficient - performant
        if stray:
            missing = "cpu_core" if fast is None else EFFICIENT_PMUS[0]
            raise tree.problem(f"sys/devices/{missing}/cpus", f"neither it nor its counterpart names cpu {min(stray)}")
        if not efficient or not performant:
            return {}
        return {cpu: "efficiency" if cpu in efficient else "performance" for cpu in order}
    if not any(tree.has(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in (order[0], order[-1])):
        return {}
    capacity = {cpu: tree.number(f"{CPU}/cpu{cpu}/cpu_capacity") for cpu in order}
    larger, smaller = CAPACITY_MARGIN
    bar = max(capacity.values()) * smaller
    if all(bar <= value * larger for value in capacity.values()):
        return {}
    return {cpu: "efficiency" if bar > value * larger else "performance" for cpu, value in capacity.items()}


def unlike_cores(tree: Tree, cpus: Sequence[Cpu], hidden: bool) -> str:
    """What shows that cores differ where the kernel tells no kinds; empty where nothing does.

    Args:
        tree: where to read.
        cpus: the online ones.
        hidden: whether some cpus of the machine are offline or not shown: caches are then shared by fewer cores.
    """
    if any(cpu.kind is not None for cpu in cpus):
        return ""
    caches = group_by((cpu for cpu in cpus if cpu.l2 is not None), lambda cpu: cpu.l2)
    shared = Counter(len({cpu.core for cpu in some}) for some in caches.values())
    if len(shared) > 1 and not hidden:
        sizes = ", ".join(f"{count} by {size} core{'s' * (size > 1)} each" for size, count in sorted(shared.items()))
        return f"L2 caches are shared unlike: {sizes}"
    cores = sorted({cpu.core for cpu in cpus})
    if len({cpu.socket for cpu in cpus}) > 1 or len(cores) > MOST_CORES_ASKED:
        return ""
    rates = [rate for core in cores if (rate := _maximum_khz(tree, core))]
    if rates and min(rates) < SLOWER * max(rates):
        return f"maximum frequencies go from {min(rates) / 1e6:.2g} to {max(rates) / 1e6:.2g} GHz"
    return ""


def _maximum_khz(tree: Tree, cpu: int) -> int | None:
    """None where it is not told; a hint is not worth an error."""
    text = tree.beginning(f"{CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq", 24) or b""
    digits = text.strip(b"\0\n ")
    return int(digits) if digits.isdigit() else None
