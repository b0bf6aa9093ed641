"""How much was done when, from a run's counts: the arithmetic behind every rate that is reported.

Definitions: docs/measuring.md.
"""

from __future__ import annotations

from ipexlaunch.quick_dataclass import dataclass
from ipexlaunch.record import Run, WorkerRecord

STEADY_SHARE_REQUIRED = 0.5
STEADY_SECONDS_REQUIRED = 60.0
"""A steady rate is given for a window of at least this share of the makespan, or of this many seconds."""


@dataclass(frozen=True, slots=True)
class Window:
    """The time in which every worker that counted was working; seconds of the monotonic clock."""

    start: float
    """The common start."""
    end: float
    """The first worker's last completion."""
    last: float
    """The last worker's."""
    everybody: bool
    """Whether every worker counted something."""

    @property
    def is_long_enough(self) -> bool:
        """Whether a rate over the window stands for the run."""
        seconds, makespan = self.end - self.start, self.last - self.start
        enough = seconds >= STEADY_SHARE_REQUIRED * makespan or seconds >= STEADY_SECONDS_REQUIRED
        return self.everybody and seconds > 0 and enough


def start_of(run: Run) -> float:
    """The common start; the start of the run where no worker asked for one.

    Args:
        run: what happened.
    """
    return run.started if run.go is None else run.go


def window_of(run: Run) -> Window | None:
    """When all worked together; None where nothing was counted.

    Args:
        run: what happened.
    """
    last = [max(record.samples.times) for record in run.records if record.samples.times]
    if not last:
        return None
    return Window(start_of(run), min(last), max(last), everybody=len(last) == len(run.records))


def rate_of(record: WorkerRecord, start: float) -> float | None:
    """Items per second over the worker's own time; None where it counted nothing after the start.

    Args:
        record: the worker.
        start: the common start.
    """
    times = record.samples.times
    if not times or max(times) <= start:
        return None
    return sum(record.samples.items) / (max(times) - start)


def items_until(record: WorkerRecord, start: float, end: float) -> float:
    """Items done by then; those of a count that the moment cuts through are shared in proportion to the time.

    Args:
        record: the worker.
        start: the common start.
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


def items_by_time(record: WorkerRecord, start: float, width_s: float, buckets: int) -> list[float]:
    """Items in each of so many stretches of time; a count is spread evenly over the time since the one before.

    What was counted before the start falls into the first stretch, so that nothing is lost.

    Args:
        record: the worker.
        start: of the first stretch.
        width_s: of each stretch, above 0.
        buckets: how many.
    """
    done = [0.0] * buckets
    before = start
    for at, items in sorted(zip(record.samples.times, record.samples.items, strict=True)):
        if at <= before:
            done[_bucket(before, start, width_s, buckets)] += items
            continue
        first, last = _bucket(before, start, width_s, buckets), _bucket(at, start, width_s, buckets)
        for bucket in range(first, last + 1):
            begin = before if bucket == first else start + bucket * width_s
            end = at if bucket == last else start + (bucket + 1) * width_s
            done[bucket] += items * (end - begin) / (at - before)
        before = at
    return done


def _bucket(time: float, start: float, width_s: float, buckets: int) -> int:
    return min(max(0, int((time - start) / width_s)), buckets - 1)
