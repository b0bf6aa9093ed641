"""How far a batch job is: a bar for a terminal, a line for elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipexlaunch.batch.progress import BatchProgress
from ipexlaunch.launch.snapshot import Snapshot
from ipexlaunch.machine.wording import grouped
from ipexlaunch.report.live.wording import duration, short_number

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDEST_BAR = 40
NARROWEST_BAR = 8


def batch_bar(progress: BatchProgress, snapshot: Snapshot, *, width: int) -> RenderableType:
    """The bar and its figures in one line that is no longer than the terminal.

    Args:
        progress: of the job.
        snapshot: of its workers, for the rate and the time.
        width: columns of the terminal.
    """
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    words = Text(batch_words(progress, snapshot), no_wrap=True, overflow="ellipsis", style="bold")
    room = min(WIDEST_BAR, width - words.cell_len - 1)
    if progress.share is None or room < NARROWEST_BAR:
        words.truncate(width, overflow="ellipsis")
        return words
    line = Table.grid(padding=(0, 1, 0, 0))
    line.add_row(ProgressBar(total=1.0, completed=progress.share, width=room), words)
    return line


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
