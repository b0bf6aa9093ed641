"""What the start of a run's workers cost, as a line and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.machine.wording import counted, in_gib
from ipexlaunch.measure.report import InstanceReport, Report
from ipexlaunch.measure.start_cost import StartCost
from ipexlaunch.report.live.wording import plain_line

LEAST_SHARE = 0.005
"""Of the processor time: a phase that took less is left out of the line."""

HEADS = ("phase", "cpu-s", "of all", "anonymous MiB")


def start_line(report: Report) -> Sequence[str]:
    """ "start of 4 workers: 41.2 cpu-s, 3.9 GiB anonymous: imports 80%", "loading 12%": parts of a line; none where
    nobody told.

    Args:
        report: of the run.
    """
    cost = report.start
    if cost is None:
        return ()
    told = sum(instance.start is not None for instance in report.instances)
    memory = f", {in_gib(cost.anonymous_bytes)} anonymous" if cost.anonymous_bytes > 0 else ""
    head = f"start of {counted(told, 'worker')}: {format_number(cost.cpu_s)} cpu-s{memory}"
    if len(cost.phases) == 1:
        return (head,)
    shares = [f"{plain_line(name)} {share:.0%}" for name, share in _shares(cost).items() if share >= LEAST_SHARE]
    return (f"{head}: {shares[0]}", *shares[1:]) if shares else (head,)


def start_rows(report: Report) -> Sequence[Sequence[str]]:
    """A row for each phase, and one for all; none where nobody told.

    Args:
        report: of the run.
    """
    cost = report.start
    if cost is None:
        return ()
    shares = _shares(cost)
    phases = [
        (plain_line(name), format_number(phase.cpu_s), f"{shares[name]:.0%}", _mib(phase.anonymous_bytes))
        for name, phase in cost.phases.items()
    ]
    return (*phases, ("all", format_number(cost.cpu_s), "", _mib(cost.anonymous_bytes)))


def _shares(cost: StartCost) -> dict[str, float]:
    return {name: phase.cpu_s / cost.cpu_s if cost.cpu_s else 0.0 for name, phase in cost.phases.items()}


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 20):.0f}"


def phase_parts(instances: Sequence[InstanceReport]) -> list[str]:
    """ "compiling 41.2 s (1 of 4)": each phase with its longest time and how many were in it, where not all were."""
    parts = []
    places: dict[str, int] = {}
    for instance in instances:
        for place, name in enumerate(instance.phases_s):
            places[name] = min(place, places.get(name, place))
    for name in sorted(places, key=lambda name: places[name]):
        seconds = [instance.phases_s[name] for instance in instances if name in instance.phases_s]
        some = f" ({len(seconds)} of {len(instances)})" if len(seconds) < len(instances) else ""
        parts.append(f"{plain_line(name)} {format_number(max(seconds))} s{some}")
    return parts
