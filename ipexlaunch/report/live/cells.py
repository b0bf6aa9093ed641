"""Much in little room: many workers as small cells, and how far a batch job is as a bar or a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ipexlaunch.batch.items import BatchProgress
from ipexlaunch.launch.run_record import Snapshot, WorkerSnapshot
from ipexlaunch.machine.wording import grouped
from ipexlaunch.report.live import wording
from ipexlaunch.report.live.status import Usage
from ipexlaunch.report.live.wording import duration, short_number

if TYPE_CHECKING:
    from rich.console import RenderableType

GAP = 2
CELL_WIDTH = 14
"""Behind the instance's number: rate or phase, share of cpus, and the mark."""


@dataclass(frozen=True, slots=True)
class MarkedWorkers:
    """The workers to mark, and by what."""

    indices: frozenset[int]
    required: float
    """Share of local memory that they do not have, 0 to 1."""


def live_cells(
    workers: Sequence[WorkerSnapshot], usages: Mapping[int, Usage], width: int, height: int, strayed: MarkedWorkers
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


WIDEST_BAR = 40
NARROWEST_BAR = 8


def batch_bar(progress: BatchProgress, snapshot: Snapshot, *, width: int) -> RenderableType:
    """The bar and its figures in one line that is no longer than the terminal.

    Args:
        progress: of the job.
        snapshot: of its workers, for the rate and the time.
        width: columns of the terminal.
    """
    return _bar(progress.share, batch_words(progress, snapshot), width)


def _bar(share: float | None, said: str, width: int) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    words = Text(said, no_wrap=True, overflow="ellipsis", style="bold")
    room = min(WIDEST_BAR, width - words.cell_len - 1)
    if share is None or room < NARROWEST_BAR:
        words.truncate(width, overflow="ellipsis")
        return words
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(ProgressBar(total=1.0, completed=share, width=room), words)
    return line


_TRIED = re.compile(r"(?:preparing|measuring) (.* \((\d+) of (\d+)\))$")
"""What a worker that measures candidates is busy with: the candidate, its number, how many there are."""


@dataclass(frozen=True, slots=True)
class TriedCandidate:
    """Which candidate is measured."""

    words: str = ""
    """Its name, and its place among all."""
    number: int = 1
    count: int = 1


def tried_candidate(snapshot: Snapshot, before: TriedCandidate) -> TriedCandidate:
    """The candidate of the slowest worker.

    Args:
        snapshot: of workers that measure candidates.
        before: which it was; where they are busy with something that names none, it still is.
    """
    found = [match for worker in snapshot.workers if (match := _TRIED.match(worker.busy_with))]
    tried = [TriedCandidate(wording.plain_line(match[1]), int(match[2]), int(match[3])) for match in found]
    return min(tried, key=lambda candidate: candidate.number, default=before)


def measuring_bar(snapshot: Snapshot, tried: TriedCandidate, *, width: int) -> RenderableType:
    """A bar of the candidates that are measured, what is tried and what a worker is busy with, in one line.

    Args:
        snapshot: of workers that measure candidates.
        tried: which candidate.
        width: columns of the terminal.
    """
    busy = next((worker for worker in snapshot.workers if worker.busy_with), None)
    doing = "starting workers" if busy is None else wording.plain_line(busy.busy_with)
    known = tried.words if tried.words and not doing.endswith(tried.words) else ""
    seconds = "" if busy is None or busy.busy_s is None else f"{busy.busy_s:.0f} s"
    said = ", ".join(filter(None, [known, doing, seconds]))
    return _bar((tried.number - 1) / tried.count, f"{said}; {duration(snapshot.elapsed_s)} in all", width)


def batch_words(progress: BatchProgress, snapshot: Snapshot) -> str:
    """The figures: share, items, rate of now, time left, what was given up.

    Args:
        progress: of the job.
        snapshot: of its workers.
    """
    parts = [f"{progress.done:,} item{'s' * (progress.done != 1)}"]
    if progress.expected is not None and progress.share is not None:
        about = "" if progress.exact else "about "
        # Down, so that 100% is all of it.
        parts = [f"{int(progress.share * 1000) / 10:.1f}% of {about}{grouped(rounded(progress), 'item')}"]
    over = progress.share == 1.0
    if snapshot.rate is not None and not over:
        parts.append(f"{short_number(snapshot.rate)} items/s")
    left = progress.left_s(snapshot.measured_s)
    if left is not None and not over:
        parts.append(f"{duration(left)} left")
    if progress.dead:
        parts.append(f"{progress.dead:,} given up")
    return ", ".join(parts)


def rounded(progress: BatchProgress) -> int:
    """The items that are expected, with three digits that mean something where they were not grouped."""
    expected = progress.expected or 0
    if progress.exact or expected < 1000:
        return expected
    unit = int(10.0 ** (len(str(expected)) - 3))
    return round(expected / unit) * unit
