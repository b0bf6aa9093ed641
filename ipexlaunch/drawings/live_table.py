"""A run as it goes on, in a terminal of any size: rows where they fit, else small cells side by side.

Every column has a width that the plan decides, not the figures, so that nothing jumps from one picture to the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipexlaunch.cpulist import format_list
from ipexlaunch.drawings import live_words as words
from ipexlaunch.proof import LOCAL_SHARE_REQUIRED
from ipexlaunch.snapshot import Snapshot, WorkerSnapshot
from ipexlaunch.usage import Usage

if TYPE_CHECKING:
    from rich.console import RenderableType

GAP = 2
NARROWEST_LAST_LINE = 14
WIDEST_CPUS = 15
CELL_WIDTH = 14
"""Of a cell behind the instance's number: rate or phase, share of cpus, and the mark."""
FAILURES_SHOWN = 3
PHASES = ("waiting", "starting", "ready", "running", "finished", "exited", "failed")
"""In the order of a worker's life; failed: exited with a code other than 0."""
NO_USAGE = Usage()


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
) -> RenderableType:
    """The run as something that rich can draw: totals, one row or cell per worker, the latest failures.

    Args:
        snapshot: how the run stands.
        usages: worker index to what it uses; who has no entry has "-".
        width: columns of the terminal; no line is longer.
        height: lines of the terminal; None shows every worker in a row.
        title: stands before the totals, e.g. what is run.
    """
    from rich.console import Group

    head = [
        _line(f"{words.duration(snapshot.elapsed_s)}  {words.plain_line(title)}".rstrip(), width, "bold"),
        _line(_totals(snapshot, usages, width), width, "bold"),
    ]
    foot = [_line(words.plain_line(failure), width, "red") for failure in snapshot.failures[-FAILURES_SHOWN:]]
    room = None if height is None else height - len(head) - len(foot) - 1  # the line of the columns' names
    if room is None or len(snapshot.workers) <= room:
        body: list[RenderableType] = [_rows(snapshot, usages, width)]
    else:
        body = _cells(snapshot, usages, width, max(1, room - 1))
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
    color: bool = False,
) -> str:
    """`live_table` as text."""
    from ipexlaunch.drawings.rich_text import rendered

    return rendered(live_table(snapshot, usages, width=width, height=height, title=title), width=width, color=color)


def live_line(snapshot: Snapshot, usages: Mapping[int, Usage]) -> str:
    """The run in one line, for where there is no terminal."""
    return f"{words.duration(snapshot.elapsed_s)}  {_totals(snapshot, usages, None)}"


def _line(text: str, width: int, style: str) -> RenderableType:
    from rich.text import Text

    line = Text(text, style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line


def _totals(snapshot: Snapshot, usages: Mapping[int, Usage], width: int | None) -> str:
    """ "total 812.3 items/s  4 running  55.8/56 cpus busy  at least 99.8% local  123,456 items", as far as it fits."""
    workers = snapshot.workers
    phases = ["failed" if worker.exit_code else worker.phase for worker in workers]
    counts = {phase: phases.count(phase) for phase in sorted(set(phases), key=PHASES.index)}
    parts = [", ".join(f"{count} {words.PHASE_WORDS.get(phase, phase)}" for phase, count in counts.items())]
    items = sum(worker.items for worker in workers)
    if items and any(worker.phase not in ("finished", "exited") for worker in workers):
        parts.insert(0, f"total {words.figure(snapshot.rate)} items/s")
    busy = [usage.busy_cpus for usage in usages.values() if usage.busy_cpus is not None]
    if busy:
        planned = len(frozenset[int]().union(*(worker.cpus for worker in workers)))
        parts.append(f"{sum(busy):.1f}{f'/{planned}' if planned else ''} cpus busy")
    shares = [share for worker in workers if (share := _share(worker, usages)) is not None]
    if shares:
        at_least = "at least " if min(shares) < max(shares) else ""
        parts.append(f"{at_least}{words.share_words(min(shares))} local")
    if items:
        parts.append(f"{items:,} item{'s' * (items != 1)}")
    line = parts[0]
    for part in parts[1:]:
        if width is None or len(line) + GAP + len(part) <= width:
            line += " " * GAP + part
    return line


def _share(worker: WorkerSnapshot, usages: Mapping[int, Usage]) -> float | None:
    return words.local_share(worker, usages.get(worker.index, NO_USAGE))


def _rows(snapshot: Snapshot, usages: Mapping[int, Usage], width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    columns = _columns(snapshot, usages, width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_edge=False)
    for column in columns:
        justify = "right" if column.right else "left"
        table.add_column(column.head, justify=justify, width=column.width, no_wrap=True)  # type: ignore[arg-type]
    most = _nodes_shown(snapshot, usages)
    for worker in snapshot.workers:
        cells = _row(worker, usages.get(worker.index, NO_USAGE), most)
        row = [Text(cells[column.head], no_wrap=True, overflow="ellipsis") for column in columns]
        for column, cell in zip(columns, row, strict=True):
            if column.head == "local" and _is_strayed(worker, usages):
                cell.stylize("bold red")
        table.add_row(*row, style=_style(worker))
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
        _Column("items/s", 7),
        _Column("items", 13),
        _Column("busy", busy),
        _Column("memory", memory, right=False),
        _Column("local", 5),
    ]
    wanted = ["", "items/s", "phase", "busy", "local", "memory", *(["starts"] if _restarted(snapshot) else [])]
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
        "phase": words.phase_words(worker),
        "starts": str(worker.restarts + 1),
        "items/s": words.figure(worker.rate) if counted else "-",
        "items": f"{worker.items:,}" if worker.items else "-",
        "busy": words.busy_words(worker, usage),
        "memory": words.memory_words(usage.memory, most),
        "local": words.share_words(words.local_share(worker, usage)),
        "last line": words.plain_line(worker.last_line),
    }


def _style(worker: WorkerSnapshot) -> str:
    if worker.phase == "exited":
        return "red" if worker.exit_code else "dim"
    return "" if worker.phase in ("running", "starting") else "yellow" if worker.phase == "waiting" else "cyan"


def _is_strayed(worker: WorkerSnapshot, usages: Mapping[int, Usage]) -> bool:
    share = _share(worker, usages)
    return share is not None and share < LOCAL_SHARE_REQUIRED


def _cells(snapshot: Snapshot, usages: Mapping[int, Usage], width: int, height: int) -> list[RenderableType]:
    """Every worker in a small cell, in columns that are read downwards."""
    from rich.table import Table
    from rich.text import Text

    workers = snapshot.workers
    digits = len(str(max(worker.index for worker in workers)))
    across = max(1, (width + GAP) // (digits + 1 + CELL_WIDTH + GAP))
    down = min(height, -(-len(workers) // across))
    table = Table.grid(padding=(0, GAP, 0, 0))
    for _ in range(across):
        table.add_column(width=digits + 1 + CELL_WIDTH, no_wrap=True)
    shown = workers[: across * down]
    cells = [
        Text(_cell(worker, usages, digits), style="bold red" if _is_strayed(worker, usages) else _style(worker))
        for worker in shown
    ]
    for row in range(down):
        table.add_row(*cells[row::down])
    legend = "instance, items/s or phase, share of its cpus that is busy"
    if any(_is_strayed(worker, usages) for worker in workers):
        legend += f"; ! less than {LOCAL_SHARE_REQUIRED:.0%} local"
    if len(shown) < len(workers):
        legend = f"{len(workers) - len(shown)} more do not fit; {legend}"
    return [_line(legend, width, "dim"), table]


def _cell(worker: WorkerSnapshot, usages: Mapping[int, Usage], digits: int) -> str:
    usage = usages.get(worker.index, NO_USAGE)
    telling = words.figure(worker.rate) if worker.phase == "running" and worker.items else words.phase_words(worker)
    share = words.busy_share(worker, usage) if worker.phase != "exited" else ""
    return f"{worker.index:>{digits}} {telling:>8} {share:>4}{'!' if _is_strayed(worker, usages) else ' '}"
