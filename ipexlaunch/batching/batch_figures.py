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

    @property
    def padding_waste(self) -> float | None:
        """Share of the padded work that is padding, 0 to 1; None before anything is done."""
        return 1 - self.size_done / self.padded_size_done if self.padded_size_done else None


def tail_idle_s(last_done: Iterable[float]) -> float:
    """Seconds that workers together had nothing to do while the last of them was still busy.

    Args:
        last_done: when each worker had done its last item, seconds of one clock.
    """
    times = list(last_done)
    return sum(max(times) - time for time in times) if times else 0.0
