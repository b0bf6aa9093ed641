"""Layout: the domains of one request, and what fits into them.

What the cgroup's limits leave to all instances together: memory, and cpus by its quota.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ipexlaunch.errors import PlanError
from ipexlaunch.machine.topology import Limit, Topology
from ipexlaunch.machine.wording import counted
from ipexlaunch.plan.distribute import cover, cut_evenly, nearest_groups
from ipexlaunch.plan.domains import A_DOMAIN, NOUNS, Domain, MemoryCapacity, capacity, distances_of, sizes_text, spread
from ipexlaunch.plan.notation import format_bytes
from ipexlaunch.plan.plan import Request, Scope, Strategy
from ipexlaunch.plan.resources import MemoryMap, memory_suffices


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


def cpus_of_quota(topology: Topology) -> int | None:
    """Whole cpus that the quota pays for, rounded up; None where there is no quota."""
    return None if topology.cpu_quota is None else max(1, math.ceil(topology.cpu_quota))


def quota_text(topology: Topology) -> str:
    """ "the cgroup's cpu quota of 7.5 cpus (sys/fs/cgroup/cpu.max)"."""
    limits = [limit for limit in topology.limits if limit.quota is not None]
    tightest = min(limits, key=lambda limit: limit.quota or 0.0, default=None)
    where = "" if tightest is None else f" ({tightest.file})"
    return f"the cgroup's cpu quota of {topology.cpu_quota:g} cpus{where}"


WORTHWHILE = 16
"""Instances of equally many whole domains are kept together unless that costs more than a sixteenth of their cores."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Domains, the groups in which they may be combined, and the memory behind them."""

    topology: Topology
    request: Request
    scope: Scope
    domains: tuple[Domain, ...]
    parents: tuple[tuple[int, ...], ...]
    """Indices of domains that one instance may combine when it takes whole ones: all, or the L3 domains of a node."""
    room: MemoryCapacity
    memory: MemoryMap
    memory_allowed: MemoryAllowed | None = None
    """What the cgroup leaves to all instances together; None where it leaves all."""
    left_out: str = ""
    """What messages about too few cores should add."""

    @cached_property
    def sizes(self) -> list[int]:
        """Cores of each domain."""
        return [len(domain.cores) for domain in self.domains]

    @cached_property
    def distances(self) -> list[list[int]]:
        """How far domains are from each other."""
        return distances_of(self.topology, self.domains)

    def fits(self, count: int, cores: int) -> bool:
        """Whether so many instances fit: inside domains, or, where they are fewer than domains, of whole ones."""
        return capacity(self._most_in_parents(cores, count), 1, self._room_of_parents) >= count

    @cached_property
    def _room_of_parents(self) -> MemoryCapacity:
        """Memory limits between parents; inside the only one there is, its domains' own limits hold."""
        return self.room.of([members[0] for members in self.parents]) if len(self.parents) > 1 else MemoryCapacity()

    def _most_in_parents(self, cores: int, count: int) -> list[int]:
        """How many instances the cores of each parent hold, no more than `count` of them being of interest."""
        single = len(self.parents) == 1
        inside = [
            capacity([self.sizes[at] for at in members], cores, self.room if single else MemoryCapacity())
            for members in self.parents
        ]
        if sum(inside) >= count or count >= len(self.domains):
            return inside
        return [
            held + self._most_covered(members, cores, count - held)
            for held, members in zip(inside, self.parents, strict=True)
        ]

    def _small(self, members: Sequence[int], cores: int) -> list[int]:
        return [at for at in members if self.sizes[at] < cores]

    def _most_covered(self, members: Sequence[int], cores: int, wanted: int) -> int:
        """How many groups of whole small domains, at most `wanted`, hold an instance each."""
        small = self._small(members, cores)
        for count in range(min(wanted, sum(self.sizes[at] for at in small) // cores), 0, -1):
            covered = cover([self.sizes[at] for at in small], count, cores) is not None
            if covered and self.groups_have_memory(self._near(small, count, cores)):
                return count
        return 0

    def _near(self, small: Sequence[int], count: int, cores: int) -> list[list[int]]:
        distances = [[self.distances[a][b] for b in small] for a in small]
        groups = nearest_groups([self.sizes[at] for at in small], distances, count, cores)
        return [] if groups is None else [[small[i] for i in group] for group in groups]

    def groups_have_memory(self, groups: Sequence[Sequence[int]]) -> bool:
        """Whether the memory of each group of domains holds its instance."""
        each = self.request.memory_per_instance_bytes
        if each is None or not self.topology.nodes:
            return True
        needs = [self.memory.nodes(c.node for at in group for c in self.domains[at].cores) for group in groups]
        return memory_suffices(self.topology, needs, each)

    def groups(self, members: Sequence[int], count: int, cores: int) -> list[list[int]]:
        """Groups of whole domains for `count` instances, near ones together; the caller knows that they fit."""
        return self._near(self._small(members, cores), count, cores) if count else []

    def most_groups(self, cores: int) -> int:
        """How many instances of whole domains fit, where none fits inside one."""
        for count in range(min(len(self.domains) - 1, sum(self.sizes) // cores), 0, -1):
            if self.fits(count, cores):
                return count
        return 0

    def largest_size(self, count: int) -> int:
        """The most cores that `count` equal instances can have; 0 where they do not fit at all."""
        sizes = range(1, sum(self.sizes) // count + 1)
        return bisect_left(sizes, True, key=lambda cores: not self.fits(count, cores))

    def alike_groups(self, count: int, best: int) -> tuple[int, list[list[int]]] | None:
        """Cores, and groups of equally many whole domains, where that wastes little against the best size.

        Unequal numbers of domains may squeeze out a few cores more, but tear domains that are near each other apart.

        Args:
            count: instances, fewer than domains.
            best: the largest size that any split allows (`largest_size`).
        """
        if count >= len(self.domains) or len(self.parents) > 1:
            return None
        each = len(self.domains) // count
        groups = nearest_groups(self.sizes, self.distances, count, 1, members=[each] * count)
        if groups is None or not self.groups_have_memory(groups):
            return None
        cores = min(sum(self.sizes[at] for at in group) for group in groups)
        larger_inside = capacity(self.sizes, cores + 1, self.room) >= count
        enough = cores * WORTHWHILE >= best * (WORTHWHILE - 1) and not larger_inside
        return (cores, groups) if enough else None

    def share_parents(self, count: int, cores: int, strategy: Strategy) -> list[int]:
        """How many of the instances each parent gets."""
        most = self._most_in_parents(cores, count)
        return spread(most, 1, count, self._room_of_parents, strategy)

    def all_in_groups(self, count: int) -> list[list[int]]:
        """Every domain in one of `count` groups, near ones together, for instances that may be unequal."""
        members = cut_evenly(len(self.domains), count)
        return nearest_groups(self.sizes, self.distances, count, 1, members=members) or []

    def does_not_fit(self, count: int, cores: int | None) -> PlanError:
        """The error for a request that does not fit: what is there, and what would fit."""
        each = self.request.memory_per_instance_bytes
        if each is not None and self.memory_allowed is not None and self.memory_allowed.instances(each) < count:
            return self.memory_allowed.too_little(count, each)
        if each is not None and (cores is None or self.without_memory_limit().fits(count, cores)):
            return self._too_little_memory(count, cores, each)
        most = 0 if cores is None else capacity(self.sizes, cores, self.room) or self.most_groups(cores)
        noun = NOUNS[self.scope]
        hints = [f"{counted(most, 'instance')} of {counted(cores or 0, 'core')}"] if most else []
        if smaller := self.largest_size(count):
            hints.append(f"{counted(count, 'instance')} of {counted(smaller, 'core')}")
        hint = "ask for " + (" or ".join(hints) or "fewer instances")
        if cores and count * cores <= sum(self.sizes) and self.scope != "machine":
            hint += f", or add --scope machine to let instances cross {noun}s"
        inside = len(self.domains) > 1 and count >= len(self.domains)
        crossing = f" without crossing {A_DOMAIN[self.scope]}" if inside else ""
        fitting = f"so {most} fit{'s' if most == 1 else ''}{crossing}" if most else "too few for one"
        wanted = f"fit {counted(count, 'instance')} of {counted(cores or 1, 'core')}"
        return PlanError(wanted, f"{sizes_text(self.domains)}{self.left_out}, {fitting}", hint)

    def only(self, members: Sequence[int]) -> Layout:
        """The same layout with some of the domains only."""
        kept = tuple(self.domains[at] for at in members)
        return replace(self, domains=kept, parents=(tuple(range(len(kept))),), room=self.room.of(members))

    def at_most(self, count: int) -> int:
        """So many instances, or what the cgroup's memory holds of them."""
        each = self.request.memory_per_instance_bytes
        return count if each is None or self.memory_allowed is None else min(count, self.memory_allowed.instances(each))

    def without_memory_limit(self) -> Layout:
        """The same layout for instances that need no memory."""
        request = replace(self.request, memory_per_instance_bytes=None)
        return replace(self, room=MemoryCapacity(), memory_allowed=None, request=request)

    def _too_little_memory(self, count: int, cores: int | None, each: int) -> PlanError:
        most = capacity(self.sizes, cores or 1, self.room)
        nodes = self.memory.nodes(core.node for domain in self.domains for core in domain.cores)
        sizes = {node: format_bytes(self.topology.by_node[node].memory_bytes) for node in sorted(nodes)}
        there = ", ".join(f"node {node} has {size}" for node, size in sizes.items())
        hint = f"ask for {counted(most, 'instance')} at most" if most else "ask for less memory per instance"
        fitting = f"so {most} fit{'s' if most == 1 else ''}" if most else "too little for one"
        return PlanError(f"fit {counted(count, 'instance')} of {format_bytes(each)} each", f"{there}, {fitting}", hint)
