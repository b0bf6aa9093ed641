"""How a run scales against one instance alone.

Turbo frequencies are higher while the other cores rest; that is part of the price of many, and is not taken out.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ipexlaunch.documents.fields import OMITTED
from ipexlaunch.launch.run_record import Run
from ipexlaunch.measure.rates import Rate, items_within, window_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What one instance did while the cores of the others were idle."""

    index: int
    """Of the instance."""
    rate: Rate
    """Items per second from its start to its last completion."""
    items: int
    seconds: float
    measured: str = field(default="", metadata=OMITTED)
    """When, as ISO 8601 in UTC, where that was at the end of a search; "" for just before the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaling:
    """The run, compared with the baseline."""

    efficiency: float
    """Steady rate / (instances x rate of the one alone)."""
    interference: dict[int, float]
    """Instance to its own rate while all worked / the rate of the one alone; efficiency is the mean of them."""


def baseline_of(solo: Run) -> Baseline | None:
    """The rate of the one instance of this run; None where it counted nothing.

    Args:
        solo: a run of one instance.
    """
    window = window_of(solo)
    if window is None or len(solo.records) != 1 or window.last <= window.start:
        return None
    record = solo.records[0]
    items, seconds = sum(record.samples.items), window.last - window.start
    return Baseline(index=record.instance.index, rate=items / seconds, items=items, seconds=seconds) if items else None


def scaling_of(run: Run, baseline: Baseline) -> Scaling | None:
    """How the run compares; None where it has no steady rate.

    Args:
        run: of all instances, each of the baseline's size.
        baseline: what one did alone.
    """
    window = window_of(run)
    if window is None or not window.is_long_enough:
        return None
    shares = {
        record.instance.index: items_within(run, record, window) / window.seconds / baseline.rate
        for record in run.records
    }
    return Scaling(efficiency=sum(shares.values()) / len(shares), interference=shares)
