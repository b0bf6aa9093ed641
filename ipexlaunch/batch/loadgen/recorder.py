"""What stands for the journal of a batch job: a batch that is done is told to LoadGen at once, and nothing is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipexlaunch.batch.items import DeadLetter
from ipexlaunch.batch.job_state import Progress, Standing, WithoutLedger
from ipexlaunch.launch.supervise.feeder_protocol import Count


class Answered:
    """Tells LoadGen of each item that is done (see `ipexlaunch.batch.feed.commit_log`)."""

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
        self.answered = False
        """Whether `take_counts` has something to tell."""
        self.busy = False
        """Nothing is waited for, ..."""
        self.disk = None
        """... and nothing kept."""

    @property
    def standing(self) -> Standing:
        """What is answered, in figures."""
        return self.progress.standing()

    @property
    def progress(self) -> Progress:
        """What is answered."""
        return self._ledger.progress

    def add(self, numbers: Sequence[int], rows: bytes, count: Count) -> None:
        """Take the results of a batch."""
        self._answer(numbers, count.time)
        self._counts.append(count)

    def add_dead(self, letters: Sequence[DeadLetter], now: float) -> None:
        """Take items that were given up: LoadGen would wait for them for ever, and the run is INVALID anyway."""
        self.progress.dead += len(letters)
        self._answer([letter.item.number for letter in letters], now)

    def _answer(self, numbers: Sequence[int], now: float) -> None:
        self._complete(numbers)
        self.progress.done.add(numbers)
        self.since = now if self.since is None else self.since

    def commit(self) -> None:
        """What was answered counts from now on."""
        self.since, self.answered = None, True
        self._ledger.commit()

    def finish(self, *, complete: bool, settle: bool) -> None:
        """Note whether every item is answered."""
        self.progress.complete = complete

    def take_counts(self) -> list[Count]:
        """What counts since the last call."""
        counts, self._counts, self.answered = self._counts, [], False
        return counts
