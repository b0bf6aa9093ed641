"""One page for runs: a single HTML file that asks for nothing, on light and dark ground, wide and narrow."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from ipexlaunch import __version__
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.pictures.svg import machine_svg
from ipexlaunch.machine.wording import grouped
from ipexlaunch.measure.across_hosts import compared_with_one
from ipexlaunch.measure.compare_runs import Configuration, Interval, Intervals
from ipexlaunch.measure.report import InstanceReport, Report
from ipexlaunch.report.kept_runs.open_groups import OpenedGroup
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, OpenedSearch
from ipexlaunch.report.page import charts, time_charts
from ipexlaunch.report.page.cards import card, chart, escaped, figure, judged, table, tiles
from ipexlaunch.report.page.chart_axes import style_variables
from ipexlaunch.report.page.charts import course_chart, map_chart
from ipexlaunch.report.page.fact_cards import batch_figures, provenance
from ipexlaunch.report.page.group_cards import group_cards
from ipexlaunch.report.tables.comparison_table import COMPARED_COLUMNS, comparison_notes, row
from ipexlaunch.report.tables.report_table import MIB
from ipexlaunch.report.tables.start_table import HEADS as START_HEADS
from ipexlaunch.report.tables.start_table import start_rows
from ipexlaunch.report.tables.tuning_tables import HEADS as SETTING_HEADS
from ipexlaunch.report.tables.tuning_tables import setting_rows
from ipexlaunch.tune.trial import Outcome

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


_STYLE = """\
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink) }
body { font: 15px/1.5 system-ui, "DejaVu Sans", Verdana, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 16px }
h1 { font-size: 22px; margin: 8px 0 16px } h2 { font-size: 19px; margin: 28px 0 8px; overflow-wrap: anywhere }
h3 { font-size: 15px; margin: 0 0 8px }
section.card { background: var(--ground); border: 1px solid var(--line); border-radius: 8px }
section.card { padding: 14px; margin: 12px 0 }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(148px, 1fr)); gap: 12px }
.figures div { border-left: 3px solid var(--line); padding-left: 10px }
.figures b { display: block; font-size: 20px; font-weight: 600; font-variant-numeric: tabular-nums }
.figures span, .quiet, footer { color: var(--quiet); font-size: 13px }
.verdict { font-weight: 700 } .valid { color: var(--good) } .invalid { color: var(--bad) } .note { color: var(--warn) }
ul { margin: 6px 0; padding-left: 20px }
.wide { overflow-x: auto } .drawn svg { width: 100%; height: auto; display: block }
.drawn.narrow { display: none }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; width: 100% }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--grid); white-space: nowrap }
th { color: var(--quiet); font-weight: 600 } td.words, th.words { text-align: left; white-space: normal }
td.words:nth-child(2) { min-width: 5em }
.long td.words { min-width: 15em }
tr.failed td { color: var(--bad) }
.wide img { max-width: 100%; min-width: 480px; height: auto; display: block }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; font-size: 13px }
dt { color: var(--quiet) } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 600px) { .drawn.narrow { display: block } .drawn.wide { display: none } }
@media (max-width: 560px) { main { padding: 8px } dl { grid-template-columns: 1fr } dd { margin-bottom: 6px } }
"""


def page(
    runs: Sequence[OpenedRun],
    configurations: Sequence[Configuration],
    searches: Sequence[OpenedSearch] = (),
    groups: Sequence[OpenedGroup] = (),
) -> str:
    """The whole page.

    Args:
        runs: in the order in which they are shown.
        configurations: as `compare` gives them; shown where there is more than one run.
        searches: what `ipexlaunch tune` found; shown first.
        groups: runs over several hosts; shown next, each with its hosts.
    """
    shown: list[OpenedSearch | OpenedGroup | OpenedRun] = [*searches, *groups, *runs]
    counts = ((len(searches), "search"), (len(groups), "run over several hosts"), (len(runs), "run"))
    kinds = [f"{count} {kind}" if kind[-1] == "s" else grouped(count, kind) for count, kind in counts if count]
    title = f"ipexlaunch: {shown[0].name}" if len(shown) == 1 else f"ipexlaunch: {' and '.join(kinds)}"
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{escaped(title)}</title>\n<link rel="icon" href="data:,">',
        f"<style>\n{style_variables()}{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escaped(title)}</h1>",
    ]
    for search in searches:
        parts += [f"<h2>{escaped(search.name)}</h2>" if len(shown) > 1 else "", *_search(search.outcome)]
    for each in groups:
        parts += [f"<h2>{escaped(each.name)}</h2>" if len(shown) > 1 else ""]
        parts += group_cards(each, compared_with_one(each.group, [run.report for run in runs]))
        for member in each.hosts:
            parts += [f"<h2>{escaped(f'{each.name}: {member.name}')}</h2>", *_run(member)]
    if len(runs) > 1:
        parts += _comparison(configurations)
    for run in runs:
        host = f": {run.report.host.place}" if run.report.host is not None and run.report.host.words else ""
        parts += [f"<h2>{escaped(run.name + host)}</h2>" if len(shown) > 1 else "", *_run(run)]
    parts.append(f"<footer>written by ipexlaunch {__version__}</footer>\n</main>\n</body>\n</html>\n")
    return "\n".join(part for part in parts if part)


def _comparison(configurations: Sequence[Configuration]) -> list[str]:
    rows = [(row(configuration), "") for configuration in configurations]
    names = "".join(f"<li>{escaped(c.label)}: {escaped(', '.join(c.names))}</li>" for c in configurations)
    names += "".join(f"<li>{escaped(line)}</li>" for line in comparison_notes(configurations))
    unit = escaped(configurations[0].unit)
    told = (
        f'<p class="quiet">{unit} by makespan. Runs of the same program on the same instances of the same machine '
        "repeat each other. Ratios are to the first line. Intervals: Student's t of the mean logarithm, Welch's t for "
        f"ratios; they need two runs at least.</p><ul>{names}</ul>"
    )
    return [
        card("Comparison", table(COMPARED_COLUMNS, rows) + told),
        chart("Scaling", charts.scaling_chart(configurations)),
    ]


def _search(outcome: Outcome) -> list[str]:
    cost_s = sum(run.cost_s for run in outcome.runs)
    tried = len({run.setting for run in outcome.runs})
    figures = tiles(
        [
            (figure(outcome.rate), "items/s of the pick"),
            (
                str(len(outcome.runs)),
                f"{'run' if len(outcome.runs) == 1 else 'runs'} of {tried} of {grouped(outcome.settings, 'setting')}",
            ),
            (figure(cost_s), "seconds, loading included"),
        ]
    )
    best = outcome.best.words if outcome.best is not None else "nothing ran"
    told = f'<p class="verdict">{escaped(best)}</p><p class="quiet">{escaped(outcome.why)}</p>'
    key = '<p class="quiet">Figures: % of the pick\'s rate, of the fastest setting that a cell stands for.</p>'
    rows, remarks = setting_rows(outcome)
    notes = "".join(f'<li class="note">{escaped(remark)}</li>' for remark in remarks)
    listed = f'<div class="long">{table(SETTING_HEADS, ((row, "") for row in rows))}</div>' if rows else ""
    return [
        card("Pick", told + figures),
        chart("Map", map_chart(outcome), key),
        chart("Search", course_chart(outcome)),
        card("Settings", listed + (f"<ul>{notes}</ul>" if notes else "")),
    ]


def _run(run: OpenedRun) -> list[str]:
    report, kept = run.report, run.kept
    parts = [card("Result", _result(report)), card("Instances", _instances(report))]
    if report.batch is not None:
        parts.append(card("Batch job", batch_figures(report.batch)))
    happened = kept.run if kept is not None else None
    if happened is not None:
        parts += [
            chart("Throughput of each instance", time_charts.throughput_chart(happened)),
            chart("Throughput of all", time_charts.total_chart(happened)),
            chart("Latency", charts.latency_chart(happened)),
        ]
    parts.append(chart("Memory by node", charts.memory_chart(report)))
    if happened is not None:
        parts.append(chart("Phases", time_charts.phases_chart(happened)))
    if rows := start_rows(report):
        parts.append(card("Start of the workers", table(START_HEADS, ((row, "") for row in rows))))
    if kept is not None:
        parts.append(card("Machine", _machine(run)))
    parts.append(card("Where and what", provenance(run)))
    return parts


def _result(report: Report) -> str:
    throughput, unit, memory = report.throughput, report.throughput.unit, report.resident
    figures = [
        (figure(throughput.makespan), f"{unit} by makespan"),
        (figure(throughput.steady), f"{unit} while all worked"),
        (figure(throughput.naive_sum), "naive sum, for comparison only"),
        (figure(throughput.tokens_per_second), "tokens/s"),
        (None if report.efficiency is None else f"{report.efficiency:.1%}", "scaling efficiency"),
        (figure(throughput.seconds), "seconds of makespan"),
        *((figure(value), f"ms latency {name}") for name, value in report.latency_ms.items()),
        (figure(memory.proportional_bytes / MIB) if memory else None, "MB of memory, what is shared counted once"),
    ]
    return judged(report.valid, report.reasons, report.warnings) + tiles(figures)


MOST_ROWS = 16
"""A longer table is folded."""

HEADS = ("", "cpus", "node", "items", "items/s", "p50 ms", "p99 ms", "of solo", "local", "ready s", "exit")


def _instances(report: Report) -> str:
    def cells(instance: InstanceReport) -> tuple[str, ...]:
        share, kept = instance.local_pages, instance.interference
        return (
            str(instance.index),
            format_list(instance.cpus) or "-",
            format_list(instance.nodes) or "-",
            str(instance.items),
            figure(instance.rate) or "-",
            figure(instance.latency_ms.get("p50")) or "-",
            figure(instance.latency_ms.get("p99")) or "-",
            "-" if kept is None else f"{kept:.1%}",
            "-" if share is None else f"{share:.1%}",
            figure(instance.ready_s) or "-",
            "-" if instance.exit is None else str(instance.exit),
        )

    listed = table(HEADS, ((cells(i), "failed" if i.index in report.failed else "") for i in report.instances), words=3)
    if len(report.instances) <= MOST_ROWS:
        return listed
    return f"<details><summary>{len(report.instances)} instances</summary>{listed}</details>"


def _machine(run: OpenedRun) -> str:
    if run.kept is None:
        return ""
    assignment = {cpu: i.index for i in run.kept.plan.instances for cpu in i.cpus}
    svg = machine_svg(run.kept.topology, assignment, dark=True).encode()
    # As an image, so that its style stays its own.
    data = base64.b64encode(svg).decode()
    alt = "the machine with every cpu in the colour of its instance"
    return f'<div class="wide" tabindex="0"><img alt="{alt}" src="data:image/svg+xml;base64,{data}"></div>'
