"""Several runs side by side, as a table for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.compare_runs import Configuration, Interval
from ipexlaunch.report.live.wording import plain_line
from ipexlaunch.report.tables.report_table import result_text

COMPARED_COLUMNS = ("configuration", "runs", "median", "95 % interval", "steady", "efficiency", "ratio", "its interval")

DISPENSABLE = ("its interval", "efficiency", "steady", "95 % interval")
"""Columns that a narrow terminal goes without, in this order."""


def comparison_table(configurations: Sequence[Configuration], *, width: int = 100, color: bool = False) -> str:
    """Configurations as rows; ratios are to the first.

    Args:
        configurations: as `compare` gives them.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    rows = [(row(configuration), "") for configuration in configurations]
    basis = f"rates are {configurations[0].unit} by makespan; ratios are to the first line"
    lines = [(line, "") for line in (basis, *comparison_notes(configurations))]
    return result_text(
        COMPARED_COLUMNS, rows, lines,
        left=("configuration",), folded=("configuration",), dispensable=DISPENSABLE, width=width, color=color,
    )  # fmt: skip


def comparison_notes(configurations: Sequence[Configuration]) -> list[str]:
    """What is to be said of jobs of several hosts, and of repeats that are not quite alike, a line each.

    Args:
        configurations: as `compare` gives them.
    """
    counts = Counter((job, each.together) for each in configurations for job in each.jobs)
    apart = "no repeats, and no total, as they did not start together"
    together = "no repeats; they began together, and their directory has the total: report it"
    unlike = [
        plain_line(f"runs of {each.label} differ in {', '.join(each.differences)}")
        for each in configurations
        if each.differences
    ]
    return unlike + [
        f"{plain_line(job)}: {counted(number, 'host')} of one job, {together if is_group else apart}"
        for (job, is_group), number in counts.items()
    ]


def row(configuration: Configuration) -> tuple[str, ...]:
    """The cells of one configuration, in the order of COMPARED_COLUMNS."""
    left_out = f" (+{configuration.left_out} INVALID)" if configuration.left_out else ""
    return (
        plain_line(configuration.label),
        f"{len(configuration.rates)}{left_out}",
        format_number(configuration.median),
        _interval(configuration.interval),
        format_number(configuration.steady),
        "-" if configuration.efficiency is None else f"{configuration.efficiency:.1%}",
        "1" if configuration.ratio is None and configuration.rates else _ratio(configuration.ratio),
        "-" if configuration.ratio_interval is None else " .. ".join(map(_ratio, configuration.ratio_interval)),
    )


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(interval: Interval | None) -> str:
    return "-" if interval is None else f"{format_number(interval[0])} .. {format_number(interval[1])}"
