"""What a search tried, as a table for people."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import median

from ipexlaunch.documents.visible_text import format_number, wrapped
from ipexlaunch.machine.wording import grouped, table_text
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.successive_rounds import Standing, standings
from ipexlaunch.tune.trial import Outcome, Trial, by_setting, median_rate

HEADS = ("setting", "runs", "items/s", "of the best", "p99 ms", "peak MB", "")

SHOWN = 20
"""More settings are summed up in a line; the JSON file has all."""


def tuning_text(outcome: Outcome, *, width: int = 100, color: bool = False) -> str:
    """What a search cost, and a line for each setting; no line of the table is longer than `width`.

    Args:
        outcome: the search.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    tried = len({run.setting for run in outcome.runs})
    cost_s = sum(run.cost_s for run in outcome.runs)
    head = f"{grouped(len(outcome.runs), 'run')} of {tried} of {grouped(outcome.settings, 'setting')}, {cost_s:.0f} s"
    rows, remarks = setting_rows(outcome)
    right = ("runs", "items/s", "of the best", "p99 ms", "peak MB")
    text = (
        table_text(
            HEADS,
            rows,
            right=right,
            texts=("setting",),
            dispensable=("runs", "peak MB", "p99 ms"),
            width=width,
            color=color,
        )
        if rows
        else ""
    )
    return f"{head}\n\n{text}" + "".join(f"{line}\n" for remark in remarks for line in wrapped(remark, width))


def setting_rows(outcome: Outcome) -> tuple[list[list[str]], list[str]]:
    """(Rows of HEADS, one per setting by how near it comes to the best; what else is to be said.)

    Args:
        outcome: the search; who did not race stands behind those who did, by its short runs.
    """
    tried, best = by_setting(outcome.runs), outcome.best
    raced = {each.setting: each for each in standings(outcome.runs)}
    level = median_rate(tried[best]) if best is not None else math.nan
    ran = [setting for setting, runs in tried.items() if all(run.counts for run in runs)]
    ran.sort(key=lambda setting: (setting != best, setting not in raced, _behind(setting, raced, tried, level)))
    rows = [_row(setting, tried[setting], raced.get(setting), level, setting == best) for setting in ran[:SHOWN]]
    return rows, [*_remarks(ran, tried), *outcome.left_out]


def _behind(setting: Setting, raced: dict[Setting, Standing], tried: dict[Setting, list[Trial]], level: float) -> float:
    return raced[setting].behind if setting in raced else math.log(level / median_rate(tried[setting]))


def _row(setting: Setting, runs: Sequence[Trial], standing: Standing | None, level: float, best: bool) -> list[str]:
    rate = median_rate(runs)
    share = math.exp(-standing.behind) if standing else rate / level
    error = f" ±{standing.error:.1%}" if standing and standing.error else ""
    latencies = [run.latency_ms for run in runs if run.latency_ms is not None]
    peak = max(run.peak_bytes for run in runs)
    return [
        setting.words,
        str(len(runs)),
        format_number(rate),
        "100 %" if best else f"{100 * share:.1f} %{error}",
        format_number(median(latencies)) if latencies else "",
        f"{peak / 1e6:,.0f}" if peak else "",
        "best" if best else "" if standing else "short runs only",
    ]


def _remarks(ran: Sequence[Setting], tried: dict[Setting, list[Trial]]) -> Iterator[str]:
    if len(ran) > SHOWN:
        yield f"and {grouped(len(ran) - SHOWN, 'slower setting')}"
    troubles: dict[str, list[str]] = {}
    for setting, runs in tried.items():
        for trouble in dict.fromkeys(run.trouble for run in runs if run.trouble):
            troubles.setdefault(trouble, []).append(setting.words)
    for trouble, names in troubles.items():
        few = "; ".join(names[:3]) + (f"; and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"did not count: {few}: {trouble}"
