"""What a batch job cost beyond its items: padding, batches that were given again, waiting at the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(slots=True)
class BatchFigures:
    """Counts of one run, added to while it lasts."""

    batches: int = 0
    """Handed out, each time that they were."""
    items_done: int = 0
    size_done: int = 0
    """Sizes of the items that are done, added up."""
    padded_size_done: int = 0
    """What they would be if every item were as long as the longest of its batch."""
    requeued: int = 0
    """Items that were given again because their worker died or failed."""
    bisected: int = 0
    """Batches that were cut in two to find the item that kills."""
    dead: int = 0
    """Items that were given up."""
    unreadable: int = 0
    """Rows of the input that gave no item."""

    @property
    def padding_waste(self) -> float | None:
        """Share of the padded work that is padding, 0 to 1; None before anything is done."""
        return 1 - self.size_done / self.padded_size_done if self.padded_size_done else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """What the report says of a batch job beyond its throughput; counts are of this run where nothing else is said."""

    items_done: int
    """Results in the output, those of earlier runs of the job too."""
    items_dead: int
    """Dead letters, those of earlier runs too."""
    items_now: int
    """Items that workers had done, whether or not they could be committed."""
    unreadable: int
    """Rows of the input that gave no item; they are among the dead letters."""
    batches: int
    padding_waste: float | None
    """Share of the padded work that is padding, 0 to 1."""
    requeued: int
    """Items that were given again because their worker died or failed."""
    bisected: int
    """Batches that were cut in two to find the item that kills."""
    tail_idle_s: float
    """Seconds that workers together had nothing to do while the last of them was still busy."""


def summary_of(figures: BatchFigures, last_done: Iterable[float], *, done: int, dead: int) -> BatchSummary:
    """The summary of a run.

    Args:
        figures: counted while it lasted.
        last_done: when each worker had done its last item, seconds of one clock.
        done: items that are accounted for, those of earlier runs too.
        dead: of these, given up.
    """
    times = list(last_done)
    return BatchSummary(
        items_done=done - dead,
        items_dead=dead,
        items_now=figures.items_done,
        unreadable=figures.unreadable,
        batches=figures.batches,
        padding_waste=figures.padding_waste,
        requeued=figures.requeued,
        bisected=figures.bisected,
        tail_idle_s=sum((max(times) - time for time in times), 0.0),
    )
