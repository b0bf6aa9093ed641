"""The report as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ipexlaunch.cpulist import format_list
from ipexlaunch.report import InstanceReport, Report, Throughput

if TYPE_CHECKING:
    from rich.table import Table

MIB = 1 << 20

COUNTED = ("items", "items/s", "p50 ms", "p90 ms", "p99 ms")
COLUMNS = ("", "cpus", "node", "memory", "ready s", *COUNTED, "local", "peak MB", "exit")

DISPENSABLE = ("p90 ms", "peak MB", "ready s", "items", "memory", "p50 ms")
"""Columns that a narrow terminal goes without, in this order; the JSON report has them all."""

WIDEST = 10_000


def report_table(report: Report, *, width: int = 100, color: bool = False) -> str:
    """Instances as rows, then the total, then VALID or INVALID with every reason.

    Args:
        report: what to show.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    from io import StringIO

    from rich.console import Console
    from rich.measure import Measurement
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False)
    counted = report.throughput.items > 0
    shown = [name for name in COLUMNS if counted or name not in COUNTED]
    for dispensable in (*DISPENSABLE, ""):
        table = _table(report, shown)
        if Measurement.get(console, console.options.update(width=WIDEST), table).maximum <= width:
            break
        shown = [name for name in shown if name != dispensable]
    console.print(table)
    for line in _total(report.throughput, report.latency_ms):
        console.print(Text(line, style="bold" if line.startswith("total") else ""), soft_wrap=True)
    for warning in report.warnings:
        console.print(Text(f"note: {warning}"), soft_wrap=True)
    style = "bold green" if report.valid else "bold red"
    console.print(
        Text("VALID" if report.valid else f"INVALID: {'; '.join(report.reasons)}", style=style), soft_wrap=True
    )
    return out.getvalue()


def _table(report: Report, columns: Sequence[str]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        left = name in ("cpus", "node", "memory")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "cpus", overflow="fold")
    for instance in report.instances:
        row = _row(instance)
        table.add_row(*(row[name] for name in columns), style="bold red" if instance.exit else None)
    return table


def _row(instance: InstanceReport) -> dict[str, str]:
    return {
        "": rf"\[{instance.index}]",
        "cpus": format_list(instance.cpus) or "-",
        "node": format_list(instance.nodes) or "-",
        "memory": instance.memory,
        "ready s": _figure(instance.ready_s),
        "items": str(instance.items),
        "items/s": _figure(instance.rate),
        "p50 ms": _figure(instance.latency_ms.get("p50")),
        "p90 ms": _figure(instance.latency_ms.get("p90")),
        "p99 ms": _figure(instance.latency_ms.get("p99")),
        "local": "-" if instance.local_pages is None else f"{instance.local_pages:.1%}",
        "peak MB": f"{instance.peak_memory_bytes / MIB:.0f}" if instance.peak_memory_bytes else "-",
        "exit": str(instance.exit),
    }


def _total(throughput: Throughput, latency_ms: Mapping[str, float]) -> list[str]:
    if throughput.makespan is None:
        return ["no throughput: the program counted no items (three calls do: see docs/worker-protocol.md)"]
    lines = [f"total {_figure(throughput.makespan)} {throughput.unit}"]
    lines[0] += (
        f"  ({throughput.items} items in {_figure(throughput.seconds)} s from the common start to the last item)"
    )
    details = []
    if throughput.tokens_per_second is not None:
        details.append(f"{_figure(throughput.tokens_per_second)} tokens/s")
    if throughput.steady is not None:
        window = _figure(throughput.steady_seconds)
        details.append(f"steady {_figure(throughput.steady)} {throughput.unit} while all worked ({window} s)")
    if throughput.naive_sum is not None:
        details.append(f"sum of the workers' own rates {_figure(throughput.naive_sum)}")
    if latency_ms:
        details.append("latency " + ", ".join(f"{name} {_figure(value)} ms" for name, value in latency_ms.items()))
    return [*lines, "  " + "; ".join(details)] if details else lines


def _figure(value: float | None) -> str:
    """Four significant digits, never an exponent; "-" for what is not known."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"
