"""What stands for the journal of a batch job: a batch that is done is told to LoadGen at once, and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipexlaunch.batching.items import DeadLetter, Item
from ipexlaunch.keep_ledger import Progress, WithoutLedger
from ipexlaunch.supervise.feed import Count


class Answered:
    """Tells LoadGen of each item that is done (see `ipexlaunch.feed_workers.journal`)."""

    def __init__(self, complete: Callable[[Sequence[int]], None]) -> None:
        """Begin with nothing answered.

        Args:
            complete: tells LoadGen that the items of these numbers are done.
        """
        self._complete = complete
        self._ledger = WithoutLedger()
        self._counts: list[Count] = []
        self.since: float | None = None
        """When the oldest of what is not counted yet came; None where all is."""
        self.waiting_bytes = 0

    @property
    def progress(self) -> Progress:
        """What is answered."""
        return self._ledger.progress

    def add(self, items: Sequence[Item], rows: bytes, count: Count) -> None:
        """Take the results of a batch."""
        self._answer([item.number for item in items], count.time)
        self._counts.append(count)

    def add_dead(self, letters: Sequence[DeadLetter], now: float) -> None:
        """Take items that were given up: LoadGen would wait for them for ever, and the run is INVALID anyway."""
        self.progress.dead += len(letters)
        self._answer([letter.item.number for letter in letters], now)

    def _answer(self, numbers: list[int], now: float) -> None:
        self._complete(numbers)
        self.progress.done.add(numbers)
        self.since = now if self.since is None else self.since

    def commit(self) -> list[Count]:
        """What counts from now on."""
        counts, self._counts, self.since = self._counts, [], None
        self._ledger.commit()
        return counts

    def complete(self) -> None:
        """Note that every item is answered."""
        self.progress.complete = True

    def settle(self) -> None:
        """There is no file."""

    def close(self) -> None:
        """Nothing to let go of."""
