"""What the supervisor writes down of each worker while it runs: the raw facts that the report is computed from."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipexlaunch.binding import Binding
    from ipexlaunch.lifecycle import Failure
    from ipexlaunch.placement import Placement
    from ipexlaunch.plan.instances import Instance

UNKNOWN = float("nan")
"""A latency that was not reported."""


@dataclass(slots=True)
class Samples:
    """Every count of one worker, in columns of 8 bytes, so that an hour of ten counts a second is 1 MB."""

    times: array[float] = field(default_factory=lambda: array("d"))
    """When the items were done, seconds of the monotonic clock."""
    items: array[int] = field(default_factory=lambda: array("q"))
    tokens: array[int] = field(default_factory=lambda: array("q"))
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    """How long the call took; NaN where it was not reported."""

    def add(self, time: float, items: int, tokens: int = 0, latency_s: float = UNKNOWN) -> None:
        """Append one count."""
        self.times.append(time)
        self.items.append(items)
        self.tokens.append(tokens)
        self.latencies_s.append(latency_s)


@dataclass(slots=True)
class Tally:
    """Running totals of samples, so that a look at a long run does not add them all up again."""

    items: int = 0
    tokens: int = 0
    seen: int = 0
    """How many samples are in the totals."""

    def update(self, samples: Samples) -> None:
        """Add what has come since the last call."""
        self.items += sum(samples.items[self.seen :])
        self.tokens += sum(samples.tokens[self.seen :])
        self.seen = len(samples.items)


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
    """Largest resident set of a process that was never inspected; 0 where it cannot be told from the launcher's own."""
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Everything that happened, before anything is computed from it."""

    records: Sequence[WorkerRecord]
    started: float
    go: float | None
    """The common start of all workers; None where none asked for one."""
    ended: float
    failures: tuple[Failure, ...]
    signal: int | None
    """The signal that interrupted the run."""
    exit_code: int
    notes: tuple[str, ...] = ()
