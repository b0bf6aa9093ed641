"""A run as it goes on, in a terminal of any size: rows, tables of rows side by side, or else small cells.

Every column has a width that the plan decides, not the figures, so that nothing jumps from one picture to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED
from ipexlaunch.launch.run_record import Snapshot, WorkerSnapshot
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.wording import rendered
from ipexlaunch.report.live import wording
from ipexlaunch.report.live.cells import GAP, MarkedWorkers, live_cells
from ipexlaunch.report.live.status import Usage

if TYPE_CHECKING:
    from rich.console import RenderableType

NARROWEST_LAST_LINE = 14
WIDEST_CPUS = 15
FAILURES_SHOWN = 3
TABLE_GAP = 3
"""Between tables that stand side by side."""
PHASES = ("waiting", "starting", "ready", "running", "finished", "exited", "stopped", "failed")
"""In the order of a worker's life; stopped, failed: exited with a code other than 0, because it was asked to or not."""


@dataclass(frozen=True, slots=True)
class _Column:
    head: str
    width: int
    right: bool = True


def live_table(
    snapshot: Snapshot,
    usages: Mapping[int, Usage],
    *,
    width: int,
    height: int | None = None,
    title: str = "",
    local_share_required: float = LOCAL_SHARE_REQUIRED,
) -> RenderableType:
    """The run as something that rich can draw: totals, one row or cell per worker, the latest failures.

    Args:
        snapshot: how the run stands.
        usages: worker index to what it uses; who has no entry has "-".
        width: columns of the terminal; no line is longer.
        height: lines of the terminal; None shows every worker in a row.
        title: stands before the totals, e.g. what is run.
        local_share_required: a worker with a smaller share of local memory is marked, 0 to 1.
    """
    from rich.console import Group

    head = [
        _line(f"{wording.duration(snapshot.elapsed_s)}  {wording.plain_line(title)}".rstrip(), width, "bold"),
        _line(_totals(snapshot, usages, width), width, "bold"),
    ]
    foot = [_line(wording.plain_line(failure), width, "red") for failure in snapshot.failures[-FAILURES_SHOWN:]]
    room = None if height is None else height - len(head) - len(foot) - 1  # the line of the columns' names
    strayed = _strayed(snapshot, usages, local_share_required)
    across = 1 if room is None else max(1, -(-len(snapshot.workers) // max(1, room)))
    columns = _columns(snapshot, usages, (width + TABLE_GAP) // across - TABLE_GAP)
    if room is None or across == 1:
        body: list[RenderableType] = [_rows(snapshot, snapshot.workers, usages, columns, strayed)]
    elif "local" in (column.head for column in columns):
        body = [_tables(snapshot, usages, columns, strayed, across)]
    else:
        legend, grid = live_cells(snapshot.workers, usages, width, max(1, room), strayed)
        body = [_line(legend, width, "dim"), grid]
    return Group(*head, *body, *foot)


def lines_wanted(snapshot: Snapshot) -> int:
    """Lines of the picture where every worker has a row."""
    return 3 + len(snapshot.workers) + len(snapshot.failures[-FAILURES_SHOWN:])


def live_text(
    snapshot: Snapshot,
    usages: Mapping[int, Usage],
    *,
    width: int,
    height: int | None = None,
    title: str = "",
    local_share_required: float = LOCAL_SHARE_REQUIRED,
    color: bool = False,
) -> str:
    """`live_table` as text."""
    table = live_table(
        snapshot, usages, width=width, height=height, title=title, local_share_required=local_share_required
    )
    return rendered(table, width=width, color=color)


def live_line(snapshot: Snapshot, usages: Mapping[int, Usage]) -> str:
    """The run in one line, for where there is no terminal."""
    return f"{wording.duration(snapshot.elapsed_s)}  {_totals(snapshot, usages, None)}"


def _line(text: str, width: int, style: str) -> RenderableType:
    from rich.text import Text

    line = Text(text, style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line


def _totals(snapshot: Snapshot, usages: Mapping[int, Usage], width: int | None) -> str:
    """ "total 812.3 items/s  4 running  55.8/56 cpus busy  at least 99.8% local  45 items  1.2G memory", as it fits."""
    workers = snapshot.workers
    parts = [", ".join(_phase_counts(workers))]
    items = sum(worker.items for worker in workers)
    if items and any(worker.phase not in ("finished", "exited") for worker in workers):
        parts.insert(0, f"total {wording.short_number(snapshot.rate)} items/s")
    busy = [usage.busy_cpus for usage in usages.values() if usage.busy_cpus is not None]
    if busy:
        planned = len(frozenset[int]().union(*(worker.cpus for worker in workers)))
        parts.append(f"{sum(busy):.1f}{f'/{planned}' if planned else ''} cpus busy")
    shares = [share for worker in workers if (share := _share(worker, usages)) is not None]
    if shares:
        at_least = "at least " if min(shares) < max(shares) else ""
        parts.append(f"{at_least}{wording.share_text(min(shares))} local")
    if items:
        parts.append(f"{items:,} item{'s' * (items != 1)}")
    sizes = [usage.proportional for usage in usages.values() if usage.proportional is not None]
    if sizes:
        parts.append(f"{wording.size(sum(sizes))} memory")
    line = parts[0]
    for part in parts[1:]:
        if width is None or len(line) + GAP + len(part) <= width:
            line += " " * GAP + part
    return line


def _phase_counts(workers: Sequence[WorkerSnapshot]) -> list[str]:
    """ "3 running" for each phase with workers in it, announced ones with the longest time: "2 compiling for 41 s"."""
    counts = []
    for phase in PHASES:
        group = [worker for worker in workers if _phase_counted(worker) == phase]
        for name in dict.fromkeys(worker.busy_with for worker in group):
            part = [worker for worker in group if worker.busy_with == name]
            longest = max((worker.busy_s or 0.0 for worker in part), default=0.0)
            what = f"{wording.plain_line(name)} for {longest:.0f} s" if name else wording.PHASE_WORDS.get(phase, phase)
            counts.append(f"{len(part)} {what}")
    return counts


def _phase_counted(worker: WorkerSnapshot) -> str:
    return "failed" if worker.failed else "stopped" if worker.stopped else worker.phase


def _share(worker: WorkerSnapshot, usages: Mapping[int, Usage]) -> float | None:
    return wording.local_share(worker, usages.get(worker.index, Usage()))


def _strayed(snapshot: Snapshot, usages: Mapping[int, Usage], required: float) -> MarkedWorkers:
    shares = {worker.index: _share(worker, usages) for worker in snapshot.workers}
    return MarkedWorkers(
        frozenset(i for i, share in shares.items() if share is not None and share < required), required
    )


def _tables(
    snapshot: Snapshot, usages: Mapping[int, Usage], columns: Sequence[_Column], strayed: MarkedWorkers, across: int
) -> RenderableType:
    """So many tables of rows side by side, read downwards one after the other."""
    from rich.table import Table

    workers = snapshot.workers
    down = -(-len(workers) // across)
    beside = Table.grid(padding=(0, TABLE_GAP, 0, 0))
    beside.add_row(
        *(
            _rows(snapshot, workers[first : first + down], usages, columns, strayed)
            for first in range(0, len(workers), down)
        )
    )
    return beside


def _rows(
    snapshot: Snapshot,
    workers: Sequence[WorkerSnapshot],
    usages: Mapping[int, Usage],
    columns: Sequence[_Column],
    strayed: MarkedWorkers,
) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        justify = "right" if column.right else "left"
        table.add_column(column.head, justify=justify, width=column.width, no_wrap=True)  # type: ignore[arg-type]
    most = _nodes_shown(snapshot, usages)
    for worker in workers:
        cells = _row(worker, usages.get(worker.index, Usage()), most)
        row = [Text(cells[column.head], no_wrap=True, overflow="ellipsis") for column in columns]
        for column, cell in zip(columns, row, strict=True):
            if column.head == "local" and worker.index in strayed.indices:
                cell.stylize("bold red")
        table.add_row(*row, style=wording.style(worker))
    return table


def _columns(snapshot: Snapshot, usages: Mapping[int, Usage], width: int) -> list[_Column]:
    """As many columns as the width holds, the most telling first."""
    workers = snapshot.workers
    digits = len(str(max((worker.index for worker in workers), default=0)))
    planned = max((len(worker.cpus) for worker in workers), default=0)
    busy = 5 + len(str(planned)) if planned else 5
    memory = 6 if _nodes_shown(snapshot, usages) == 1 else 14
    widest_list = max((len(format_list(worker.cpus)) for worker in workers), default=0)
    number = _Column("", digits)
    everything = [
        number,
        _Column("cpus", max(4, min(WIDEST_CPUS, widest_list)), right=False),
        _Column("phase", 8, right=False),
        _Column("starts", 6),
        _Column("now", 5),
        _Column("items/s", 7),
        _Column("items", 13),
        _Column("busy", busy),
        _Column("memory", memory, right=False),
        _Column("local", 5),
    ]
    wanted = ["", "items/s", "phase", "busy", "local", "memory", *(["starts"] if _restarted(snapshot) else [])]
    if any(worker.in_flight is not None for worker in workers):
        wanted.insert(2, "now")
    wanted += ["cpus", "items"]
    by_head = {column.head: column for column in everything}
    taken: list[str] = []
    left = width - NARROWEST_LAST_LINE
    for head in wanted:
        left -= by_head[head].width + GAP
        if left < 0 or (head in ("cpus", "items") and left < 2 * NARROWEST_LAST_LINE):
            break
        taken.append(head)
    columns = [column for column in everything if column.head in taken]
    rest = width - sum(column.width + GAP for column in columns)
    return [*columns, _Column("last line", rest, right=False)] if rest >= NARROWEST_LAST_LINE else columns


def _nodes_shown(snapshot: Snapshot, usages: Mapping[int, Usage]) -> int:
    """One node where every worker has all on the same, else the two largest."""
    nodes = {node for worker in snapshot.workers for node in worker.nodes}
    nodes.update(node for usage in usages.values() for node in usage.memory or {})
    return 1 if len(nodes) <= 1 else 2


def _restarted(snapshot: Snapshot) -> bool:
    return any(worker.restarts for worker in snapshot.workers)


def _row(worker: WorkerSnapshot, usage: Usage, most: int) -> dict[str, str]:
    counted = worker.items > 0 and worker.phase != "exited"
    return {
        "": str(worker.index),
        "cpus": format_list(worker.cpus) or "any",
        "phase": wording.phase_text(worker),
        "starts": str(worker.restarts + 1),
        "now": "-" if worker.in_flight is None else str(worker.in_flight),
        "items/s": wording.short_number(worker.rate) if counted else "-",
        "items": f"{worker.items:,}" if worker.items else "-",
        "busy": wording.busy_text(worker, usage),
        "memory": wording.memory_text(usage.memory, most),
        "local": wording.share_text(wording.local_share(worker, usage)),
        "last line": wording.line_text(worker),
    }
