"""What the host's counters said at one moment of a run, and how to read it from the kernel's texts.

Sources: proc(5) (/proc/stat, /proc/vmstat, /proc/PID/stat), Documentation/admin-guide/cgroup-v2.rst and
scheduler/sched-bwc.rst (cpu.stat of both versions) of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ipexlaunch.documents.fields import AnyFloat, AnyInt, NonNegativeInt, Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttling:
    """How often and how long a cgroup's quota has stopped what runs in it."""

    periods: AnyInt
    stopped_periods: AnyInt
    stopped_s: Seconds
    """Summed over cpus."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What the scheduler counts of threads."""

    ran_s: Seconds
    waited_s: Seconds
    """That they were ready and waited for a cpu."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostReading:
    """Counters since boot; None where the kernel does not tell."""

    time: Seconds
    """Seconds of the monotonic clock."""
    busy_s: Seconds | None = None
    """That the cpus of the planned cores, siblings included, ran anything at all."""
    stolen_s: Seconds | None = None
    """That the hypervisor gave their time to others while they wanted to run."""
    throttling: Throttling | None = None
    """Of the tightest quota above this process; None where there is none."""
    swapped_in_pages: AnyInt | None = None
    swapped_out_pages: AnyInt | None = None
    hot_events: AnyInt | None = None
    """How often the planned cores lowered their clock because of heat."""
    frequency_mhz: AnyFloat | None = None
    """Mean of the planned cores."""
    used_s: Mapping[NonNegativeInt, Seconds] = field(default_factory=dict)
    """Process to its cpu time, children that it waited for included: the worker that was looked at, and the launcher,
    without children."""
    waits: Mapping[NonNegativeInt, Waits] = field(default_factory=dict)
    """Process of a worker to what all threads that were ever seen of it, and of its children, have run and waited."""
    pressure_s: Seconds | None = None
    """That some thread of the host was ready and waited for a cpu."""


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
    numbers = _numbers(text)
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
    numbers = _numbers(text)
    return (numbers["pswpin"], numbers["pswpout"]) if {"pswpin", "pswpout"} <= numbers.keys() else None


def _numbers(text: str) -> dict[str, int]:
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
