"""Read back where a worker, its children and its daemons really are: affinity and use of every thread, pages by node.

A look costs what the kernel needs to write its texts: about 30 microseconds for a thread, and a walk through the page
tables for the pages (measured by benchmarks/proof.py). Looks between the first and the last are therefore left out
where they would cost more than a fixed share of one core for all workers together.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection
from dataclasses import KW_ONLY, dataclass, field, replace

from ipexlaunch.launch.placement import proc_text
from ipexlaunch.launch.placement.placement import Placement, Resident, oversubscription_of, together
from ipexlaunch.launch.placement.proc_text import Memory
from ipexlaunch.launch.placement.read_threads import Thread, grouped, threads_of, with_owners
from ipexlaunch.machine.cpulist import Ids
from ipexlaunch.machine.proc_files import ThreadStarts, children_of, names_in, text_of

THREADS_SHARE = 0.005
PAGES_SHARE = 0.001
"""Most of one core's time that looks at running workers may take, all workers together: threads, pages."""

ADOPTED_S = 1.0
"""How old the list of the launcher's own children may be at a glance."""

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
PAGE_KB = os.sysconf("SC_PAGE_SIZE") // 1024

WORKER_INDEX = "IPEXLAUNCH_INDEX"
"""Variable that a worker's descendants inherit; it tells whose a daemon is."""


@dataclass(slots=True)
class _Known:
    """What is kept of one worker from look to look."""

    looked_at: float | None = None
    threads_cost_s: float = 0.0
    pages_at: float = 0.0
    pages_cost_s: float = 0.0
    ticks: dict[tuple[int, int], int] = field(default_factory=dict)
    """Cpu time by (thread, when it was started)."""
    last: Placement | None = None


@dataclass(slots=True)
class Inspector:
    """Looks at workers again and again; keeps of each what the next look is compared with."""

    proc: str = "/proc"
    """Root of procfs; another directory in tests."""
    _: KW_ONLY
    affinity: Callable[[int], Collection[int]] = os.sched_getaffinity
    """The cpus that a thread may run on."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, monotonic."""
    cpu_clock: Callable[[], float] = time.thread_time
    """Seconds of cpu time of the calling thread."""
    launcher: int = field(default_factory=os.getpid)
    """The process that adopts daemons (PR_SET_CHILD_SUBREAPER)."""
    _known: dict[int, _Known] = field(default_factory=dict, init=False)
    _indices: dict[int, str] = field(default_factory=dict, init=False)
    _adopted_at: float = field(default=-ADOPTED_S, init=False)

    def __call__(self, pid: int, planned: Ids = frozenset()) -> Placement | None:
        """Look at everything, whatever it costs; None where the worker is gone.

        Args:
            pid: the worker's process id.
            planned: the cpus that it was bound to; empty where it was not.
        """
        return self._look(pid, planned, whole=True)

    def glance(self, pid: int, planned: Ids = frozenset()) -> Placement | None:
        """Look at what may be looked at without costing more than the fixed shares; None where that is nothing.

        The first glance at a worker is a whole look.

        Args:
            pid: the worker's process id.
            planned: the cpus that it was bound to; empty where it was not.
        """
        known = self._known.get(pid)
        if known is None or known.looked_at is None:
            return self._look(pid, planned, whole=True)
        if not self._due(known.looked_at, known.threads_cost_s, THREADS_SHARE):
            return None
        return self._look(pid, planned, whole=False)

    def _due(self, last: float, cost_s: float, share: float) -> bool:
        return self.clock() - last >= cost_s * len(self._known) / share

    def _look(self, pid: int, planned: Ids, *, whole: bool) -> Placement | None:
        begun = self.cpu_clock()
        known = self._known.get(pid)
        if known is None:
            for other in [other for other in self._known if not os.path.exists(f"{self.proc}/{other}")]:
                del self._known[other]
            known = self._known[pid] = _Known()
        processes, threads = threads_of([pid], self.proc, self.affinity)
        daemons, their_threads = threads_of(self._daemons(pid, afresh=whole), self.proc, self.affinity)
        processes, threads = processes + daemons, threads + their_threads
        main = next((thread for thread in threads if thread.number == pid), None)
        alive = [thread for thread in threads if thread.stat is None or thread.stat.state not in "ZX"]
        if main is None or not alive:
            del self._known[pid]
            return None
        now = self.clock()
        used = self._used(known, alive)
        crowd = None
        if known.looked_at is not None and now > known.looked_at:
            crowd = oversubscription_of([(thread.affinity, seconds) for thread, seconds in used], now - known.looked_at)
        if crowd is not None:
            busy = [(thread, seconds) for thread, seconds in used if seconds and thread.affinity <= crowd.cpus]
            crowd = with_owners(crowd, busy, self.proc)
        with_pages = whole or self._due(known.pages_at, known.pages_cost_s, PAGES_SHARE)
        known.looked_at, known.threads_cost_s = now, self.cpu_clock() - begun
        affinities = {thread.affinity for thread in alive}
        seen = Placement(
            cpus=frozenset().union(*affinities),
            threads=len(alive),
            pinned_threads=sum(len(thread.affinity) == 1 for thread in alive),
            main_thread_cpus=main.affinity,
            peak_memory_bytes=proc_text.peak_memory_bytes_of(text_of(f"{self.proc}/{pid}/status") or ""),
            unclear=sum(thread.stat is None for thread in alive),
            page_looks=0,
            processes=len({thread.process for thread in alive}),
            daemons=len(daemons),
            affinities=grouped(alive, planned, self.proc),
            last_cpus=frozenset(thread.stat.last_cpu for thread in alive if thread.stat is not None),
            crowd=crowd,
            crowded_looks=int(crowd is not None),
        )
        if with_pages:
            begun = self.cpu_clock()
            seen = self._with_pages(seen, processes, alive)
            known.pages_at, known.pages_cost_s = now, self.cpu_clock() - begun
            if whole:
                moves = [count for thread in alive if (count := self._migrations(thread)) is not None]
                seen = replace(seen, migrations=sum(moves) if moves else None)
        elif known.last is not None:
            seen = replace(
                seen,
                unclear=max(seen.unclear, known.last.unclear),
                **{name: getattr(known.last, name) for name in FROM_PAGES},
            )
        known.last = seen
        return seen

    def _with_pages(self, seen: Placement, processes: list[int], threads: list[Thread]) -> Placement:
        """What is read of whole processes: their pages and mapped files."""
        memories: list[Memory] = []
        residents: list[Resident] = []
        huge_sizes: list[int] = []
        unread, told, complete = 0, True, True
        living = {thread.process for thread in threads}
        openmp: set[str] = set()
        clashes: set[tuple[str, ...]] = set()
        for process in processes:
            where = f"{self.proc}/{process}"
            numa_maps = text_of(f"{where}/numa_maps")
            if numa_maps is not None:
                memories.append(proc_text.memory_of(numa_maps, PAGE_KB))
            elif os.path.exists(f"{where}/numa_maps"):
                unread += 1
            elif process == processes[0]:
                told = False
            # A second walk through the page tables: its time is in what a look at pages costs.
            rollup = text_of(f"{where}/smaps_rollup") or ""
            if (resident := proc_text.resident_of(rollup)) is not None:
                residents.append(resident)
            elif process in living and os.path.exists(f"{where}/smaps_rollup"):
                complete = False
            if (size := proc_text.transparent_huge_bytes_of(rollup)) is not None:
                huge_sizes.append(size)
            files = proc_text.openmp_of(text_of(f"{where}/maps") or "")
            openmp |= files
            if len(files) > 1:
                preload = proc_text.variable_of(text_of(f"{where}/environ") or "", "LD_PRELOAD")
                mine = [thread.number for thread in threads if thread.process == process]
                begun = ThreadStarts(process, self.proc).files_of(mine)
                clash = proc_text.openmp_clash(files & begun, preload or "")
                clashes |= {clash} if clash else set()
        memory = proc_text.sum_of(memories)
        return replace(
            seen,
            pages=proc_text.sum_by_node(memory.anonymous, memory.huge) if told else None,
            huge_pages=memory.huge,
            shared_pages=memory.shared,
            file_pages=memory.file,
            transparent_huge_bytes=sum(huge_sizes) if huge_sizes else None,
            resident=together(residents) if complete else None,
            by_policy=memory.by_policy,
            unclear=seen.unclear + memory.unclear + unread,
            page_looks=1,
            openmp=frozenset(openmp),
            openmp_clashes=frozenset(clashes),
        )

    def _migrations(self, thread: Thread) -> int | None:
        text = text_of(f"{self.proc}/{thread.process}/task/{thread.number}/sched")
        return None if text is None else proc_text.migrations_of(text)

    def _used(self, known: _Known, threads: list[Thread]) -> list[tuple[Thread, float]]:
        """Every thread with its cpu time since the look before; all of it for one that is new since."""
        ticks: dict[tuple[int, int], int] = {}
        used: list[tuple[Thread, float]] = []
        for thread in threads:
            if thread.stat is not None:
                key = thread.number, thread.stat.started
                ticks[key] = thread.stat.ticks
                used.append((thread, (thread.stat.ticks - known.ticks.get(key, 0)) * TICK_S))
        known.ticks = ticks
        return used

    def _daemons(self, pid: int, *, afresh: bool) -> list[int]:
        """Processes that this worker's descendants left behind: the launcher's children that carry its index."""
        now = self.clock()
        if afresh or now >= self._adopted_at + ADOPTED_S:
            self._adopted_at = now
            children: list[int] = []
            for thread in names_in(f"{self.proc}/{self.launcher}/task"):
                children += children_of(f"{self.proc}/{self.launcher}/task/{thread}")
            known, self._indices = self._indices, {}
            for child in children:
                # One without an index is asked again: it may be on the way from its fork to its exec.
                index = known.get(child) or proc_text.variable_of(
                    text_of(f"{self.proc}/{child}/environ") or "", WORKER_INDEX
                )
                if index:
                    self._indices[child] = index
        mine = self._indices.get(pid)
        return [child for child, index in self._indices.items() if index == mine and child != pid]


FROM_PAGES = (
    "pages",
    "huge_pages",
    "shared_pages",
    "file_pages",
    "transparent_huge_bytes",
    "resident",
    "by_policy",
    "openmp",
    "openmp_clashes",
    "migrations",
)
"""Fields of a placement that a look without pages takes over from the look before."""
