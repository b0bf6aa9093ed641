"""Many workers in little room: each a small cell with its number, its rate or phase, and how busy its cpus are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipexlaunch.launch.snapshot import WorkerSnapshot
from ipexlaunch.report.live import wording
from ipexlaunch.report.live.usage import Usage

if TYPE_CHECKING:
    from rich.console import RenderableType

GAP = 2
CELL_WIDTH = 14
"""Behind the instance's number: rate or phase, share of cpus, and the mark."""


@dataclass(frozen=True, slots=True)
class Strayed:
    """The workers to mark, and by what."""

    indices: frozenset[int]
    required: float
    """Share of local memory that they do not have, 0 to 1."""


def live_cells(
    workers: Sequence[WorkerSnapshot], usages: Mapping[int, Usage], width: int, height: int, strayed: Strayed
) -> tuple[str, RenderableType]:
    """What a cell shows in words, and every worker's cell, in columns that are read downwards.

    Args:
        workers: at least one.
        usages: worker index to what it uses.
        width: columns of the terminal.
        height: lines for the cells; who does not fit is counted in the words.
        strayed: who is marked.
    """
    from rich.table import Table
    from rich.text import Text

    digits = len(str(max(worker.index for worker in workers)))
    across = max(1, (width + GAP) // (digits + 1 + CELL_WIDTH + GAP))
    down = min(height, -(-len(workers) // across))
    table = Table.grid(padding=(0, GAP, 0, 0))
    for _ in range(across):
        table.add_column(width=digits + 1 + CELL_WIDTH, no_wrap=True)
    shown = workers[: across * down]
    cells = []
    for worker in shown:
        marked = worker.index in strayed.indices
        cell = Text(_cell(worker, usages, digits, marked), style="bold red" if marked else wording.style(worker))
        cell.stylize("dim", 0, digits)
        cells.append(cell)
    for row in range(down):
        table.add_row(*cells[row::down])
    legend = "instance, items/s or phase, share of its cpus that is busy"
    if strayed.indices:
        legend += f"; ! less than {100 * strayed.required:g}% local"
    if len(shown) < len(workers):
        legend = f"{len(workers) - len(shown)} more do not fit; {legend}"
    return legend, table


def _cell(worker: WorkerSnapshot, usages: Mapping[int, Usage], digits: int, marked: bool) -> str:
    usage = usages.get(worker.index, Usage())
    counts = worker.phase == "running" and worker.items
    telling = wording.short_number(worker.rate) if counts else wording.phase_text(worker)
    share = wording.busy_share(worker, usage) if worker.phase != "exited" else ""
    return f"{worker.index:>{digits}} {telling:>8} {share:>4}{'!' if marked else ' '}"
