"""One page for runs: a single HTML file that asks for nothing, on light and dark ground, wide and narrow."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence

from ipexlaunch import __version__
from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.pictures.svg import machine_svg
from ipexlaunch.machine.wording import grouped
from ipexlaunch.measure.compare_runs import Configuration, Interval, Intervals
from ipexlaunch.measure.report import InstanceReport, Report
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, OpenedSearch
from ipexlaunch.report.page import charts, time_charts
from ipexlaunch.report.page.chart_axes import style_variables
from ipexlaunch.report.page.charts import course_chart, map_chart
from ipexlaunch.report.tables.comparison_table import COMPARED_COLUMNS, job_lines, row
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
.wide { overflow-x: auto } .wide svg { min-width: 600px; width: 100%; height: auto; display: block }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px; width: 100% }
th, td { text-align: right; padding: 4px 10px; border-bottom: 1px solid var(--grid); white-space: nowrap }
th { color: var(--quiet); font-weight: 600 } td.words, th.words { text-align: left; white-space: normal }
td.words:nth-child(2) { min-width: 5em }
.long td.words { min-width: 15em }
tr.failed td { color: var(--bad) }
.wide img { max-width: 100%; min-width: 480px; height: auto; display: block }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; margin: 0; font-size: 13px }
dt { color: var(--quiet) } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 560px) { main { padding: 8px } dl { grid-template-columns: 1fr } dd { margin-bottom: 6px } }
"""


def page(
    runs: Sequence[OpenedRun], configurations: Sequence[Configuration], searches: Sequence[OpenedSearch] = ()
) -> str:
    """The whole page.

    Args:
        runs: in the order in which they are shown.
        configurations: as `compare` gives them; shown where there is more than one run.
        searches: what `ipexlaunch tune` found; shown first.
    """
    shown: list[OpenedSearch | OpenedRun] = [*searches, *runs]
    kinds = [grouped(len(group), kind) for group, kind in ((searches, "search"), (runs, "run")) if group]
    title = f"ipexlaunch: {shown[0].name}" if len(shown) == 1 else f"ipexlaunch: {' and '.join(kinds)}"
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<title>{_escaped(title)}</title>\n<link rel="icon" href="data:,">',
        f"<style>\n{style_variables()}{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{_escaped(title)}</h1>",
    ]
    for search in searches:
        parts += [f"<h2>{_escaped(search.name)}</h2>" if len(shown) > 1 else "", *_search(search.outcome)]
    if len(runs) > 1:
        parts += _comparison(configurations)
    for run in runs:
        host = f": {run.report.host.place}" if run.report.host is not None and run.report.host.words else ""
        parts += [f"<h2>{_escaped(run.name + host)}</h2>" if len(shown) > 1 else "", *_run(run)]
    parts.append(f"<footer>written by ipexlaunch {__version__}</footer>\n</main>\n</body>\n</html>\n")
    return "\n".join(part for part in parts if part)


def _escaped(text: object) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in str(text))
    return html.escape(printable.encode("utf-8", "replace").decode())


def _card(heading: str, body: str) -> str:
    return f'<section class="card">\n<h3>{_escaped(heading)}</h3>\n{body}\n</section>' if body else ""


def _chart(heading: str, svg: str, key: str = "") -> str:
    if not svg:
        return ""
    labelled = svg.replace("<svg ", f'<svg role="img" aria-label="{_escaped(heading)}" ', 1)
    return _card(heading, f'{key}<div class="wide">{labelled}</div>')


def _table(heads: Sequence[str], rows: Iterable[tuple[Sequence[str], str]], words: int = 1) -> str:
    """A table; its first columns hold words."""
    kinds = [' class="words"' if place < words else "" for place in range(len(heads))]
    lines = ["<tr>" + "".join(f"<th{k}>{_escaped(head)}</th>" for k, head in zip(kinds, heads, strict=True)) + "</tr>"]
    for cells, kind in rows:
        inside = "".join(f"<td{k}>{_escaped(cell)}</td>" for k, cell in zip(kinds, cells, strict=True))
        lines.append(f"<tr{f' class={chr(34)}{kind}{chr(34)}' if kind else ''}>{inside}</tr>")
    return '<div class="wide"><table>\n' + "\n".join(lines) + "\n</table></div>"


def _comparison(configurations: Sequence[Configuration]) -> list[str]:
    rows = [(row(configuration), "") for configuration in configurations]
    names = "".join(f"<li>{_escaped(c.label)}: {_escaped(', '.join(c.names))}</li>" for c in configurations)
    names += "".join(f"<li>{_escaped(line)}</li>" for line in job_lines(configurations))
    unit = _escaped(configurations[0].unit)
    told = (
        f'<p class="quiet">{unit} by makespan. Runs of the same program on the same instances of the same machine '
        "repeat each other. Ratios are to the first line. Intervals: Student's t of the mean logarithm, Welch's t for "
        f"ratios; they need two runs at least.</p><ul>{names}</ul>"
    )
    return [
        _card("Comparison", _table(COMPARED_COLUMNS, rows) + told),
        _chart("Scaling", charts.scaling_chart(configurations)),
    ]


def _search(outcome: Outcome) -> list[str]:
    cost_s = sum(run.cost_s for run in outcome.runs)
    tried = len({run.setting for run in outcome.runs})
    figures = _tiles(
        [
            (_figure(outcome.rate), "items/s of the pick"),
            (
                str(len(outcome.runs)),
                f"{'run' if len(outcome.runs) == 1 else 'runs'} of {tried} of {grouped(outcome.settings, 'setting')}",
            ),
            (_figure(cost_s), "seconds, loading included"),
        ]
    )
    best = outcome.best.words if outcome.best is not None else "nothing ran"
    told = f'<p class="verdict">{_escaped(best)}</p><p class="quiet">{_escaped(outcome.why)}</p>'
    key = '<p class="quiet">Figures: % of the pick\'s rate, of the fastest setting that a cell stands for.</p>'
    rows, remarks = setting_rows(outcome)
    notes = "".join(f'<li class="note">{_escaped(remark)}</li>' for remark in remarks)
    table = f'<div class="long">{_table(SETTING_HEADS, ((row, "") for row in rows))}</div>' if rows else ""
    return [
        _card("Pick", told + figures),
        _chart("Map", map_chart(outcome), key),
        _chart("Search", course_chart(outcome)),
        _card("Settings", table + (f"<ul>{notes}</ul>" if notes else "")),
    ]


def _run(run: OpenedRun) -> list[str]:
    report, kept = run.report, run.kept
    parts = [_card("Result", _result(report)), _card("Instances", _instances(report))]
    happened = kept.run if kept is not None else None
    if happened is not None:
        parts += [
            _chart("Throughput of each instance", time_charts.throughput_chart(happened)),
            _chart("Throughput of all", time_charts.total_chart(happened)),
            _chart("Latency", charts.latency_chart(happened)),
        ]
    parts.append(_chart("Memory by node", charts.memory_chart(report)))
    if happened is not None:
        parts.append(_chart("Phases", time_charts.phases_chart(happened)))
    if rows := start_rows(report):
        parts.append(_card("Start of the workers", _table(START_HEADS, ((row, "") for row in rows))))
    if kept is not None:
        parts.append(_card("Machine", _machine(run)))
    parts.append(_card("Where and what", _provenance(run)))
    return parts


def _result(report: Report) -> str:
    throughput, unit, memory = report.throughput, report.throughput.unit, report.resident
    figures = [
        (_figure(throughput.makespan), f"{unit} by makespan"),
        (_figure(throughput.steady), f"{unit} while all worked"),
        (_figure(throughput.naive_sum), "naive sum, for comparison only"),
        (_figure(throughput.tokens_per_second), "tokens/s"),
        (None if report.efficiency is None else f"{report.efficiency:.1%}", "scaling efficiency"),
        (_figure(throughput.seconds), "seconds of makespan"),
        *((_figure(value), f"ms latency {name}") for name, value in report.latency_ms.items()),
        (_figure(memory.proportional_bytes / MIB) if memory else None, "MB of memory, what is shared counted once"),
    ]
    verdict = "VALID" if report.valid else "INVALID"
    reasons = "".join(f'<li class="invalid">{_escaped(reason)}</li>' for reason in report.reasons)
    notes = "".join(f'<li class="note">{_escaped(warning)}</li>' for warning in report.warnings)
    listed = f"<ul>{reasons}{notes}</ul>" if reasons or notes else ""
    return f'<p class="verdict {verdict.lower()}">{verdict}</p>{listed}{_tiles(figures)}'


def _tiles(figures: Iterable[tuple[str | None, str]]) -> str:
    """Figures with what they are; those that are not known are left out."""
    known = [(value, what) for value, what in figures if value is not None]
    tiles = "".join(f"<div><b>{_escaped(value)}</b><span>{_escaped(what)}</span></div>" for value, what in known)
    return f'<div class="figures">{tiles}</div>'


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
            _figure(instance.rate) or "-",
            _figure(instance.latency_ms.get("p50")) or "-",
            _figure(instance.latency_ms.get("p99")) or "-",
            "-" if kept is None else f"{kept:.1%}",
            "-" if share is None else f"{share:.1%}",
            _figure(instance.ready_s) or "-",
            "-" if instance.exit is None else str(instance.exit),
        )

    table = _table(HEADS, ((cells(i), "failed" if i.index in report.failed else "") for i in report.instances), words=3)
    if len(report.instances) <= MOST_ROWS:
        return table
    return f"<details><summary>{len(report.instances)} instances</summary>{table}</details>"


def _machine(run: OpenedRun) -> str:
    if run.kept is None:
        return ""
    assignment = {cpu: i.index for i in run.kept.plan.instances for cpu in i.cpus}
    svg = machine_svg(run.kept.topology, assignment, dark=True).encode()
    # As an image, so that its style stays its own.
    data = base64.b64encode(svg).decode()
    alt = "the machine with every cpu in the colour of its instance"
    return f'<div class="wide"><img alt="{alt}" src="data:image/svg+xml;base64,{data}"></div>'


def _provenance(run: OpenedRun) -> str:
    facts: dict[str, object] = dict(run.report.provenance)
    if (here := run.report.host) is not None:
        facts["host"] = here.words or here.name
    if isinstance(program := facts.get("program"), list):
        facts["program"] = " ".join(map(str, program))
    if run.kept is not None:
        seen = run.kept.environment
        names = ("cpu_model", "microcode", "smt", "transparent_huge_pages", "governors", "cpu_quota")
        facts |= {name: seen[name] for name in names if seen.get(name) not in (None, {}, "")}
        packages = (seen.get("python") or {}).get("packages", {})
        known = ("torch", "intel-extension-for-pytorch", "transformers", "torchao", "numpy")
        facts |= {name: packages[name] for name in known if name in packages}
    facts |= run.report.facts
    shown = ((name, value) for name, value in facts.items() if value not in (None, "", []))
    rows = "".join(f"<dt>{_escaped(name)}</dt><dd>{_escaped(_words(value))}</dd>" for name, value in shown)
    return f"<dl>{rows}</dl>"


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(map(_words, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _figure(value: float | None) -> str | None:
    """As in the tables, with thousands apart; None where it is not known."""
    if value is None:
        return None
    return f"{value:,.0f}" if value >= 1000 else format_number(value)
