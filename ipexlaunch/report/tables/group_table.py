"""Hosts that began together, as a table for people: a row for each, then the one total."""

from __future__ import annotations

from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.across_hosts import Group, GroupTotal, HostAlone, HostPart
from ipexlaunch.report.live.wording import plain_line

GROUP_COLUMNS = ("rank", "host", "instances", "items", "items/s", "steady", "seconds", "began after s", "exit")


def group_table(group: Group, alone: HostAlone | None = None, *, width: int = 100, color: bool = False) -> str:
    """Hosts as rows, then the total, then VALID or INVALID with every reason.

    Args:
        group: what to show.
        alone: what one host does without the others; None where that is not known.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    from io import StringIO

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = StringIO()
    console = Console(file=out, width=width, force_terminal=color, no_color=not color, highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in GROUP_COLUMNS:
        table.add_column(name, justify="left" if name == "host" else "right", no_wrap=name != "host", overflow="fold")
    for part in group.hosts:
        table.add_row(*map(Text, host_row(part)), style=None if part.valid else "bold red")
    console.print(table)
    for line in total_lines(group, alone):
        console.print(Text(line, style="bold" if line.startswith("total") else ""), soft_wrap=True)
    for warning in group.warnings:
        console.print(Text(f"note: {warning}"), soft_wrap=True)
    verdict, style = ("VALID", "bold green") if group.valid else (f"INVALID: {'; '.join(group.reasons)}", "bold red")
    console.print(Text(verdict, style=style), soft_wrap=True)
    return out.getvalue()


def host_row(part: HostPart) -> tuple[str, ...]:
    """The cells of one host, in the order of GROUP_COLUMNS."""
    return (
        str(part.rank),
        plain_line(part.name),
        str(part.instances),
        str(part.items),
        format_number(part.rate),
        format_number(part.steady),
        format_number(part.seconds),
        _began(part),
        "-" if part.exit_code is None else str(part.exit_code),
    )


def _began(part: HostPart) -> str:
    """ "0.0001 .. 0.0004": between the two it began, in seconds from the first host's start."""
    if part.earliest_s is None or part.latest_s is None:
        return "-"
    bounds = [f"{round(second, 4) + 0.0:.4f}" for second in (part.earliest_s, part.latest_s)]
    return "0" if not part.rank else " .. ".join(dict.fromkeys(bounds))


def total_lines(group: Group, alone: HostAlone | None) -> list[str]:
    """The headline, which begins with "total" in any case, and what else is known of all hosts together.

    Args:
        group: what to show.
        alone: see `group_table`.
    """
    total = group.total
    instances = sum(part.instances for part in group.hosts)
    if total is None:
        known = "nothing was counted" if not any(part.items for part in group.hosts) else "not all of it is known"
        return [f"total unknown ({known}; {counted(group.size, 'host')}, {counted(instances, 'instance')})"]
    who = f"{counted(group.size, 'host')}, {counted(instances, 'instance')}"
    work = f"{counted(total.items, 'item')} in {format_number(total.seconds)} s"
    lines = [f"total {format_number(total.rate)} {total.unit}  ({work}; {who}; known to {width_of(total)})"]
    tokens = [] if total.tokens_per_second is None else [f"{format_number(total.tokens_per_second)} tokens/s"]
    if alone is not None:
        one = f"{format_number(alone.rate)} {total.unit}, {counted(alone.runs, 'run')}"
        lines.append(f"  efficiency {alone.efficiency:.1%} of {group.size} x one host alone ({one})")
    own = f"sum of the hosts' own rates {format_number(total.naive_sum)}"
    return [*lines, f"  {'; '.join([*tokens, own])}"]


def width_of(total: GroupTotal) -> str:
    """How much higher the true rate may be: "0.02 %"."""
    return f"{100 * total.width:.2g} %" if total.width >= 1e-6 else "0.0001 %"
