"""What stands around the supervisor: acts that it needs, who observes it, what becomes of output, who gives items."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from ipexlaunch.launch.confine import BindThread, Confinement
from ipexlaunch.launch.placement.placement import Binding, Placement
from ipexlaunch.launch.run_events import RunEvent
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.message_protocol import WorkerMessage
from ipexlaunch.launch.throughput_regex import LineRule
from ipexlaunch.launch.wait_for_disk import DiskThread
from ipexlaunch.machine.cpulist import Ids
from ipexlaunch.plan.plan import Instance

LONG_PHASE_S = 5.0
"""What is over sooner is not worth a line."""


@dataclass(frozen=True, kw_only=True)
class SupervisorCallbacks:
    """The acts that the supervisor needs from elsewhere, each a function, so that a test can give its own."""

    bind_thread: BindThread
    """Binds the calling thread to (cpus, memory policy, nodes) within a context."""
    read_placement: Callable[[int, Ids], Placement | None]
    """Reads back where a process is that was bound to these cpus, whatever it costs; None where it is gone."""
    read_placement_if_cheap: Callable[[int, Ids], Placement | None]
    """The same within a fixed share of a core; None where it is gone or not due."""
    descendants: Callable[[int], list[int]]
    """The processes below a process."""
    oom_kills: Callable[[], int | None]
    """How many processes the kernel has killed for want of memory since it started; None where it does not tell."""
    tell: Callable[[str], None]
    """Says a line to the user."""
    confinement: Confinement | None = None
    """Has cgroups for the workers; None where they get none of their own."""
    clock: Callable[[], float] = time.monotonic
    """Seconds, the same clock as the workers'."""

    def start_bound(self, instance: Instance, start: Callable[[Binding], None]) -> None:
        """Start a worker from a thread that is in its place already, and is held there.

        Args:
            instance: where.
            start: starts it; is told what the kernel accepted.

        Raises:
            OSError: it cannot be started.
            BindError: its cpus are unavailable, or something else that is required.
        """
        if self.confinement is not None:
            self.confinement.start(instance, self.bind_thread, start)
            return
        with self.bind_thread(instance.cpus, instance.memory, instance.nodes) as binding:
            start(binding)


class Observer:
    """Something that is told how the run stands; it must not fail the run and must not take long.

    Whoever needs only some of it leaves the other methods as they are.
    """

    interval_s: float | None = None
    """How often `tick` is wanted; None for never."""

    def begin(self, add: Callable[[RunEvent], None]) -> None:
        """The run is about to begin; `add` adds to its events what the observer itself finds out."""

    def on_event(self, event: RunEvent) -> None:
        """Something has happened; each event once."""

    def on_looked(self, pid: int, *, waits: bool) -> None:
        """A worker is looked at; `waits`: until we are done, so that nothing moves."""

    def on_released(self) -> None:
        """The start has been given to workers that have waited for other hosts, an instant ago."""

    def on_ended(self, pid: int) -> None:
        """A worker's process has ended and is not forgotten by the kernel yet."""

    def fileno(self) -> int | None:
        """A descriptor that the loop waits for on its behalf; None for none."""
        return None

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Its descriptor is readable; `now` makes a snapshot."""

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """An interval has passed, or the run is over; `now` makes a snapshot."""

    def close(self) -> None:
        """The run is over; leave nothing behind."""


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """What becomes of the workers' output."""

    outputs: tuple[int, int] = (1, 2)
    """Descriptors that stdout and stderr are shown on."""
    logs: Mapping[int, str] = field(default_factory=dict)
    """Instance index to the path of its log file."""
    largest_log_bytes: int | None = None
    stamp: Callable[[], bytes] | None = None
    """Makes the time that stands before each line."""
    long_phase_s: float | None = LONG_PHASE_S
    """What a worker is busy with for so long is told; None where a live view shows it in its own way."""
    line_rule: LineRule | None = None
    """Counts work in the lines of workers that do not count themselves."""
    ready_line: re.Pattern[str] | None = None
    """A worker that prints a line in which this is found is ready."""


class HostsSaid(NamedTuple):
    """What comes from the other hosts of a run."""

    kind: Literal["released", "lost"]
    """released: all are ready, and this host begins; lost: one has failed, or is not heard of any more."""
    time: float
    """When that was here, seconds of the supervisor's clock."""
    text: str = ""
    """lost: which, and what is known of it."""


class OtherHosts(Protocol):
    """The other hosts of a run, which all begin together; nothing here waits for them."""

    def fileno(self) -> int:
        """Readable when `take` has something to give."""

    def take(self) -> Sequence[HostsSaid]:
        """What has come since the last call."""

    def ready(self) -> None:
        """Every worker here waits for the start."""

    def stopping(self, text: str) -> None:
        """This host fails, and why: the others need not wait for its end."""


class Count(NamedTuple):
    """Items of one worker that are durable and count from now on."""

    worker: int
    time: float
    """When the worker had done them, seconds of the supervisor's clock."""
    items: int
    latency_s: float


class Send(NamedTuple):
    """A line is to be sent to a worker."""

    worker: int
    line: bytes


class Kill(NamedTuple):
    """A worker is to be killed."""

    worker: int
    reason: str


class Notice(NamedTuple):
    """Something that the user should know."""

    text: str


FeederCommand = Count | Send | Kill | Notice


class Feeder(Protocol):
    """Something that is told what workers say of their batches and how they end, and answers with what is to be done;
    it must not fail the loop.
    """

    longest_message_bytes: int
    """A line of a worker may be so long: results travel in it."""

    @property
    def disk(self) -> DiskThread | None:
        """Readable when `tick` is wanted; None where nothing is kept on a disk."""

    @property
    def over(self) -> bool:
        """Whether nothing is left to do here, and everything that was done is durable."""

    @property
    def problem(self) -> str:
        """Why the run must stop though items are left; "" where it need not."""

    def said(self, index: int, said: WorkerMessage, now: float) -> Sequence[FeederCommand]:
        """A worker wants batches, or has begun one, or done one, or failed on one."""

    def lost(self, index: int, reason: str, now: float, *, is_blamed: bool = True) -> Sequence[FeederCommand]:
        """A worker has ended, after its last words were heard; `is_blamed` unless it was asked to."""

    def drain(self, now: float) -> Sequence[FeederCommand]:
        """Give nothing more: it is over once what workers have is finished."""

    def due(self) -> float | None:
        """When `tick` is wanted next; None for not before something else happens."""

    def rest_s(self) -> float:
        """How long every worker can do without the feeder, in seconds: it has enough to do until then."""

    def tick(self, now: float) -> Sequence[FeederCommand]:
        """The time that `due` named has come."""

    def close(self, now: float, wait: Callable[[DiskThread], None]) -> Sequence[FeederCommand]:
        """Every worker has ended: make durable what is not yet; `wait` raises where a disk hangs for too long."""
