"""Reads the host's counters while a run lasts.

A reading takes about a millisecond (more with thousands of cpus); readings never take more than LARGEST_SHARE of the
launcher's time, but for the first and the last.

Sources: proc(5) (/proc/stat, /proc/vmstat, /proc/PID/stat), Documentation/admin-guide/cgroup-v2.rst and
scheduler/sched-bwc.rst (cpu.stat of both versions) of the Linux kernel.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from ipexlaunch.launch.host_counters import HostReading, Throttling, Waits
from ipexlaunch.machine.proc_files import children_of, is_overmounted, names_in, text_of
from ipexlaunch.machine.topology import Topology

LARGEST_SHARE = 0.05
CLOCKS_READ = 16
"""Cores whose frequency is read: on some kernels each costs an interrupt there."""

STAT = "proc/stat"
FREQUENCY = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_cur_freq"
HEAT = "sys/devices/system/cpu/cpu{}/thermal_throttle/core_throttle_count"


UNTOLD = (
    "/proc/stat is this container's own (lxcfs): what other programs and the hypervisor take from the workers' cores "
    "is not told"
)


class HostCounterReader:
    """Keeps readings of the cores that a launch uses."""

    def __init__(
        self,
        topology: Topology,
        planned: Collection[int],
        clock: Callable[[], float] = time.monotonic,
        root: str = "/",
        overmounted: Callable[[str], bool] = is_overmounted,
    ) -> None:
        """Begin with nothing read.

        Args:
            topology: the machine.
            planned: the workers' cpus; empty for all that are allowed.
            clock: seconds, the same as the supervisor's.
            root: "/" or the folder of a saved tree.
            stand_in: whether a file of /proc is one of the container's (`proc_files.is_overmounted`).
        """
        self.cpus = frozenset(planned) or topology.allowed_cpus
        cores = sorted({topology.by_cpu[cpu].core for cpu in self.cpus if cpu in topology.by_cpu})
        self._cores = [cpu for core in cores for cpu in topology.cores[core]]
        self._clocked = cores[:: max(1, len(cores) // CLOCKS_READ)][:CLOCKS_READ]
        self._hot = cores
        quotas = [limit for limit in topology.limits if limit.quota is not None]
        tightest = min(quotas, key=lambda limit: limit.quota or 0.0, default=None)
        self._throttling = "" if tightest is None else f"{tightest.file.rpartition('/')[0]}/cpu.stat"
        self._clock = clock
        self._root = root.rstrip("/")
        # A container's /proc/stat has other numbers for the cpus, and shows nothing of others that run on them.
        self._counts_cpus = not overmounted(f"{self._root}/{STAT}")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._not_before = float("-inf")
        self._threads: dict[int, _Threads] = {}
        """Of each worker, by its process."""
        self.readings: list[HostReading] = []
        self._told = 0

    def look(self, pid: int | None = None, *, running: Collection[int] = (), must: bool = False) -> None:
        """Read now, unless that would be too often.

        Args:
            pid: a worker that waits for us: what it has used is read whatever it costs.
            running: further workers.
            must: read in any case.
        """
        began = self._clock()
        if began < self._not_before and not must:
            if pid is not None and self.readings:
                last = self.readings[-1]
                # What it had used then is needed too, and what was told stays.
                if pid in last.used_s or self._told == len(self.readings):
                    self.readings.append(self._with_workers(replace(last, time=began), [pid]))
                else:
                    self.readings[-1] = self._with_workers(last, [pid])
            return
        self.readings.append(self._with_workers(self._read(began), [*running, *([] if pid is None else [pid])]))
        ended = self._clock()
        self._not_before = ended + (ended - began) / LARGEST_SHARE

    def news(self) -> list[HostReading]:
        """The readings since the last call."""
        told, self._told = self._told, len(self.readings)
        return self.readings[told:]

    def _with_workers(self, reading: HostReading, pids: Collection[int]) -> HostReading:
        used, waits = dict(reading.used_s), dict(reading.waits)
        for pid in pids:
            time_s = process_time(self._text(f"proc/{pid}/stat"), self._ticks)
            if time_s is not None:
                used[pid] = time_s
                waits[pid] = self._threads.setdefault(pid, _Threads(f"{self._root}/proc")).waits_of(pid)
        return replace(reading, used_s=used, waits=waits)

    def _read(self, now: float) -> HostReading:
        own = resource.getrusage(resource.RUSAGE_SELF)
        times = cpu_times(self._text(STAT), self._cores, self._ticks) if self._counts_cpus else None
        swapped = swapped_pages(self._text("proc/vmstat"))
        return HostReading(
            time=now,
            busy_s=None if times is None else times[0],
            stolen_s=None if times is None else times[1],
            throttling=throttling_in(self._text(self._throttling)) if self._throttling else None,
            swapped_in_pages=None if swapped is None else swapped[0],
            swapped_out_pages=None if swapped is None else swapped[1],
            hot_events=_sum(self._numbers(HEAT, self._hot)),
            frequency_mhz=_mean(self._numbers(FREQUENCY, self._clocked)),
            used_s={os.getpid(): own.ru_utime + own.ru_stime},
            pressure_s=pressure_in(self._text("proc/pressure/cpu")),
        )

    def _numbers(self, pattern: str, cpus: Collection[int]) -> list[int]:
        """What those files hold; nothing where the first is not there, so that most hosts cost one look."""
        found: list[int] = []
        for cpu in cpus:
            text = self._text(pattern.format(cpu)).strip()
            if not text.isdecimal():
                break
            found.append(int(text))
        return found

    def _text(self, path: str) -> str:
        return text_of(f"{self._root}/{path}") or ""


class _Threads:
    """What the threads of one worker and its children have run and waited; those that have ended keep their last."""

    def __init__(self, proc: str) -> None:
        self._proc = proc
        self._seen: dict[int, tuple[int, int]] = {}
        self._former = [0, 0]
        """Of threads whose number another one has now."""

    def waits_of(self, pid: int) -> Waits:
        """All that was ever seen.

        Args:
            pid: of the worker.
        """
        processes, known = [pid], {pid}
        for process in processes:  # grows
            for name in names_in(f"{self._proc}/{process}/task"):
                thread = f"{self._proc}/{process}/task/{name}"
                children = [child for child in children_of(thread) if child not in known]
                processes += children
                known.update(children)
                times = thread_times(text_of(f"{thread}/schedstat") or "")
                if times is not None:
                    self._keep(int(name), times)
        ran = self._former[0] + sum(ran for ran, _ in self._seen.values())
        waited = self._former[1] + sum(waited for _, waited in self._seen.values())
        return Waits(ran_s=ran / 1e9, waited_s=waited / 1e9)

    def _keep(self, thread: int, times: tuple[int, int]) -> None:
        before = self._seen.get(thread, (0, 0))
        if times[0] < before[0]:
            self._former = [self._former[0] + before[0], self._former[1] + before[1]]
        self._seen[thread] = times


def _sum(numbers: list[int]) -> int | None:
    return sum(numbers) if numbers else None


def _mean(khz: list[int]) -> float | None:
    return sum(khz) / len(khz) / 1000 if khz else None


def count_oom_kills(proc: str = "/proc") -> int | None:
    """The kernel's own count; None where it does not tell (before Linux 4.13, or a masked /proc).

    Args:
        proc: root of procfs; another directory in tests.

    Source: oom_kill in /proc/vmstat (mm/oom_kill.c, __oom_kill_process); it counts every kind, a memory policy's or a
    cgroup's too.
    """
    try:
        with open(f"{proc}/vmstat", "rb") as file:
            for line in file:
                if line.startswith(b"oom_kill "):
                    return int(line.split()[1])
    except OSError:
        return None
    return None


def cpu_times(text: str, cpus: Collection[int], ticks_a_second: int) -> tuple[float, float] | None:
    """(busy, stolen) seconds of these cpus from the text of /proc/stat; None where a cpu is missing or nothing counts.

    Args:
        text: the file.
        cpus: which.
        ticks_a_second: USER_HZ.
    """
    busy = stolen = total = 0
    missing = set(cpus)
    for line in text.splitlines():
        if not line.startswith("cpu") or line.startswith("cpu "):
            continue
        words = line.split()
        name = words[0][3:]
        if not name.isdecimal() or int(name) not in missing or len(words) < 9:
            continue
        missing.discard(int(name))
        user, nice, system, idle, iowait, irq, softirq, steal = map(int, words[1:9])
        total += idle + iowait
        busy += user + nice + system + irq + softirq
        stolen += steal
    if missing or not total + busy + stolen:  # gVisor's has a line for each cpu, of zeros
        return None
    return busy / ticks_a_second, stolen / ticks_a_second


def throttling_in(text: str) -> Throttling | None:
    """The figures in the text of a cpu.stat; None where it has none.

    Args:
        text: of cgroup v2 (throttled_usec) or v1 (throttled_time, in nanoseconds).
    """
    numbers = _pairs(text)
    if "nr_periods" not in numbers or "nr_throttled" not in numbers:
        return None
    stopped_s = numbers.get("throttled_usec", 0) / 1e6 + numbers.get("throttled_time", 0) / 1e9
    return Throttling(periods=numbers["nr_periods"], stopped_periods=numbers["nr_throttled"], stopped_s=stopped_s)


def thread_times(text: str) -> tuple[int, int] | None:
    """Nanoseconds that a thread (ran, was ready and waited for a cpu), from its schedstat; None where that is empty.

    Source: Documentation/scheduler/sched-stats.rst; without CONFIG_SCHED_INFO the file is missing or holds zeros.
    """
    words = text.split()
    return (int(words[0]), int(words[1])) if len(words) >= 2 and words[0].isdecimal() and words[1].isdecimal() else None


def pressure_in(text: str) -> float | None:
    """Seconds that some thread waited, from the text of /proc/pressure/cpu; None where the kernel has none.

    Source: Documentation/accounting/psi.rst.
    """
    for line in text.splitlines():
        total = line.rpartition("total=")[2]
        if line.startswith("some ") and total.isdecimal():
            return int(total) / 1e6
    return None


def swapped_pages(text: str) -> tuple[int, int] | None:
    """(in, out) from the text of /proc/vmstat; None where the kernel has no swap."""
    numbers = _pairs(text)
    return (numbers["pswpin"], numbers["pswpout"]) if {"pswpin", "pswpout"} <= numbers.keys() else None


def _pairs(text: str) -> dict[str, int]:
    pairs = (line.split() for line in text.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdecimal()}


def process_time(text: str, ticks_a_second: int, *, children: bool = True) -> float | None:
    """Cpu time in seconds from the text of /proc/PID/stat; None where it is none.

    Args:
        text: one line; the name in brackets may hold anything.
        ticks_a_second: USER_HZ.
        children: whether those that it waited for count too.
    """
    words = text.rpartition(")")[2].split()
    if len(words) < 15 or not all(word.lstrip("-").isdecimal() for word in words[11:15]):
        return None
    user, system, of_children, system_of_children = map(int, words[11:15])
    return (user + system + (of_children + system_of_children if children else 0)) / ticks_a_second
