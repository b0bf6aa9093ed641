"""The threads of a worker and of the processes below it, and whose they are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

from ipexlaunch.doctor.pinning_libraries import library_that_moved
from ipexlaunch.doctor.thread_pools import pool_of_thread
from ipexlaunch.launch.placement.placement import Affinity, Oversubscription
from ipexlaunch.launch.placement.proc_text import ThreadStat, thread_stat
from ipexlaunch.machine.proc_files import ThreadStarts, children_of, line_of, names_in, text_of

OWNERS_SHARE = 0.1
"""Whose threads had less of a crowd's cpu time are not named."""

MOST_ASKED = 8
"""So many threads outside of their slice are asked where they began: that takes milliseconds each, and one will do."""


class Thread(NamedTuple):
    """One thread at one look."""

    process: int
    number: int
    affinity: frozenset[int]
    stat: ThreadStat | None


def threads_of(
    processes: Sequence[int], proc: str, affinity_of: Callable[[int], Collection[int]]
) -> tuple[list[int], list[Thread]]:
    """These processes with all below them, parents first, and the threads of all.

    Args:
        processes: ids.
        proc: root of procfs.
        affinity_of: the cpus that a thread may run on.
    """
    found, threads = list(processes), []
    for process in found:
        tasks = f"{proc}/{process}/task"
        for name in names_in(tasks):
            try:
                affinity = frozenset(affinity_of(int(name)))
                text = line_of(f"{tasks}/{name}/stat")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended between the listing and the reading
            except OSError:
                affinity, text = frozenset(), ""  # not ours to ask: a gap, which is told
            threads.append(Thread(process, int(name), affinity, thread_stat(text)))
            found += children_of(f"{tasks}/{name}")
    return found, threads


def grouped(threads: Sequence[Thread], planned: frozenset[int], proc: str) -> tuple[Affinity, ...]:
    """Threads by what they may run on; of one outside of its slice the library that has moved it, where that is known.

    Args:
        threads: of a worker and all below it.
        planned: the worker's cpus; empty where it is not bound.
        proc: root of procfs.
    """
    groups: dict[frozenset[int], list[Thread]] = {}
    for thread in threads:
        groups.setdefault(thread.affinity, []).append(thread)
    strayed, library = _moved([thread for thread in threads if planned and thread.affinity - planned], proc)
    return tuple(
        Affinity(cpus, len(group), _name(strayed), library)
        if strayed is not None and cpus == strayed.affinity
        else Affinity(cpus, len(group), _name(group[0]))
        for cpus, group in groups.items()
    )


def _moved(threads: Sequence[Thread], proc: str) -> tuple[Thread | None, str]:
    """The first thread of which a library can be named that has moved it, and the library's path."""
    starts: dict[int, ThreadStarts] = {}
    for thread in threads[:MOST_ASKED]:
        if thread.process not in starts:
            starts[thread.process] = ThreadStarts(thread.process, proc)
        of_process = starts[thread.process]
        begins_in = of_process.begins_in(thread.number)
        variables = (text_of(f"{proc}/{thread.process}/environ") or "").split("\0")
        path = library_that_moved(begins_in, of_process.mapped, variables, is_main=thread.number == thread.process)
        if path:
            return thread, path
    return None, ""


def _name(thread: Thread) -> str:
    name = thread.stat.name if thread.stat is not None else "?"
    return f"thread {thread.number} {name!r} of process {thread.process}"


def with_owners(crowd: Oversubscription, busy: Sequence[tuple[Thread, float]], proc: str) -> Oversubscription:
    """The crowd with whose threads they are: of each process that of its pool, or the program itself.

    Args:
        crowd: found among them.
        busy: its threads, each with the cpu time that it has used.
        proc: root of procfs.
    """
    total = sum(seconds for _, seconds in busy)
    shares: dict[str, float] = {}
    members = {thread.process for thread, _ in busy}
    weighty: set[int] = set()
    for process in members:
        starts = ThreadStarts(process, proc)
        own: dict[str, float] = {}
        for thread, seconds in busy:
            if thread.process == process:
                name = thread.stat.name if thread.stat is not None else ""
                owner = pool_of_thread(starts.begins_in(thread.number), name, starts.program, starts.mapped)
                own[owner] = own.get(owner, 0.0) + seconds
        rest = own.pop("", 0.0)
        if not own:
            own[_program_of(starts, many=len(members) > 1)] = 0.0
        most = max(own, key=lambda name: own[name])
        own[most] += rest  # a main thread works for the pool that it has started
        for owner, seconds in own.items():
            shares[owner] = shares.get(owner, 0.0) + seconds
        if sum(own.values()) >= OWNERS_SHARE * total / len(members):
            weighty.add(process)
    names = sorted((name for name in shares if shares[name] >= OWNERS_SHARE * total), key=lambda name: -shares[name])
    return replace(crowd, owners=tuple(filter(None, names)), processes=len(weighty))


def _program_of(starts: ThreadStarts, *, many: bool) -> str:
    """Whose threads are those that no library or name tells."""
    if starts.is_go():
        return "Go"
    name = starts.program.rpartition("/")[2]
    return (pool_of_thread(starts.program, "", starts.program, ()) if many else "") or name
