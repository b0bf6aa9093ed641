"""Several runs side by side: medians, ratios, and how sure they are.

Runs that repeat each other (same program, same machine, same instances) form a configuration. Rates are compared on a
logarithmic scale, on which a ratio is a difference and errors are about symmetric; an interval is Student's t for a
mean, Welch's for a difference, at 95 %. It holds the noise between repeats, and nothing that all repeats share.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from ipexlaunch.measure.report import Report

Interval = tuple[float, float]
"""Lower and upper limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """The statistics that come from a library; each takes at least two values of a sample."""

    of_mean: Callable[[Sequence[float]], Interval]
    of_difference: Callable[[Sequence[float], Sequence[float]], Interval]
    """Of the first mean minus the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedRun:
    """One run, as it enters a comparison."""

    name: str
    report: Report
    environment: Mapping[str, str]
    """Of --env; empty where it is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Runs that repeat each other."""

    label: str
    names: tuple[str, ...]
    instances: int
    rates: tuple[float, ...]
    """By makespan, of the VALID runs."""
    left_out: int
    """Runs that are INVALID or counted nothing."""
    unit: str
    median: float | None = None
    interval: Interval | None = None
    """Of the geometric mean; None for fewer than two rates, or without a library."""
    ratio: float | None = None
    """Geometric mean / that of the first configuration; None for the first itself."""
    ratio_interval: Interval | None = None
    cpus_each: int = 0
    """Of an instance, at most."""
    solo: float | None = None
    """Median rate of one instance alone, of those that were measured."""
    efficiency: float | None = None
    """Median of those that were measured."""
    steady: float | None = None
    """Median."""


def compare(runs: Sequence[ComparedRun], intervals: Intervals | None) -> tuple[Configuration, ...]:
    """The configurations, in the order in which they first come.

    Args:
        runs: all runs.
        intervals: statistics; None leaves the intervals out.
    """
    groups: dict[Hashable, list[ComparedRun]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    labels = _labels([group[0] for group in groups.values()])
    made: list[Configuration] = []
    for label, group in zip(labels, groups.values(), strict=True):
        made.append(_configuration(label, group, made[0] if made else None, intervals))
    return tuple(made)


def _configuration(
    label: str, group: Sequence[ComparedRun], first: Configuration | None, intervals: Intervals | None
) -> Configuration:
    reports = [run.report for run in group if run.report.valid and run.report.throughput.makespan]
    rates = [report.throughput.makespan for report in reports if report.throughput.makespan]
    logs = [math.log(rate) for rate in rates]
    ratio, ratio_interval = None, None
    if first is not None and first.rates and rates:
        first_logs = [math.log(rate) for rate in first.rates]
        ratio = math.exp(statistics.mean(logs) - statistics.mean(first_logs))
        if intervals is not None and min(len(logs), len(first_logs)) > 1:
            ratio_interval = _exp(intervals.of_difference(logs, first_logs))
    return Configuration(
        label=label,
        names=tuple(run.name for run in group),
        instances=len(group[0].report.instances),
        rates=tuple(rates),
        left_out=len(group) - len(rates),
        unit=group[0].report.throughput.unit,
        median=statistics.median(rates) if rates else None,
        interval=_exp(intervals.of_mean(logs)) if intervals is not None and len(logs) > 1 else None,
        ratio=ratio,
        ratio_interval=ratio_interval,
        cpus_each=max((len(instance.cpus) for instance in group[0].report.instances), default=0),
        solo=_median([report.baseline.rate for report in reports if report.baseline is not None]),
        efficiency=_median([report.efficiency for report in reports]),
        steady=_median([report.throughput.steady for report in reports]),
    )


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _exp(interval: Interval) -> Interval:
    return math.exp(interval[0]), math.exp(interval[1])


def _program(run: ComparedRun) -> str:
    program = run.report.provenance.get("program")
    words = [str(word) for word in program] if isinstance(program, list) else []
    return " ".join([*(f"{name}={value}" for name, value in sorted(run.environment.items())), *words])


def _shape(run: ComparedRun) -> str:
    sizes = sorted({len(instance.cpus) for instance in run.report.instances}, reverse=True)
    size = " or ".join(map(str, sizes))
    return f"{len(run.report.instances)} x {size} cpu{'s' * (sizes != [1])}"


def _key(run: ComparedRun) -> Hashable:
    slices = tuple((tuple(sorted(i.cpus)), tuple(sorted(i.nodes)), i.memory) for i in run.report.instances)
    return _program(run), slices, str(run.report.provenance.get("topology"))


def _labels(firsts: Sequence[ComparedRun]) -> list[str]:
    """What tells the configurations apart: their shapes, with the program where that differs, else a number."""
    labels = [_shape(run) for run in firsts]
    programs = [_program(run) for run in firsts]
    if len(set(programs)) > 1:
        labels = [f"{label}, {_shortened(program)}" for label, program in zip(labels, programs, strict=True)]
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[: place + 1].count(label)})"
        for place, label in enumerate(labels)
    ]


LONGEST_PROGRAM = 60


def _shortened(program: str) -> str:
    return program if len(program) <= LONGEST_PROGRAM else program[: LONGEST_PROGRAM - 3] + "..."
