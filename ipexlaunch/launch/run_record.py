"""The record of a run, as it comes in: what workers counted and told, how they ended, how the run stands now."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ipexlaunch.documents.fields import OMITTED, NonNegativeInt, Seconds
from ipexlaunch.launch.host_counters import HostReading
from ipexlaunch.launch.lifecycle import Failure, Phase
from ipexlaunch.launch.placement.placement import Binding, Placement
from ipexlaunch.machine.cpulist import Ids
from ipexlaunch.plan.plan import Instance

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

    def extend(self, more: Samples) -> None:
        """Append every count of others."""
        self.times.extend(more.times)
        self.items.extend(more.items)
        self.tokens.extend(more.tokens)
        self.latencies_s.extend(more.latencies_s)

    def since(self, begin: int) -> Samples:
        """The counts from the one with this number on."""
        return Samples(self.times[begin:], self.items[begin:], self.tokens[begin:], self.latencies_s[begin:])


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


REASONS_KEPT = 10
"""Of one worker; more of them say nothing new."""

COUNTED_NOTHING = "counted nothing"
"""Words of the reason that a rate was asked for and nothing was counted, from whoever gives it."""

MORE_REASONS = "... and more reasons of that worker"


@dataclass(frozen=True, slots=True)
class Spent:
    """What a worker's process said that it had cost up to a moment."""

    cpu_s: Seconds
    """Processor time, that of children which had ended too."""
    anonymous_bytes: NonNegativeInt = 0
    """Its memory that is in no file; 0 where it did not know."""


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """What a worker was busy with before it was ready, and how long; times are seconds of the monotonic clock."""

    name: str
    begin: float
    end: float | None = None
    """None while it lasts."""
    spent: Spent | None = None
    """When it began; None where it did not say so."""


@dataclass(slots=True)
class Announced:
    """All of one worker's announcements that are kept."""

    phases: list[PhaseSpan] = field(default_factory=list)
    """Of the present attempt, in order, one after the other; the last has no end while it lasts."""
    ready_spent: Spent | None = None
    """When it was ready."""
    durations_s: dict[str, array[float]] = field(default_factory=dict)
    """Kind, such as "first_token", to seconds each."""
    facts: dict[str, object] = field(default_factory=dict)
    """Of the present attempt; values are what JSON can hold."""
    invalid: list[str] = field(default_factory=list)
    """Why its results must not be believed, each reason once."""
    sent_items: int = 0
    """Counted by the present attempt itself, not by children that it forked; it tells its own total at its end."""
    sent_tokens: int = 0

    def begin_phase(self, name: str, time: float, spent: Spent | None = None) -> None:
        """The worker is busy with something else from now on; the same name again changes nothing."""
        if self.phases and self.phases[-1].end is None and self.phases[-1].name == name:
            return
        self.end_phase(time)
        self.phases.append(PhaseSpan(name, time, None, spent))

    def end_phase(self, time: float) -> None:
        """The present phase, if there is one, is over: the worker is ready, or has exited."""
        if self.phases and self.phases[-1].end is None:
            last = self.phases[-1]
            self.phases[-1] = replace(last, end=max(time, last.begin))

    def phase_seconds(self) -> dict[str, float]:
        """Seconds of each phase that is over, by name; one that was entered several times has its sum."""
        seconds: dict[str, float] = {}
        for span in self.phases:
            if span.end is not None:
                seconds[span.name] = seconds.get(span.name, 0.0) + span.end - span.begin
        return seconds

    def add_durations(self, name: str, values_s: Iterable[float]) -> None:
        """Append durations of one kind."""
        self.durations_s.setdefault(name, array("d")).extend(values_s)

    def kept_reason(self, reason: str) -> str:
        """How a reason is kept; "" where it is not new, or there are enough."""
        if reason in self.invalid or len(self.invalid) > REASONS_KEPT:
            return ""
        return reason if len(self.invalid) < REASONS_KEPT else MORE_REASONS

    def add_invalid(self, reason: str) -> bool:
        """Keep a reason; False where it is not new, or there are enough."""
        if kept := self.kept_reason(reason):
            self.invalid.append(kept)
        return bool(kept)

    def begin_attempt(self) -> None:
        """The worker is restarted: its phases and facts start over; its counts and its reasons of `invalid` stay."""
        self.sent_items = self.sent_tokens = 0
        self.ready_spent = None
        self.phases.clear()
        self.facts.clear()


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
    told: Announced | None = None
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
    serving: bool = False
    """Whether workers were servers: each began by itself, and what counts is what they were asked for."""
    notes: tuple[str, ...] = ()
    recovered: tuple[Failure, ...] = ()
    """Failures that a restart answered, or that came when nothing was left to be done."""
    signalled: float | None = None
    """When that signal came."""
    lost: tuple[float, str] | None = None
    """When another host of the run was lost or failed, and its words; None where none was."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """One worker now."""

    index: int
    pid: int | None
    phase: Phase
    cpus: Ids
    """Planned."""
    nodes: Ids
    """Planned nodes of its memory."""
    memory: str
    """Policy as the kernel accepted it."""
    items: int
    """Counted so far."""
    tokens: int
    rate: float | None
    """Items per second over the last RATE_WINDOW_S; None before the first count."""
    local_pages: float | None
    """Share of local anonymous memory at the last look, 0 to 1."""
    last_line: str
    """What it printed last, without its end: a whole line, or what stands after it, such as a progress bar."""
    exit_code: int | None
    restarts: int = 0
    stopped: bool = False
    """Whether it exited because it was asked to, so that its exit code is no failure of its own."""
    busy_with: str = ""
    """What it has announced to be busy with before it is ready, e.g. "compiling"; "" for nothing."""
    busy_s: float | None = None
    """For how long."""
    in_flight: int | None = field(default=None, metadata=OMITTED)
    """Requests that are with it now, where it is a server behind an endpoint that tells."""

    @property
    def failed(self) -> bool:
        """Whether it exited with a code other than 0 of its own accord, or by a limit that it broke."""
        return bool(self.exit_code) and not self.stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole run now."""

    elapsed_s: float
    """Since the start of the run."""
    measured_s: float | None
    """Since the common start; None before it."""
    rate: float | None
    """Sum of the workers' present rates, items per second."""
    failures: tuple[str, ...] = ()
    """Messages, earliest first."""
    workers: tuple[WorkerSnapshot, ...]


RATE_WINDOW_S = 5.0
"""Present rates are averages over the last five seconds."""
