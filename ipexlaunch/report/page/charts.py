"""The charts without time: of a run, of several runs, and of a search with its map and its course."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.launch.run_record import Run
from ipexlaunch.measure.compare_runs import Configuration
from ipexlaunch.measure.report import Report, percentile
from ipexlaunch.report.page.chart_axes import (
    BAD,
    INK,
    INSTANCES,
    QUIET,
    chart,
    label_instances,
    plain_numbers,
    rows_height,
    show_legend,
    shown_name,
    whole_steps,
)
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import EXPLORING, Outcome, Trial, by_setting, median_rate, usable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 60
MIB = 1 << 20


def latency_chart(run: Run) -> str:
    """How often each latency was seen, over all instances, with the percentiles; "" where none was reported.

    Args:
        run: what happened.
    """
    found = sorted(
        1e3 * latency for record in run.records for latency in record.samples.latencies_s if not math.isnan(latency)
    )
    found = [latency for latency in found if latency > 0]
    if not found:
        return ""
    low, high = found[0], found[-1] if found[-1] > found[0] else found[0] * 1.01
    factor = (high / low) ** (1 / BINS)
    edges = [low * factor**step for step in range(BINS + 1)]
    counts = [0] * BINS
    place = 0
    for latency in found:
        while place < BINS - 1 and latency >= edges[place + 1]:
            place += 1
        counts[place] += 1

    def draw(axes: Axes) -> None:
        axes.stairs(counts, edges, fill=True, color=INSTANCES[0])
        for percent, style in ((50, "-"), (90, "--"), (99, ":")):
            value = percentile(found, percent)
            axes.axvline(
                value, color=INK, linestyle=style, linewidth=1.2, label=f"p{percent} {format_number(value)} ms"
            )
        if high / low > 3:
            axes.set_xscale("log")
            plain_numbers(axes)
        axes.set_xlabel("milliseconds")
        axes.set_ylabel("counts")
        show_legend(axes)

    return chart(draw, 3.0)


def memory_chart(report: Report) -> str:
    """Anonymous memory of each instance by node at the last look; "" where nobody could look.

    Args:
        report: of the run.
    """
    shown = [
        (instance.index, instance.placement.anonymous_bytes)
        for instance in report.instances
        if instance.placement is not None and instance.placement.anonymous_bytes
    ]
    if not shown:
        return ""
    nodes = sorted({node for _, sizes in shown for node in sizes})

    def draw(axes: Axes) -> None:
        left = [0.0] * len(shown)
        for place, node in enumerate(nodes):
            sizes = [by_node.get(node, 0) / MIB for _, by_node in shown]
            color = INSTANCES[place % len(INSTANCES)]
            axes.barh(range(len(shown)), sizes, left=left, color=color, label=f"node {node}", height=0.75)
            left = [before + size for before, size in zip(left, sizes, strict=True)]
        label_instances(axes, [index for index, _ in shown])
        axes.set_xlabel("MiB of anonymous memory by node, at the last look; what is shared by fork is in each")
        show_legend(axes)

    return chart(draw, rows_height(len(shown)))


def scaling_chart(configurations: Sequence[Configuration]) -> str:
    """Rate over the number of instances, with what is ideal; "" where all have the same number.

    Args:
        configurations: as `compare` gives them.
    """
    shown = sorted((c for c in configurations if c.median is not None), key=lambda c: c.instances)
    if len({c.instances for c in shown}) < 2:
        return ""
    first = shown[0]
    ideal, told = ideal_line(shown)

    def draw(axes: Axes) -> None:
        if ideal:
            axes.plot(*zip(*ideal, strict=True), color=QUIET, linestyle="--", label=f"ideal: {told}")
        for configuration in shown:
            axes.plot(
                [configuration.instances] * len(configuration.rates), configuration.rates, "o", color=INSTANCES[4],
                markersize=4, alpha=0.45,
            )  # fmt: skip
            if configuration.interval is not None:
                low, high = configuration.interval
                axes.plot([configuration.instances] * 2, [low, high], color=INSTANCES[4], linewidth=2.4)
        points = [(c.instances, c.median) for c in shown if c.median is not None]
        axes.plot(*zip(*points, strict=True), color=INSTANCES[4], marker="s", markersize=5, label="median by makespan")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        whole_steps(axes.xaxis)
        axes.set_xlabel("instances")
        axes.set_ylabel(first.unit)
        show_legend(axes)

    return chart(draw, 3.6)


def ideal_line(shown: Sequence[Configuration]) -> tuple[list[tuple[int, float]], str]:
    """Points (instances, rate) of perfect scaling, and what they are measured by; none where nothing tells.

    Args:
        shown: configurations with rates, the one with the fewest instances first.
    """
    first, most = shown[0], shown[-1].instances
    if len({c.cpus_each for c in shown}) == 1:
        solos = [c.solo for c in shown if c.solo is not None]
        one = solos[0] if solos else (first.median or 0.0) / first.instances
        return [(0, 0.0), (most, most * one)], "one alone" if solos else f"as the run with {first.instances}"
    # Instances of other sizes have other rates alone.
    if all(c.solo is not None for c in shown):
        return [(c.instances, c.instances * (c.solo or 0.0)) for c in shown], "as many, each as fast as one alone"
    return [], ""


Cell = tuple[str, str]
"""A place of the map: its column, a split; its row, the choice of another axis."""

ROWS = (("batch_size", "batch"), ("numbers", ""), ("allocator", ""), ("runtime", ""), ("memory", ""))
"""Fields of a setting that may make the rows, the likeliest to matter first, and what is written before each choice."""

COLORS = "cividis"
"""Of matplotlib: as much lighter as faster, also for the colour-blind (Nunez, Anderton and Renslow 2018)."""

DARKEST = 0.5
"""Share of the pick's rate that has the darkest colour; what is slower has it too."""

LIGHT_CELL = 0.45
"""From this share of the colours on, dark text can be read on them."""

MOST_COLUMNS_WITH_FIGURES = 20


def map_chart(outcome: Outcome) -> str:
    """Splits as columns, batch sizes (or what else was varied) as rows, each cell the fastest of its settings.

    Args:
        outcome: of the search; "" where nothing ran.
    """
    level = outcome.rate
    if outcome.best is None or not level:
        return ""
    field, prefix = _row_field(outcome.runs)

    def place(setting: Setting) -> Cell:
        return _column(setting), f"{prefix} {getattr(setting, field)}".strip()

    cells: dict[Cell, float] = {}
    for setting, runs in usable(outcome.runs).items():
        share = median_rate(runs) / level
        cells[place(setting)] = max(share, cells.get(place(setting), 0.0))
    tried = {place(run.setting) for run in outcome.runs}
    columns = list(dict.fromkeys(_column(each) for each in sorted(by_setting(outcome.runs), key=_column_order)))
    choices = sorted({getattr(run.setting, field) for run in outcome.runs})
    rows = [f"{prefix} {choice}".strip() for choice in choices]

    def draw(axes: Axes) -> None:
        import matplotlib as mpl

        colors = mpl.colormaps[COLORS]
        for (x, column), (y, row) in itertools.product(enumerate(columns), enumerate(rows)):
            share = cells.get((column, row))
            if share is None:
                if (column, row) in tried:
                    axes.text(x, y, "failed", color=BAD, ha="center", va="center", fontsize=8)
                continue
            depth = min(1.0, max(0.0, (share - DARKEST) / (1 - DARKEST)))
            axes.add_patch(mpl.patches.Rectangle((x - 0.48, y - 0.46), 0.96, 0.92, color=colors(depth), linewidth=0))
            if len(columns) <= MOST_COLUMNS_WITH_FIGURES:
                ink = "#000000" if depth >= LIGHT_CELL else "#ffffff"
                axes.text(x, y, f"{100 * share:.0f}", color=ink, ha="center", va="center", fontsize=9)
        best = place(outcome.best)  # type: ignore[arg-type] # without one there is no map
        at = (columns.index(best[0]) - 0.48, rows.index(best[1]) - 0.46)
        axes.add_patch(mpl.patches.Rectangle(at, 0.96, 0.92, fill=False, edgecolor=INK, linewidth=2.6))
        axes.set_xlim(-0.6, len(columns) - 0.4)
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xticks(
            range(len(columns)), [shown_name(column) for column in columns], rotation=0 if len(columns) < 10 else 60
        )
        axes.set_yticks(range(len(rows)), [shown_name(row) for row in rows])
        axes.grid(False)
        axes.set_xlabel("instances x cores of each" + (", +: with siblings" if any("+" in c for c in columns) else ""))

    return chart(draw, rows_height(len(rows)) + 0.5)


def course_chart(outcome: Outcome) -> str:
    """What each run found, over the seconds that the search had taken by then.

    Args:
        outcome: of the search; "" where nothing ran.
    """
    level = outcome.rate
    if not level:
        return ""
    ended = list(itertools.accumulate(run.cost_s for run in outcome.runs))
    kinds: tuple[tuple[str, str, str, Callable[[Trial], bool]], ...] = (
        ("looking around", INSTANCES[0], "o", lambda run: run.round == EXPLORING and not run.proposed),
        ("proposed by Optuna", INSTANCES[3], "D", lambda run: run.round == EXPLORING and run.proposed),
        ("race", INSTANCES[2], "s", lambda run: run.round != EXPLORING),
    )

    def draw(axes: Axes) -> None:
        axes.axhline(100, color=QUIET, linewidth=1.0, linestyle="--")
        for name, color, marker, belongs in kinds:
            points = [
                (time, 100 * (run.rate or 0.0) / level)
                for time, run in zip(ended, outcome.runs, strict=True)
                if run.counts and belongs(run)
            ]
            if points:
                axes.plot(*zip(*points, strict=True), marker, color=color, markersize=4.5, label=name)
        failed = [time for time, run in zip(ended, outcome.runs, strict=True) if not run.counts]
        if failed:
            axes.plot(failed, [0.0] * len(failed), "x", color=BAD, markersize=6, label="did not count")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds of the search")
        axes.set_ylabel("% of the pick's rate")
        show_legend(axes)

    return chart(draw, 3.2)


def _row_field(runs: Sequence[Trial]) -> tuple[str, str]:
    varied = (row for row in ROWS if len({getattr(run.setting, row[0]) for run in runs}) > 1)
    return next(varied, ROWS[1])


def _column(setting: Setting) -> str:
    return setting.split + "+" * setting.smt


def _column_order(setting: Setting) -> tuple[int, bool, str]:
    count, _, _ = setting.split.partition("x")
    return (int(count) if count.isdecimal() else 0, setting.smt, setting.split)
