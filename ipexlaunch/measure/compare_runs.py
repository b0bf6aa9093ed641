"""Several runs side by side: medians, ratios, and how sure they are.

Runs that repeat each other (same program, same machine, same instances) form a configuration; hosts of one job, each of
which did a part of it, do not repeat each other. Rates are compared on a
logarithmic scale, on which a ratio is a difference and errors are about symmetric; an interval is Student's t for a
mean, Welch's for a difference, at 95 %. It holds the noise between repeats, and nothing that all repeats share.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ipexlaunch.machine.cpulist import format_list
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
    options: Mapping[str, object] = field(default_factory=dict)
    """Keyword arguments of the command's options that decided what happened; empty where they are not known."""


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
    jobs: tuple[str, ...] = ()
    """Those of several hosts of which this is one host."""
    differences: tuple[str, ...] = ()
    """Options in which the runs differ that are taken for repeats of each other: "--confine no or auto"."""
    together: bool = False
    """Whether it began together with the other hosts (--across-hosts)."""


def compare(runs: Sequence[ComparedRun], intervals: Intervals | None) -> tuple[Configuration, ...]:
    """The configurations, in the order in which they first come.

    Args:
        runs: all runs.
        intervals: statistics; None leaves the intervals out.
    """
    groups: dict[Hashable, list[ComparedRun]] = {}
    spread = _spread_jobs(runs)
    for run in runs:
        groups.setdefault((_key(run), _place(run) if _job(run) in spread else ""), []).append(run)
    labels = _labels([group[0] for group in groups.values()], spread)
    made: list[Configuration] = []
    for label, group in zip(labels, groups.values(), strict=True):
        configuration = _configuration(label, group, made[0] if made else None, intervals)
        jobs = dict.fromkeys(job for run in group if (job := _job(run)) in spread)
        together = any(run.report.host is not None and run.report.host.across_hosts for run in group)
        made.append(replace(configuration, jobs=tuple(jobs), together=together))
    return tuple(made)


def _job(run: ComparedRun) -> str:
    """The job that a run is a part of; "" where it is none, or that is not known."""
    here = run.report.host
    if here is None or not here.words:
        return ""
    return here.job_words or f"{here.ranks} ranks without a known job"


def _place(run: ComparedRun) -> str:
    """ "h2 (rank 1)"."""
    here = run.report.host
    rank = f" (rank {here.rank})" if here is not None and here.rank is not None else ""
    return "" if here is None else here.name + rank


def _spread_jobs(runs: Sequence[ComparedRun]) -> frozenset[str]:
    """Jobs of several hosts: each did its part, so that their runs do not repeat each other."""
    places: dict[str, set[str]] = {}
    for run in runs:
        places.setdefault(_job(run), set()).add(_place(run))
    known = {_job(run) for run in runs if run.report.host is not None and (run.report.host.ranks or 1) > 1}
    return frozenset(job for job in places if job and (job in known or len(places[job]) > 1))


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
        differences=tuple(_differences([_options(run) for run in group if run.options])),
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


def _labels(firsts: Sequence[ComparedRun], spread: Collection[str]) -> list[str]:
    """What tells the configurations apart: shapes, hosts of one job, the program where that differs, else a number."""
    labels = [f"{_shape(run)}, {_place(run)}" if _job(run) in spread else _shape(run) for run in firsts]
    programs = [_program(run) for run in firsts]
    if len(set(programs)) > 1:
        labels = [f"{label}, {_shortened(program)}" for label, program in zip(labels, programs, strict=True)]
    traits = [{**_places(run), **_options(run)} for run in firsts]
    for label in [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        alike = [place for place, other in enumerate(labels) if other == label]
        for name in _differing([traits[place] for place in alike]):
            for place in alike:
                labels[place] += f", {name} {traits[place].get(name, '-')}"
    return [
        label if labels.count(label) == 1 else f"{label} ({labels[: place + 1].count(label)})"
        for place, label in enumerate(labels)
    ]


def _places(run: ComparedRun) -> dict[str, str]:
    """Where the instances are, and how their memory keeps to its nodes."""
    instances = run.report.instances
    return {
        "memory": " or ".join(sorted({instance.memory for instance in instances})),
        "cpus": format_list(cpu for instance in instances for cpu in instance.cpus),
    }


def _options(run: ComparedRun) -> dict[str, str]:
    return {f"--{name.replace('_', '-')}": str(value) for name, value in run.options.items()}


def _differing(traits: Sequence[Mapping[str, str]]) -> list[str]:
    """The names of what is not the same everywhere."""
    names = dict.fromkeys(name for each in traits for name in each)
    return [name for name in names if len({each.get(name) for each in traits}) > 1]


def _differences(options: Sequence[Mapping[str, str]]) -> list[str]:
    return [
        f"{name} {' or '.join(dict.fromkeys(each.get(name, 'not given') for each in options))}"
        for name in _differing(options)
    ]


LONGEST_PROGRAM = 60


def _shortened(program: str) -> str:
    return program if len(program) <= LONGEST_PROGRAM else program[: LONGEST_PROGRAM - 3] + "..."
