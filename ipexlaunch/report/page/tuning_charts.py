"""The charts of a search: its map, and how it went."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ipexlaunch.report.page.chart_axes import chart, rows_height, show_legend, shown_name
from ipexlaunch.report.page.theme import BAD, INK, INSTANCES, QUIET
from ipexlaunch.tune.outcome import Outcome, median_rate
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import EXPLORING, Tried, by_setting, usable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
    kinds: tuple[tuple[str, str, str, Callable[[Tried], bool]], ...] = (
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


def _row_field(runs: Sequence[Tried]) -> tuple[str, str]:
    varied = (row for row in ROWS if len({getattr(run.setting, row[0]) for run in runs}) > 1)
    return next(varied, ROWS[1])


def _column(setting: Setting) -> str:
    return setting.split + "+" * setting.smt


def _column_order(setting: Setting) -> tuple[int, bool, str]:
    count, _, _ = setting.split.partition("x")
    return (int(count) if count.isdecimal() else 0, setting.smt, setting.split)
