"""Percentiles of many samples, and the four figures that are kept of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """Durations of one kind: how many there are, and nearest-rank percentiles in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest sample that at least `percent` of all do not exceed.

    Args:
        ordered: samples, ascending, at least one.
        percent: above 0, up to 100.
    """
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def distribution(durations_s: Iterable[float]) -> Distribution | None:
    """What is kept of these durations; None where there are none.

    Args:
        durations_s: seconds, in any order; NaN is one that is not known.
    """
    ordered = sorted(1e3 * duration for duration in durations_s if not math.isnan(duration))
    if not ordered:
        return None
    p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
    return Distribution(count=len(ordered), p50=p50, p90=p90, p99=p99)
