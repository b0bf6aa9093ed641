"""Hosts that began together, as a table for people: a row for each, then the one total."""

from __future__ import annotations

from ipexlaunch.documents.visible_text import format_number
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.across_hosts import Group, GroupTotal, HostAlone, HostPart
from ipexlaunch.report.live.wording import plain_line
from ipexlaunch.report.tables.report_table import judged, result_text, total_style

GROUP_COLUMNS = ("rank", "host", "instances", "items", "items/s", "steady", "seconds", "began after s", "exit")

DISPENSABLE = ("steady", "instances", "seconds", "began after s", "items")
"""Columns that a narrow terminal goes without, in this order; group.json has them all."""


def group_table(group: Group, alone: HostAlone | None = None, *, width: int = 100, color: bool = False) -> str:
    """Hosts as rows, then the total, then VALID or INVALID with every reason.

    Args:
        group: what to show.
        alone: what one host does without the others; None where that is not known.
        width: columns of the terminal.
        color: whether to use ANSI colours.
    """
    rows = [(host_row(part), "" if part.valid else "bold red") for part in group.hosts]
    lines = [*map(total_style, total_lines(group, alone)), *judged(group.valid, group.reasons, group.warnings)]
    return result_text(
        GROUP_COLUMNS, rows, lines,
        left=("host",), folded=("host",), dispensable=DISPENSABLE, width=width, color=color,
    )  # fmt: skip


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
