"""Where a worker is: what the kernel accepted of its binding, and what was read back of its threads and pages.

Pure: `bind.py` and `inspect_workers.py` read the machine, `proc_text.py` understands the kernel's texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ipexlaunch.documents.fields import LATER, OMITTED, AsList, NonNegativeInt
from ipexlaunch.machine.cpulist import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the kernel accepted when a worker was started; cpus and memory are told apart."""

    cpus: Ids
    """Affinity as read back after setting it."""
    memory: str
    """Policy as read back: the planned one, a weaker one, or "none"."""
    nodes: Ids
    """Nodes of the policy as read back."""
    refused: str = ""
    """Why the memory policy is weaker than planned; empty where it is as planned."""
    cgroup: str = field(default="", metadata=OMITTED)
    """Directory of the cgroup that confines it; "" for none."""
    unconfined: str = field(default="", metadata=OMITTED)
    """Why there is none though it was asked for."""

    def shortfalls(self) -> list[str]:
        """What is weaker than planned, one phrase for each."""
        told = {"memory is not bound as planned": self.refused, "not confined by a cgroup": self.unconfined}
        return [f"{what}: {why}" for what, why in told.items() if why]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resident:
    """How much of a process's resident memory is its own; of several the sums. Huge pages (hugetlb) are not in it."""

    private_bytes: NonNegativeInt
    """In no other process."""
    shared_bytes: NonNegativeInt
    """In others too: inherited through fork and not written since, libraries, shared memory. The sum over processes
    counts a page as often as it is mapped.
    """
    proportional_bytes: NonNegativeInt
    """Every page divided by the number of processes that have it (PSS): the sum is what they take together."""
    proportional_anonymous_bytes: NonNegativeInt | None = None
    """The part that is anonymous; None where the kernel does not tell (before Linux 5.3)."""
    proportional_file_bytes: NonNegativeInt | None = None
    """The part that is the page cache's."""


def together(parts: Iterable[Resident]) -> Resident | None:
    """The memory of several processes; None where there are none, and a part that one of them does not know is none."""
    every = list(parts)
    if not every:
        return None
    anonymous = [part.proportional_anonymous_bytes for part in every]
    files = [part.proportional_file_bytes for part in every]
    return Resident(
        private_bytes=sum(part.private_bytes for part in every),
        shared_bytes=sum(part.shared_bytes for part in every),
        proportional_bytes=sum(part.proportional_bytes for part in every),
        proportional_anonymous_bytes=_sum_if_known(anonymous),
        proportional_file_bytes=_sum_if_known(files),
    )


def _sum_if_known(sizes: Iterable[int | None]) -> int | None:
    total = 0
    for size in sizes:
        if size is None:
            return None
        total += size
    return total


NO_TIME_TO_SPARE = 0.9
CROWDED = 1.25
"""Cpus are crowded where threads used this share of their time, and were this many times as many as the cpus."""


@dataclass(frozen=True, slots=True)
class Affinity(AsList):
    """Threads that may run on the same cpus."""

    cpus: Ids
    threads: NonNegativeInt
    example: str
    """One of them, for messages."""
    library: str = field(default="", metadata=LATER)
    """Path of the library that has moved it out of its slice; "" where it is inside, or none is known."""


@dataclass(frozen=True, slots=True)
class Oversubscription(AsList):
    """More threads than cpus that all worked, on cpus that had no time to spare."""

    cpus: Ids
    threads: NonNegativeInt
    """How many equally busy threads would have shared the cpus as these did, rounded."""
    owners: tuple[str, ...] = field(default=(), metadata=LATER)
    """Whose threads they are (names of thread_pools.POOLS, or of programs), the busiest first; () where not known."""
    processes: NonNegativeInt = field(default=1, metadata=LATER)
    """How many processes the busy ones belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """What was read back of a worker, its children and its daemons at one moment."""

    cpus: Ids
    """Union of the affinity of every thread."""
    threads: NonNegativeInt
    pinned_threads: NonNegativeInt
    """Threads that may run on one cpu only."""
    main_thread_cpus: Ids
    pages: Mapping[NonNegativeInt, NonNegativeInt] | None = field(default=None)
    """Anonymous memory in bytes by node, huge pages included; None where the kernel does not tell (no numa_maps)."""
    peak_memory_bytes: NonNegativeInt = 0
    """Largest resident set of the worker so far, without its children (VmHWM)."""
    huge_pages: Mapping[NonNegativeInt, NonNegativeInt] = field(default_factory=dict)
    """The part of `pages` that is in huge pages (hugetlb), in bytes by node."""
    shared_pages: Mapping[NonNegativeInt, NonNegativeInt] = field(default_factory=dict)
    """Shared memory in bytes by node."""
    file_pages: Mapping[NonNegativeInt, NonNegativeInt] = field(default_factory=dict)
    """Mapped pages of the page cache in bytes by node."""
    transparent_huge_bytes: NonNegativeInt | None = None
    """The part of `pages` that is in transparent huge pages; None where not known."""
    resident: Resident | None = None
    """What of its memory it shares; None where the kernel does not tell (no smaps_rollup), or not of every process."""
    by_policy: Mapping[str, Mapping[NonNegativeInt, NonNegativeInt]] = field(default_factory=dict)
    """`pages` by the policy of their mapping, in the kernel's words such as "bind:1"."""
    unclear: NonNegativeInt = 0
    """Lines of the kernel's texts that were not understood, and processes that were not ours to read."""
    page_looks: NonNegativeInt = 1
    """In how many of `looks` the pages were read; where in none, they are those of the look before."""
    processes: NonNegativeInt = 1
    daemons: NonNegativeInt = 0
    """How many of the processes have left the worker's tree; the launcher adopted them."""
    affinities: tuple[Affinity, ...] = ()
    """Every affinity that some thread has."""
    last_cpus: Ids = frozenset()
    """The cpus that the threads run on or ran on last."""
    openmp: frozenset[str] = frozenset()
    """Files of the OpenMP runtimes that are mapped into any of the processes."""
    openmp_clashes: frozenset[tuple[str, ...]] = frozenset()
    """Runtimes that work side by side within one process."""
    migrations: NonNegativeInt | None = None
    """How often the living threads changed their cpu so far; None where the kernel does not tell."""
    crowd: Oversubscription | None = None
    """The worst crowd since the look before."""
    looks: NonNegativeInt = 1
    """How many looks it stands for: itself, and those before it that said nothing new (see `downsampled`)."""
    crowded_looks: NonNegativeInt = 0
    """How many of them found a crowd."""

    def local_share(self, nodes: Iterable[int]) -> float | None:
        """Share of the anonymous memory that is on these nodes, 0 to 1; None where unknown, none is there or given."""
        total, wanted = sum((self.pages or {}).values()), frozenset(nodes)
        if not total or self.pages is None or not wanted:
            return None
        return sum(self.pages.get(node, 0) for node in wanted) / total


def oversubscription_of(threads: Iterable[tuple[frozenset[int], float]], seconds: float) -> Oversubscription | None:
    """The cpus with the most working threads for each of them; None where every thread had a cpu to itself.

    For every affinity that a thread has: the threads that may run only there. They crowd their cpus where those had
    no time to spare (NO_TIME_TO_SPARE) and the threads' effective number, (sum of t)^2 / sum of t^2 over their cpu
    times t, exceeds the cpus (CROWDED times). Sleeping threads weigh nothing, and helpers little.

    Args:
        threads: affinity and cpu time in seconds of each thread.
        seconds: within which they used it.
    """
    groups: dict[frozenset[int], list[float]] = {}
    for cpus, used in threads:
        group = groups.setdefault(cpus, [0.0, 0.0])
        group[0] += used
        group[1] += used * used
    worst: Oversubscription | None = None
    worst_ratio = CROWDED
    for cpus in groups:
        inside = [group for other, group in groups.items() if other <= cpus]
        total, squares = sum(group[0] for group in inside), sum(group[1] for group in inside)
        if not squares or total < NO_TIME_TO_SPARE * seconds * len(cpus):
            continue
        number = total * total / squares
        if number / len(cpus) >= worst_ratio:
            worst, worst_ratio = Oversubscription(cpus, round(number)), number / len(cpus)
    return worst
