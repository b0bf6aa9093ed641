"""Confidence intervals by scipy."""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.measure.compare_runs import Interval, Intervals

LEVEL = 0.95


def scipy_intervals() -> Intervals | None:
    """Student's and Welch's t intervals; None where scipy is not installed."""
    try:
        from scipy import stats
    except ImportError:
        return None

    def of_mean(values: Sequence[float]) -> Interval:
        if len(set(values)) == 1:
            return values[0], values[0]  # no spread at all; scipy divides by it
        found = stats.ttest_1samp(values, 0.0).confidence_interval(LEVEL)
        return float(found.low), float(found.high)

    def of_difference(first: Sequence[float], second: Sequence[float]) -> Interval:
        if len(set(first)) == len(set(second)) == 1:
            return first[0] - second[0], first[0] - second[0]
        found = stats.ttest_ind(first, second, equal_var=False).confidence_interval(LEVEL)
        return float(found.low), float(found.high)

    return Intervals(of_mean=of_mean, of_difference=of_difference)
