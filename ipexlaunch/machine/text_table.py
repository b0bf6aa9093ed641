"""Text from rich's tables and trees at a given width; the one module here that imports rich, and only when used."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ipexlaunch.machine.wording import wrapped

if TYPE_CHECKING:
    from rich.console import RenderableType


GAP = 3
"""Columns between two columns of a table."""
NARROWEST_LIST = 12
"""A list is not broken into lines shorter than this."""


def table_text(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[str] = (),
    lists: Iterable[str] = (),
    width: int = 100,
    color: bool = False,
) -> str:
    """A table as text, one line per row where it fits; long lists are folded, no line is longer than `width`.

    Args:
        heads: the columns' names.
        rows: as many cells each.
        right: names of the columns of numbers, set flush right.
        lists: names of the columns of lists such as "0-13,56-69", which may be broken after a comma.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    cells = [list(row) for row in rows]
    if not color and (plain := _plain_table(heads, cells, set(right), width)) is not None:
        return plain
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False, header_style="bold")
    flush = set(right)
    cells = _with_broken_lists(heads, cells, [heads.index(name) for name in lists], width)
    for head in heads:
        table.add_column(head, justify="right" if head in flush else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return rendered(table, width=width, color=color)


def _plain_table(heads: Sequence[str], rows: list[list[str]], flush: set[str], width: int) -> str | None:
    """What rich would draw without colours, where nothing needs folding; rich takes 0.2 s for 500 rows."""
    if not all(cell.isascii() and cell.isprintable() for row in [heads, *rows] for cell in row):
        return None
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    total = sum(widths) + GAP * (len(heads) - 1)
    if total > width:
        return None

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(size) if head in flush else cell.ljust(size)
            for head, cell, size in zip(heads, row, widths, strict=True)
        ]
        return (" " * GAP).join(cells).rstrip()

    return "\n".join([line(heads), "─" * total, *(line(row) for row in rows)]) + "\n"


def _with_broken_lists(heads: Sequence[str], rows: list[list[str]], lists: list[int], width: int) -> list[list[str]]:
    """The rows, their lists broken after commas so far as the table is too wide; rich itself would break in numbers."""
    widths = [max(len(row[column]) for row in [list(heads), *rows]) for column in range(len(heads))]
    excess = sum(widths) + GAP * (len(heads) - 1) - width
    for column in sorted(lists, key=lambda column: -widths[column]):
        if excess <= 0:
            break
        room = max(NARROWEST_LIST, widths[column] - excess)
        excess -= widths[column] - room
        for row in rows:
            row[column] = "\n".join(wrapped(row[column], room, indent=""))
    return rows


def rendered(what: RenderableType, *, width: int, color: bool) -> str:
    """What rich draws, as text whose lines have no blanks at their ends."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="256" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
