"""What the cgroup's limits leave to all instances together: memory, and cpus by its quota."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.topology import Limit, Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.sizes import format_bytes


@dataclass(frozen=True, slots=True)
class MemoryAllowed:
    """Memory of all instances together, and who says so."""

    total_bytes: int
    words: str
    """ "the cgroup allows 32 GiB (sys/fs/cgroup/memory.max)"."""

    def instances(self, each: int) -> int:
        """How many of so many bytes each there may be."""
        return self.total_bytes // each

    def too_little(self, count: int, each: int) -> PlanError:
        """The error for so many instances."""
        most = self.instances(each)
        hint = f"ask for {counted(most, 'instance')} at most, or less memory" if most else "ask for less memory"
        return PlanError(
            f"give {format_bytes(each)} to {'an' if count == 1 else f'each of {count}'} instance{'s' * (count > 1)}",
            self.words,
            f"{hint} for each, or raise the limit",
        )


def memory_allowed(topology: Topology) -> MemoryAllowed | None:
    """The memory that cgroups leave, swap not counted; None where they leave all.

    Pages that the host has set aside as huge pages, and that our cgroup may not take (hugetlb), are no memory of ours.
    """
    plain = [limit for limit in topology.limits if limit.memory_bytes is not None and limit.page_bytes is None]
    found = []
    if topology.memory_limit_bytes is not None:
        tightest = min(plain, key=lambda limit: limit.memory_bytes or 0, default=None)
        where = "" if tightest is None else f" ({tightest.file})"
        amount = topology.memory_limit_bytes
        found.append(MemoryAllowed(amount, f"the cgroup allows {format_bytes(amount)}{where} to all processes in it"))
    if (refused := _refused_pages(topology)) is not None:
        amount, limit = refused
        there = sum(node.memory_bytes for node in topology.nodes if node.id in topology.allowed_nodes)
        words = f"{format_bytes(amount)} of the nodes' {format_bytes(there)} are huge pages that the cgroup refuses"
        found.append(MemoryAllowed(max(0, there - amount), f"{words} ({limit.file})"))
    return min(found, key=lambda each: each.total_bytes, default=None)


def _refused_pages(topology: Topology) -> tuple[int, Limit] | None:
    """Bytes that are set aside as huge pages beyond what our cgroup may have of them, and the limit that says so."""
    refused, decisive = 0, None
    limits = [limit for limit in topology.limits if limit.page_bytes is not None and limit.memory_bytes is not None]
    for size in {limit.page_bytes for limit in limits}:
        tightest = min((x for x in limits if x.page_bytes == size), key=lambda x: x.memory_bytes or 0)
        nodes = (node for node in topology.nodes if node.id in topology.allowed_nodes)
        there = sum(node.huge_pages.get(size or 0, 0) for node in nodes) * (size or 0)
        if there > (tightest.memory_bytes or 0):
            refused += there - (tightest.memory_bytes or 0)
            decisive = tightest
    return None if decisive is None else (refused, decisive)


def cpus_paid_for(topology: Topology) -> int | None:
    """Whole cpus that the quota pays for, rounded up; None where there is no quota."""
    return None if topology.cpu_quota is None else max(1, math.ceil(topology.cpu_quota))


def quota_words(topology: Topology) -> str:
    """ "the cgroup's cpu quota of 7.5 cpus (sys/fs/cgroup/cpu.max)"."""
    limits = [limit for limit in topology.limits if limit.quota is not None]
    tightest = min(limits, key=lambda limit: limit.quota or 0.0, default=None)
    where = "" if tightest is None else f" ({tightest.file})"
    return f"the cgroup's cpu quota of {topology.cpu_quota:g} cpus{where}"
