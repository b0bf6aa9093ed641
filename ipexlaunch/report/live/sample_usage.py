"""Look at what workers use: cpu time by psutil, memory as the kernel tells it, seldom enough to disturb nobody."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar

from ipexlaunch.launch.placement import proc_text
from ipexlaunch.launch.placement.placement import together
from ipexlaunch.machine.proc_files import descendants, text_of
from ipexlaunch.report.live.status import Usage

if TYPE_CHECKING:
    import psutil

Key = TypeVar("Key", bound=Hashable)

MEMORY_INTERVAL_S = 10.0
"""The kernel walks a process's page tables for both texts, and page faults wait meanwhile."""

TREE_INTERVAL_S = 2.0
"""Between two searches for processes below the workers."""

LARGEST_SHARE = 0.01
"""A look that took long is repeated so much later that looking costs at most this share of a core."""


@dataclass(slots=True)
class _Seen:
    """One worker, as far as it is known."""

    pid: int
    processes: dict[int, psutil.Process] = field(default_factory=dict)
    own_s: dict[int, float] = field(default_factory=dict)
    """Process id to its own cpu time at the previous look."""
    at: float | None = None
    cpu_s: float = 0.0
    memory: Mapping[int, int] | None = None
    proportional: int | None = None


class _Turn:
    """When something that costs time is due again."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.due = float("-inf")

    def done(self, began: float, ended: float) -> None:
        self.due = ended + max(self.interval_s, (ended - began) / LARGEST_SHARE)


class UsageSampler(Generic[Key]):
    """Remembers the previous look, so that the next can tell what was used in between."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, proc: str = "/proc") -> None:
        """Begin with nothing seen.

        Args:
            clock: seconds, monotonic.
            proc: root of procfs, for numa_maps and the processes below a worker.
        """
        self._clock = clock
        self._proc = proc
        self._seen: dict[Key, _Seen] = {}
        self._trees = _Turn(TREE_INTERVAL_S)
        self._memory = _Turn(MEMORY_INTERVAL_S)

    def sample(self, pids: Mapping[Key, int]) -> dict[Key, Usage]:
        """What each worker and the processes below it use now; who is gone has no entry.

        Args:
            pids: the workers' process ids.
        """
        self._seen = {key: seen for key, seen in self._seen.items() if pids.get(key) == seen.pid}
        new = [key for key in pids if key not in self._seen]
        self._seen.update({key: _Seen(pids[key]) for key in new})
        began = self._clock()
        every = began >= self._trees.due
        for key in self._seen if every else new:
            self._find_processes(self._seen[key])
        if every:
            self._trees.done(began, self._clock())
        began = self._clock()
        if began >= self._memory.due:
            for seen in self._seen.values():
                seen.memory, seen.proportional = self._memory_of(seen), self._proportional_of(seen)
            self._memory.done(began, self._clock())
        usages = {key: self._usage(seen) for key, seen in self._seen.items()}
        return {key: usage for key, usage in usages.items() if usage is not None}

    def _find_processes(self, seen: _Seen) -> None:
        import psutil

        found: dict[int, psutil.Process] = {}
        for pid in [seen.pid, *descendants(seen.pid, self._proc)]:
            known = seen.processes.get(pid)
            try:
                found[pid] = known if known is not None and known.is_running() else psutil.Process(pid)
            except psutil.Error:
                continue  # it ended meanwhile
            if found[pid] is not known:
                seen.own_s.pop(pid, None)
        seen.processes = found

    def _memory_of(self, seen: _Seen) -> Mapping[int, int] | None:
        # One without a text has ended meanwhile, or this kernel has no nodes.
        texts = [text_of(f"{self._proc}/{pid}/numa_maps") for pid in seen.processes]
        memories = [proc_text.memory_of(text) for text in texts if text is not None]
        total = proc_text.sum_of(memories)
        return proc_text.sum_by_node(total.anonymous, total.huge) if memories else None

    def _proportional_of(self, seen: _Seen) -> int | None:
        texts = [text_of(f"{self._proc}/{pid}/smaps_rollup") for pid in seen.processes]
        total = together(found for text in texts if (found := proc_text.resident_of(text or "")) is not None)
        return None if total is None else total.proportional_bytes

    def _usage(self, seen: _Seen) -> Usage | None:
        import psutil

        now = self._clock()
        own: dict[int, float] = {}
        waited_for = 0.0
        for pid, process in seen.processes.items():
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            own[pid] = times.user + times.system
            waited_for += times.children_user + times.children_system
        if not own:
            return None
        busy = None
        if seen.at is not None and now > seen.at:
            busy = sum(max(0.0, used - seen.own_s[pid]) for pid, used in own.items() if pid in seen.own_s)
            busy /= now - seen.at
        # A process that was killed and never waited for takes its time with it; a counter must not fall.
        seen.cpu_s = max(seen.cpu_s, sum(own.values()) + waited_for)
        seen.at, seen.own_s = now, own
        return Usage(busy_cpus=busy, cpu_s=seen.cpu_s, memory=seen.memory, proportional=seen.proportional)
