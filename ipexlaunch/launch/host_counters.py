"""What the host's counters said at one moment of a run."""

from __future__ import annotations

from collections.abc import Mapping
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
