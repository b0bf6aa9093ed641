"""Results as text for people: a table that fits the terminal, lines below it, and whether all is VALID."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from ipexlaunch.machine.wording import fitting_columns

GAP = 2
"""Between two columns."""

StyledLine = tuple[str, str]
"""A line, and its style as rich knows it; "" for none."""

StyledRow = tuple[Sequence[str], str]
"""Cells, and their style."""


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
