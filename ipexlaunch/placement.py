"""Where a worker really is: the binding that the kernel accepted, and what was read back of its threads and pages.

Pure: `bind.py` and `inspect_placement.py` read the machine, this module understands the kernel's texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ipexlaunch.cpulist import format_list
from ipexlaunch.plan.instances import Instance

LOCAL_SHARE_REQUIRED = 0.95
"""A worker with a smaller share of its anonymous pages on its nodes makes the run INVALID."""

BINDING_POLICIES = ("bind", "preferred", "preferred-many", "interleave", "weighted-interleave")
"""Policies that promise where pages go, so that the share of local pages can be judged."""

SMALLEST_JUDGED_BYTES = 4 << 20
"""Below this much anonymous memory a share says nothing (an idle interpreter has a few MB)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the kernel accepted when a worker was started; cpus and memory are told apart."""

    cpus: frozenset[int]
    """Affinity as read back after setting it."""
    memory: str
    """Policy as read back: the planned one, a weaker one, or "none"."""
    nodes: frozenset[int]
    """Nodes of the policy as read back."""
    refused: str = ""
    """Why the memory policy is weaker than planned; empty where it is as planned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What was read back of a worker and its children at one moment."""

    cpus: frozenset[int]
    """Union of the affinity of every thread."""
    threads: int
    pinned_threads: int
    """Threads that may run on one cpu only."""
    main_thread_cpus: frozenset[int]
    pages: Mapping[int, int] | None = field(default=None)
    """Anonymous memory in bytes by node; None where the kernel does not tell (no numa_maps)."""
    peak_memory_bytes: int = 0
    """Largest resident set of the worker so far, without its children (VmHWM)."""

    def local_share(self, nodes: Iterable[int]) -> float | None:
        """Share of the anonymous memory that is on these nodes, 0 to 1; None where unknown or none is there."""
        total = sum((self.pages or {}).values())
        if not total or self.pages is None:
            return None
        return sum(self.pages.get(node, 0) for node in nodes) / total


def anonymous_bytes_by_node(numa_maps: str, page_kb: int = 4) -> dict[int, int]:
    """Anonymous memory by node, in bytes, of one process.

    Args:
        numa_maps: text of /proc/PID/numa_maps; lines without `file=` are anonymous (heap, stack, mmap).
        page_kb: size of a page where a line does not say (kernels before 3.0 lack kernelpagesize_kB).

    Source: Documentation/filesystems/proc.rst, fs/proc/task_mmu.c (show_numa_map) of the Linux kernel.
    """
    found: dict[int, int] = {}
    for line in numa_maps.splitlines():
        words = line.split()
        if any(word.startswith("file=") for word in words):
            continue
        size = page_kb
        counts: list[tuple[int, int]] = []
        for word in words[2:]:
            key, _, value = word.partition("=")
            if key == "kernelpagesize_kB":
                size = int(value)
            elif key[:1] == "N" and key[1:].isdigit():
                counts.append((int(key[1:]), int(value)))
        for node, pages in counts:
            found[node] = found.get(node, 0) + pages * size * 1024
    return found


def misplacements(
    instance: Instance, placement: Placement, binding: Binding, local_share_required: float = LOCAL_SHARE_REQUIRED
) -> list[str]:
    """Every way in which a worker is not where the plan says, each as a reason for INVALID; empty where it is.

    Args:
        instance: the plan.
        placement: what was read back.
        binding: what the kernel accepted at the start; memory that was refused is not judged again here.
        local_share_required: 0 to 1.
    """
    reasons: list[str] = []
    strayed = placement.cpus - instance.cpus
    if strayed:
        reasons.append(
            f"instance {instance.index} may run on cpus {format_list(strayed)}, outside its plan "
            f"({format_list(instance.cpus)})"
        )
    planned_policy = binding.memory in BINDING_POLICIES and not binding.refused
    share = placement.local_share(instance.nodes)
    total = sum((placement.pages or {}).values())
    if planned_policy and share is not None and total >= SMALLEST_JUDGED_BYTES and share < local_share_required:
        reasons.append(
            f"instance {instance.index} has {share:.1%} of its anonymous memory on node "
            f"{format_list(instance.nodes)} (at least {local_share_required:.0%} wanted)"
        )
    return reasons


def affinity_collapsed(instance: Instance, placement: Placement) -> bool:
    """Whether the main thread was squeezed onto fewer cpus than the instance has, so that its children share them.

    OpenMP runtimes do this when they are told to bind threads (GOMP_CPU_AFFINITY, OMP_PROC_BIND, KMP_AFFINITY
    without "reset"); DataLoader workers and subprocesses then inherit one cpu.
    """
    return len(placement.main_thread_cpus) == 1 < len(instance.cpus)
