"""When workers that die, or items that are given up, are the program's fault, so that trying further is of no use."""

from __future__ import annotations

from dataclasses import dataclass, field

from ipexlaunch.machine.wording import counted, times


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultLimits:
    """How much is put up with before the program is held to be at fault."""

    deaths_in_a_row: int = 20
    """Workers that die on a batch, with no batch done in between; two of each worker at least."""
    dead_in_a_row: int = 100
    """Items that are given up, with no batch done in between."""
    deaths_of_each: int = 2
    """Deaths of every worker on a batch are enough where no batch was ever done in the job, ..."""
    deaths_on_single_items: int = 2
    """... if so many of them were on single items, which `WorkQueue.in_doubt` gives out: then it is not one item in a
    large batch that kills. Where one item in ten does, one worker alone is so misjudged in one job of a hundred."""
    deaths_idle: int = 5
    """Deaths before a worker had a batch, of each on average, with no batch done in between. One that cannot load
    is tried less often (`Limits.restarts`); this is for one that says that it is ready, and then ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRules:
    """When to commit and when to lose patience."""

    commit_s: float = 0.1
    """What is done waits at most so long for others to be committed with it."""
    commit_bytes: int = 8 << 20
    """... or until there is so much of it. While twice as much is not durable yet, nobody is given more to do."""
    stall_timeout_s: float | None = 600.0
    """A worker that has a batch for longer is killed; None for never."""
    patience: FaultLimits = field(default_factory=FaultLimits)
    """How much is put up with before the program is held to be at fault."""


class FaultCounter:
    """Counts failures that speak against the program; every batch that is done resets the count."""

    def __init__(self, workers: int, patience: FaultLimits) -> None:
        """Begin with nothing against it.

        Args:
            workers: how many there are.
            patience: how much is put up with.
        """
        self._patience = patience
        self._workers = workers
        self.reset()

    def reset(self) -> None:
        """A batch was done: nothing speaks against it."""
        self._on_batches = [0] * self._workers
        """Each worker's deaths on a batch."""
        self._on_single_items = 0
        self._idle = 0
        self._items = 0

    def died(self, worker: int, items: int, reason: str, *, was_any_done: bool) -> str:
        """A worker has died on a batch; why the program is at fault, "" where that is not known.

        Args:
            worker: which.
            items: how many the batch had.
            reason: how it ended.
            was_any_done: whether any batch was done in the job, in this run or before.
        """
        patience = self._patience
        self._on_batches[worker] += 1
        self._on_single_items += items == 1
        deaths = sum(self._on_batches)
        of_each, on_single_items = min(self._on_batches), self._on_single_items
        if (
            not was_any_done
            and of_each >= patience.deaths_of_each
            and on_single_items >= patience.deaths_on_single_items
        ):
            return (
                f"the program fails on every batch: workers ended {times(deaths)} and none was done, at last: "
                f"{reason}; what they printed last says why"
            )
        if deaths >= max(patience.deaths_in_a_row, 2 * self._workers):
            return f"workers ended {times(deaths)} without a batch done in between, at last: {reason}"
        return ""

    def died_idle(self, reason: str, *, asked: bool) -> str:
        """The same of a worker that has had no batch at all.

        Args:
            reason: how it ended.
            asked: whether it has asked for one, and there was none for it at the time.
        """
        self._idle += 1
        if self._idle >= self._patience.deaths_idle * self._workers:
            when = "before there were items for them" if asked else "before they asked for items"
            return f"workers ended {times(self._idle)} {when}, at last: {reason}"
        return ""

    def gave_up(self, items: int, reason: str) -> str:
        """The same where items were given up.

        Args:
            items: how many.
            reason: of the last.
        """
        self._items += items
        if self._items >= self._patience.dead_in_a_row:
            were = f"{counted(self._items, 'item')} {'was' if self._items == 1 else 'were'}"
            return f"{were} given up without a batch done in between, at last: {reason}"
        return ""
