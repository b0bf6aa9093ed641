"""The report as a table for people."""

from __future__ import annotations

from collections.abc import Mapping

from ipexlaunch.cpulist import format_list
from ipexlaunch.report import InstanceReport, Report, Throughput

MIB = 1 << 20


def report_table(report: Report, *, width: int = 100, color: bool = False) -> str:
    """Instances as rows, then the total, then VALID or INVALID with every reason.

    Args:
        report: what to show.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    counted = report.throughput.items > 0
    columns = ["", "cpus", "node", "memory", "ready s"]
    columns += ["items", "items/s", "p50 ms", "p90 ms", "p99 ms"] if counted else []
    columns += ["local", "peak MB", "exit"]
    for name in columns:
        left = name in ("cpus", "node", "memory")
        table.add_column(name, justify="left" if left else "right", no_wrap=name != "cpus", overflow="fold")
    for instance in report.instances:
        table.add_row(*_row(instance, counted), style="bold red" if instance.exit else None)
    out = StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False)
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


def _row(instance: InstanceReport, counted: bool) -> list[str]:
    row = [
        f"[{instance.index}]".replace("[", r"\["),
        format_list(instance.cpus) or "-",
        format_list(instance.nodes) or "-",
        instance.memory,
        _figure(instance.ready_s),
    ]
    if counted:
        row += [str(instance.items), _figure(instance.rate)]
        row += [_figure(instance.latency_ms.get(name)) for name in ("p50", "p90", "p99")]
    local = "-" if instance.local_pages is None else f"{instance.local_pages:.1%}"
    peak = f"{instance.peak_memory_bytes / MIB:.0f}" if instance.peak_memory_bytes else "-"
    return [*row, local, peak, str(instance.exit)]


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
