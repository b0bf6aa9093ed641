"""A report as a table for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from ipexlaunch.documents.visible_text import fitting_columns, format_number, wrapped
from ipexlaunch.launch.lifecycle import SIGNAL_BASE, Stage
from ipexlaunch.launch.placement.placement import Resident
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.rates import STARTS
from ipexlaunch.measure.report import CLAIMED_RATE, InstanceReport, Report
from ipexlaunch.measure.scaling import Baseline
from ipexlaunch.report.live.wording import plain_line
from ipexlaunch.report.tables.service_parts import service_parts
from ipexlaunch.report.tables.start_table import phase_parts, start_line

MIB = 1 << 20

GAP = 2
"""Between two columns."""

StyledLine = tuple[str, str]
"""A line, and its style as rich knows it; "" for none."""

StyledRow = tuple[Sequence[str], str]
"""Cells, and their style."""

COUNTED = ("items", "items/s", "tokens/s", "p50 ms", "p90 ms", "p99 ms")
CLAIMED = "claimed/s"
SOLO = "of solo"
DEVICE = "device"
COLUMNS = ("", "cpus", "node", DEVICE, "memory", "ready s", *COUNTED, SOLO, CLAIMED, "local", "peak MB", "exit")

DISPENSABLE = ("tokens/s", "p90 ms", "peak MB", "ready s", "items", "memory", "p50 ms")
"""Columns that a narrow terminal goes without, in this order; the JSON report has them all."""

OWN_END: tuple[Stage, ...] = ("load", "run")
"""Stages of a failure of which the worker itself chose the code."""

LEFT = ("cpus", "node", DEVICE, "memory")
"""Columns of words."""


def report_table(report: Report, *, width: int = 100, color: bool = False) -> str:
    """Instances as rows, then the total, then VALID or INVALID with every reason.

    Args:
        report: what to show.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    absent = _absent(report)
    shown = [name for name in COLUMNS if name not in absent]
    rows = [
        ([cells[name] for name in shown], "bold red" if instance.index in report.failed else "")
        for instance in report.instances
        for cells in [_row(instance)]
    ]
    lines = [*map(total_style, _total(report, width)), *judged(report.valid, report.reasons, report.warnings)]
    if whose := _whose_exit_code(report):
        lines.append((whose, ""))
    return result_text(
        shown, rows, lines, left=LEFT, folded=("cpus",), dispensable=DISPENSABLE, width=width, color=color
    )


def result_text(
    heads: Sequence[str],
    rows: Sequence[StyledRow],
    lines: Iterable[StyledLine],
    *,
    left: Collection[str],
    folded: Collection[str],
    dispensable: Sequence[str],
    width: int,
    color: bool,
) -> str:
    """A table and lines below it.

    Args:
        heads: the columns' names.
        rows: as many cells each.
        lines: shown whole, whatever their length.
        left: names of the columns that are set flush left.
        folded: names of the columns that may be folded.
        dispensable: names of those that a narrow terminal goes without, in this order.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    kept = fitting_columns(heads, [cells for cells, _ in rows], (), dispensable, width, gap=GAP)
    for name in (heads[column] for column in kept):
        justify, wraps = "left" if name in left else "right", name in folded
        table.add_column(name, justify=justify, no_wrap=not wraps, overflow="fold")  # type: ignore[arg-type]
    for cells, style in rows:
        table.add_row(*(Text(cells[column]) for column in kept), style=style or None)
    console.print(table)
    for line, style in lines:
        console.print(Text(line, style=style), soft_wrap=True)
    return out.getvalue()


def total_style(line: str) -> StyledLine:
    """A line below the table, the headline in bold.

    Args:
        line: one that begins with "total" is the headline.
    """
    return line, "bold" if line.startswith("total") else ""


def judged(valid: bool, reasons: Sequence[str], warnings: Iterable[str]) -> Iterator[StyledLine]:
    """Every note, then VALID, or INVALID with every reason.

    Args:
        valid: which of both.
        reasons: why it is INVALID.
        warnings: what the reader should know.
    """
    yield from ((f"note: {warning}", "") for warning in warnings)
    yield ("VALID", "bold green") if valid else (f"INVALID: {'; '.join(reasons)}", "bold red")


def _whose_exit_code(report: Report) -> str:
    """Whose an exit code is that is a worker's own: 2, 3, 4 and others mean something else where they are ours."""
    first = next((failure for failure in report.failures if failure.code == report.exit_code), None)
    if first is None or first.stage not in OWN_END or report.exit_code > SIGNAL_BASE:
        return ""
    return f"exit code {report.exit_code} is that of instance {first.index}'s program"


def _absent(report: Report) -> set[str]:
    """Columns of which there is nothing to show."""
    absent = set() if report.throughput.items else set(COUNTED)
    if not report.throughput.tokens:
        absent.add("tokens/s")
    if not report.latency_ms:
        absent.update(("p50 ms", "p90 ms", "p99 ms"))
    if not any(instance.interference is not None for instance in report.instances):
        absent.add(SOLO)
    if not any(CLAIMED_RATE in instance.facts for instance in report.instances):
        absent.add(CLAIMED)
    if not any(instance.accelerator for instance in report.instances):
        absent.add(DEVICE)
    return absent


def _row(instance: InstanceReport) -> dict[str, str]:
    return {
        "": f"[{instance.index}]",
        "cpus": format_list(instance.cpus) or "-",
        "node": format_list(instance.nodes) or "-",
        DEVICE: instance.accelerator or "-",
        "memory": instance.memory,
        "ready s": format_number(instance.ready_s),
        "items": str(instance.items),
        "items/s": format_number(instance.rate),
        "tokens/s": format_number(
            instance.rate * instance.tokens / instance.items if instance.rate and instance.items else None
        ),
        "p50 ms": format_number(instance.latency_ms.get("p50")),
        "p90 ms": format_number(instance.latency_ms.get("p90")),
        "p99 ms": format_number(instance.latency_ms.get("p99")),
        SOLO: "-" if instance.interference is None else f"{instance.interference:.1%}",
        CLAIMED: format_number(claimed)
        if isinstance(claimed := instance.facts.get(CLAIMED_RATE), int | float)
        else "-",
        "local": "-" if instance.local_pages is None else f"{instance.local_pages:.1%}",
        "peak MB": f"{instance.peak_memory_bytes / MIB:.0f}" if instance.peak_memory_bytes else "-",
        "exit": "-" if instance.exit is None else str(instance.exit),
    }


def _total(report: Report, width: int) -> list[str]:
    """The headline, and below it what else is known of the whole run, a line for each kind of figure."""
    throughput = report.throughput
    lines = []
    if throughput.makespan is None:
        claim = throughput.naive_sum
        lines.append(f"no throughput: {_nothing(report)}")
        lines[0] += f"; the workers claim {format_number(claim)} a second in sum" if claim is not None else ""
        if claim is None and report.valid and report.batch is None and report.service is None:
            lines += wrapped(HOW_TO_COUNT, width, "    ")
    else:
        unit = "request" if report.service is not None else "item"
        work = f"{counted(throughput.items, unit)} in {format_number(throughput.seconds)} s"
        lines.append(f"total {format_number(throughput.makespan)} {throughput.unit}")
        lines[0] += (
            f"  ({work} from {STARTS[throughput.start] if throughput.start else 'the start'} to the last {unit})"
        )
    details = []
    if throughput.tokens_per_second is not None:
        details.append(f"{format_number(throughput.tokens_per_second)} tokens/s")
    if throughput.steady is not None:
        window = format_number(throughput.steady_seconds)
        details.append(f"steady {format_number(throughput.steady)} {throughput.unit} while all worked ({window} s)")
    if throughput.naive_sum is not None and throughput.makespan is not None:
        details.append(f"sum of the workers' own rates {format_number(throughput.naive_sum)}")
    lines += _joined(details, "; ", width)
    if report.service is not None:
        lines += _joined(service_parts(report.service), "; ", width)
    if report.baseline is not None:
        lines += _joined([_scaling(report, report.baseline)], "; ", width)
    if report.latency_ms:
        lines += _joined([f"latency {_percentiles(report.latency_ms)}"], "; ", width)
    for kind, found in report.distributions_ms.items():
        figures = _percentiles({"p50": found.p50, "p90": found.p90, "p99": found.p99})
        lines += _joined([f"{plain_line(kind)} {figures} ({counted(found.count, 'sample')})"], "; ", width)
    if report.resident is not None:
        lines += _joined([_memory(report.resident, len(report.instances))], "; ", width)
    lines += _joined(phase_parts(report.instances), ", ", width, "before ready, the longest of each: ")
    lines += _joined(start_line(report), ", ", width)
    lines += _joined(_facts(report.facts), "; ", width, "all say: ")
    if report.host is not None and report.host.words:
        lines += _joined([f"on {plain_line(report.host.words)}"], "; ", width)
    return lines


def _nothing(report: Report) -> str:
    if report.service is not None:
        return "no request was counted" if report.service.endpoint else "no endpoint counts the requests"
    return "nothing was counted" if report.batch is None else "no item was done"


def _scaling(report: Report, baseline: Baseline) -> str:
    when = f", measured {baseline.measured[:10]}" if baseline.measured else ""
    alone = f"instance {baseline.index} alone: {format_number(baseline.rate)} {report.throughput.unit}{when}"
    if report.efficiency is None:
        return f"no efficiency without a steady rate; {alone}"
    return f"efficiency {report.efficiency:.1%} of {len(report.instances)} x {alone}"


HOW_TO_COUNT = (
    "  for a rate: call ready(), count(), finish() of ipexlaunch.worker (pydoc ipexlaunch.worker), or take it from "
    "what the program prints with --throughput-regex"
)


def _memory(resident: Resident, instances: int) -> str:
    """ "memory 1220 MB together: 567 anonymous, 651 of files; 82 in one process only": what they share counts once."""
    anonymous, file = resident.proportional_anonymous_bytes, resident.proportional_file_bytes
    kinds = ""
    if anonymous is not None and file is not None:
        shared = (resident.proportional_bytes - anonymous - file) / MIB
        kinds = f"{anonymous / MIB:.0f} anonymous, {file / MIB:.0f} of files"
        kinds += f", {shared:.0f} of shared memory; " if shared >= 1 else "; "
    only = f"{kinds}{resident.private_bytes / MIB:.0f} in one process only"
    return f"memory {resident.proportional_bytes / MIB:.0f} MB{' together' * (instances > 1)}: {only}"


def _percentiles(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {format_number(value)} ms" for name, value in figures.items())


def _facts(facts: Mapping[str, object]) -> list[str]:
    """ "dtype bf16" for each fact that is short; the JSON report has the others."""
    parts = []
    for name, value in facts.items():
        if isinstance(value, bool):
            text = "yes" if value else "no"
        elif isinstance(value, str | int | float):
            text = f"{value:.6g}" if isinstance(value, float) else plain_line(str(value))
        else:
            continue
        if len(text) <= LONGEST_FACT_SHOWN:
            parts.append(f"{plain_line(name)} {text}")
    return parts


LONGEST_FACT_SHOWN = 60


def _joined(parts: Sequence[str], between: str, width: int, head: str = "") -> list[str]:
    """The parts in as few lines as hold them within the width, indented; a part that is longer has its own line."""
    lines: list[str] = []
    for part in parts:
        if not lines:
            lines.append(f"  {head}{part}")
        elif len(lines[-1]) + len(between + part + between.rstrip()) <= width:
            lines[-1] += between + part
        else:
            lines[-1] += between.rstrip()
            lines.append(f"    {part}")
    return lines
