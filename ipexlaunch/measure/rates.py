"""How much was done when, from a run's counts: the arithmetic behind every rate and latency that is reported.

Definitions: docs/report.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

from ipexlaunch.documents.fields import LATER, Bounds, Checked
from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.machine.cpulist import format_list

Start = Literal["common", "first", "run"]
"""What a run's rate counts from: the common start of all workers; the start of the first worker, where each began as
it got ready; the start of the run, where none waited for a start."""

STARTS: dict[Start, str] = {
    "common": "the common start",
    "first": "the first worker's start",
    "run": "the start of the run",
}

LEAST_RATE, LARGEST_RATE = 1e-9, 1e30
"""Items per second. What was measured lies between, and so no ratio of two rates leaves what a float can hold."""


def _measured(rate: float) -> float:
    if 0 < rate < LEAST_RATE:
        raise ValueError(f"a rate is 0 or at least {LEAST_RATE:g}")
    return rate


Rate = Annotated[float, Bounds(ge=0, le=LARGEST_RATE), Checked(_measured)]
"""Items per second, as a document may tell it."""

STEADY_SHARE_REQUIRED = 0.5
STEADY_SECONDS_REQUIRED = 60.0
"""A steady rate is given for a window of at least this share of the makespan, or of this many seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which every worker that counted was working; seconds of the monotonic clock."""

    start: float
    """What the rate counts from."""
    begin: float
    """When the last worker began: the start, unless each began as it got ready."""
    end: float
    """The first worker's last completion."""
    last: float
    """The last worker's."""
    everybody: bool
    """Whether every worker counted something."""

    @property
    def is_long_enough(self) -> bool:
        """Whether a rate over the window stands for the run."""
        makespan = self.last - self.start
        enough = self.seconds >= STEADY_SHARE_REQUIRED * makespan or self.seconds >= STEADY_SECONDS_REQUIRED
        return self.everybody and self.seconds > 0 and enough

    @property
    def seconds(self) -> float:
        """How long they worked together; 0 where they never did."""
        return max(0.0, self.end - self.begin)


def start_of(run: Run) -> float:
    """What the rate counts from; `start_kind` says what that is.

    Args:
        run: what happened.
    """
    return run.started if run.go is None else run.go


def start_kind(run: Run) -> Start:
    """Which start that is.

    Args:
        run: what happened.
    """
    if run.go is None:
        return "run"
    return "first" if run.serving or (run.fed and not run.fed_together) else "common"


def work_began(run: Run, record: WorkerRecord) -> float:
    """When a worker began to work: with the others, or when it got ready where each begins by itself.

    Of one that was started again only the last attempt's readiness is known; its first count says when it began.

    Args:
        run: what happened.
        record: the worker.
    """
    start = start_of(run)
    if start_kind(run) != "first":
        return start
    known = [] if record.ready is None else [record.ready]
    if record.samples.times:
        latency = record.samples.latencies_s[0]
        known.append(record.samples.times[0] - (0.0 if math.isnan(latency) else latency))
    return max(start, min(known, default=start))


def window_of(run: Run) -> Window | None:
    """When all worked together; None where nothing was counted.

    Args:
        run: what happened.
    """
    last = [max(record.samples.times) for record in run.records if record.samples.times]
    if not last:
        return None
    begin = max(work_began(run, record) for record in run.records if record.samples.times)
    return Window(start_of(run), begin, min(last), max(last), everybody=len(last) == len(run.records))


def rate_of(record: WorkerRecord, start: float) -> float | None:
    """Items per second over the worker's own time; None where it counted nothing after the start.

    Args:
        record: the worker.
        start: when it began.
    """
    times = record.samples.times
    if not times or max(times) <= start:
        return None
    return sum(record.samples.items) / (max(times) - start)


def items_until(record: WorkerRecord, start: float, end: float) -> float:
    """Items done by then; those of a count that the moment cuts through are shared in proportion to the time.

    Args:
        record: the worker.
        start: when it began.
        end: the moment.
    """
    done, before = 0.0, start
    for at, items in sorted(zip(record.samples.times, record.samples.items, strict=True)):
        if at > end:
            # A worker that ended before the start may put the end there; then nothing is done by it.
            return done + items * (end - before) / (at - before) if end > before else done
        done += items
        before = at
    return done


def items_within(run: Run, record: WorkerRecord, window: Window) -> float:
    """Items that a worker did while all worked.

    Args:
        run: what happened.
        record: the worker.
        window: of the run.
    """
    start = work_began(run, record)
    return items_until(record, start, window.end) - (
        items_until(record, start, window.begin) if window.begin > window.start else 0.0
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Rates of the whole run; None where nothing was counted or the definition does not apply."""

    makespan: Rate | None
    """Items per second: all items / (last completion - start)."""
    steady: Rate | None
    """Items per second within the window in which every worker was working."""
    naive_sum: Rate | None
    """Sum of the workers' own rates, each over its own time; without any other rate, of those that they claim."""
    unit: str = "items/s"
    items: int = 0
    tokens: int = 0
    tokens_per_second: float | None = None
    """By makespan; None where no tokens were counted."""
    seconds: float | None = None
    """The makespan."""
    steady_seconds: float | None = None
    """Length of the window in which every worker was working, whether or not it is long enough for a rate; None where
    one of them counted nothing, so that there is none."""
    start: Start | None = field(default=None, metadata=LATER)
    """What the makespan counts from; None where nothing was counted, or an older version has written the report."""


def throughput_of(run: Run) -> Throughput:
    """The rates of a run.

    Args:
        run: what happened.
    """
    counted = [record for record in run.records if record.samples.times]
    items = sum(sum(record.samples.items) for record in counted)
    tokens = sum(sum(record.samples.tokens) for record in counted)
    if not counted:
        claims = [record.claimed_rate for record in run.records if record.claimed_rate is not None]
        return Throughput(makespan=None, steady=None, naive_sum=sum(claims) if claims else None)
    window = window_of(run)
    if window is None or window.last <= window.start:
        return Throughput(makespan=None, steady=None, naive_sum=None, items=items, tokens=tokens)
    seconds = window.last - window.start
    done = sum(items_within(run, record, window) for record in counted)
    rates = [rate for record in counted if (rate := rate_of(record, work_began(run, record))) is not None]
    return Throughput(
        unit="requests/s" if run.serving else "items/s",
        makespan=items / seconds,
        steady=done / window.seconds if window.is_long_enough else None,
        naive_sum=sum(rates),
        items=items,
        tokens=tokens,
        tokens_per_second=tokens / seconds if tokens else None,
        seconds=seconds,
        steady_seconds=window.seconds if window.everybody else None,
        start=start_kind(run),
    )


STRAGGLER_SHARE = 0.9
"""A worker below this share of the median rate is named."""


def rate_warnings(run: Run, throughput: Throughput) -> list[str]:
    """What the reader of the rates should know of them.

    Args:
        run: what happened.
        throughput: its rates.
    """
    warnings: list[str] = []
    if throughput.makespan is None and throughput.naive_sum is not None:
        silent = frozenset(r.instance.index for r in run.records if r.claimed_rate is None)
        but = f"; instance{'s' * (len(silent) > 1)} {format_list(silent)} claimed none" if silent else ""
        warnings.append(f"the rate is not measured: it adds up what each worker claims of itself{but}")
    if throughput.makespan is not None:
        if run.go is None:
            warnings.append("no worker waited for the common start, so the rate includes loading")
        if throughput.steady is None and throughput.seconds:
            warnings.append(f"no steady rate: {_why_not_steady(run, throughput, throughput.seconds)}")
        warnings += _stragglers(run)
    return warnings


def _why_not_steady(run: Run, throughput: Throughput, seconds: float) -> str:
    idle = frozenset(record.instance.index for record in run.records if not record.samples.times)
    if idle:
        did = "got no item" if run.fed else "answered nothing" if run.serving else "counted nothing"
        return f"instance{'s' * (len(idle) > 1)} {format_list(idle)} {did}"
    if not throughput.steady_seconds:
        return "there was no time in which all workers worked"
    return f"all workers worked together for only {throughput.steady_seconds / seconds:.2g} of the makespan"


def _stragglers(run: Run) -> list[str]:
    rates = {r.instance.index: rate for r in run.records if (rate := rate_of(r, work_began(run, r))) is not None}
    if len(rates) < 2 or run.serving:  # a server does what it is asked for
        return []
    ordered = sorted(rates.values())
    median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return [
        f"instance {index} is a straggler: {format_number(rate)} items/s, {rate / median:.0%} of the median"
        for index, rate in rates.items()
        if rate < STRAGGLER_SHARE * median
    ]
