"""What the supervisor writes down of each worker while it runs: the raw facts that the report is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.launch.announced import Told
from ipexlaunch.launch.host_counters import HostReading
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.binding import Binding
from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.samples import Samples
from ipexlaunch.plan.plan import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord:
    """One worker from start to exit."""

    instance: Instance
    pid: int | None
    """None where it could not be started."""
    started: float
    ready: float | None
    """When it had warmed up; None where it never said so."""
    finished: float | None
    """When it said that it counted its last item."""
    exit_code: int
    """In the shell's sense: 128 + signal."""
    samples: Samples
    binding: Binding | None
    placements: tuple[Placement, ...]
    """Read back after warm-up and at the end, as far as the worker lived to see it."""
    cpu_s: float = 0.0
    """User and system time of the process and the children that it waited for."""
    peak_memory_bytes: int = 0
    """Largest resident set as wait4(2) told it; 0 where it cannot be told from the launcher's own."""
    log: str = ""
    told: Told | None = None
    """Its phases, durations, facts and doubts; None where it said nothing."""
    claimed_rate: float | None = None
    """What it printed last of its own rate; None where nobody asked, or it printed none."""
    exited: float | None = None
    """When its process was collected; None where there never was one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that happened, before anything is computed from it."""

    records: Sequence[WorkerRecord]
    started: float
    go: float | None
    """When the first worker was given the start, together with the others unless each has its own; None where none
    asked for one."""
    ended: float
    failures: tuple[Failure, ...]
    signal: int | None
    """The signal that interrupted the run."""
    exit_code: int
    fed: bool = False
    """Whether workers took their items from a queue: one may have found none left."""
    fed_together: bool = False
    """Whether those began together all the same, because they were measured."""
    notes: tuple[str, ...] = ()
    recovered: tuple[Failure, ...] = ()
    """Failures that a restart answered, or that came when nothing was left to be done."""
    signalled: float | None = None
    """When that signal came."""
    host: tuple[HostReading, ...] = ()
    """Counters of the host, earliest first."""
    host_cpus: int = 0
    """How many cpus the workers may use, where the plan names none."""
    over: bool = True
    """False for one that lasts, or whose end nobody wrote down because its launcher was killed; `ended` is then the
    last moment that is known of it."""

    def saw_end_of(self, record: WorkerRecord) -> bool:
        """Whether a worker's end is known, or is as good as known because the run is over."""
        return self.over or record.exited is not None
