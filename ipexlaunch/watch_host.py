"""Reads the host's counters while a run lasts.

A reading takes about a millisecond (more with thousands of cpus); readings never take more than LARGEST_SHARE of the
launcher's time, but for the first and the last.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable, Collection

from ipexlaunch.host_reading import HostReading, cpu_times, process_time, swapped_pages, throttling_in
from ipexlaunch.proc_files import is_stand_in, text_of
from ipexlaunch.topology import Topology

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


class HostWatch:
    """Keeps readings of the cores that a launch uses."""

    def __init__(
        self,
        topology: Topology,
        planned: Collection[int],
        clock: Callable[[], float] = time.monotonic,
        root: str = "/",
        stand_in: Callable[[str], bool] = is_stand_in,
    ) -> None:
        """Begin with nothing read.

        Args:
            topology: the machine.
            planned: the workers' cpus; empty for all that are allowed.
            clock: seconds, the same as the supervisor's.
            root: "/" or the folder of a saved tree.
            stand_in: whether a file of /proc is one of the container's (`proc_files.is_stand_in`).
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
        # A container's /proc/stat numbers the cpus anew, and knows nothing of who else runs on them.
        self._counts_cpus = not stand_in(f"{self._root}/{STAT}")
        self._ticks = os.sysconf("SC_CLK_TCK")
        self._not_before = float("-inf")
        self.readings: list[HostReading] = []

    def look(self, pid: int | None = None, *, must: bool = False) -> None:
        """Read now, unless that would be too often.

        Args:
            pid: a worker whose cpu time is read too.
            must: read in any case.
        """
        began = self._clock()
        used = self._used(pid)
        if began < self._not_before and not must:
            if used and self.readings:  # what the worker has used is needed whatever it costs: one file
                self.readings[-1] = _with(self.readings[-1], used)
            return
        self.readings.append(self._read(began, used))
        ended = self._clock()
        self._not_before = ended + (ended - began) / LARGEST_SHARE

    def _used(self, pid: int | None) -> dict[int, float]:
        if pid is None:
            return {}
        used = process_time(self._text(f"proc/{pid}/stat"), self._ticks)
        return {} if used is None else {pid: used}

    def _read(self, now: float, used: dict[int, float]) -> HostReading:
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
            used_s={**used, os.getpid(): own.ru_utime + own.ru_stime},
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


def _with(reading: HostReading, used: dict[int, float]) -> HostReading:
    from dataclasses import replace

    return replace(reading, used_s={**reading.used_s, **used})


def _sum(numbers: list[int]) -> int | None:
    return sum(numbers) if numbers else None


def _mean(khz: list[int]) -> float | None:
    return sum(khz) / len(khz) / 1000 if khz else None
