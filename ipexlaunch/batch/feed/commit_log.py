"""What is done becomes durable, in this order: results and dead letters, then the ledger, then it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ipexlaunch.batch.items import DeadLetter
from ipexlaunch.batch.job_state import CommittedCounts, DeadLetterFileState, DoneItems, JobState, WithoutLedger
from ipexlaunch.batch.output.result_rows import encode_dead_letters
from ipexlaunch.launch.supervise.interfaces import Count

COUNTS_KEPT = 8
"""Samples of one worker in one commit; more are put together, so that hours of tiny batches stay small in memory."""


class AppendTarget(Protocol):
    """A file that takes lines and has them on disk when `append` returns."""

    def append(self, data: bytes) -> int:
        """Append all of it; the new length in bytes."""

    def close(self) -> None:
        """Close it."""


class ProgressStore(Protocol):
    """What makes the progress durable."""

    progress: JobState

    def commit(self) -> None:
        """Have on disk what the progress says."""

    def close(self) -> None:
        """Let go of it."""


@dataclass(slots=True)
class Uncommitted:
    """What is done and not durable yet: committed together, as a sync costs the same for one item and a thousand."""

    numbers: list[int] = field(default_factory=list)
    """Of the items that were done."""
    rows: list[bytes] = field(default_factory=list)
    """Their lines in the output."""
    letters: list[DeadLetter] = field(default_factory=list)
    """Of items that were given up."""
    counts: list[Count] = field(default_factory=list)
    """What counts once all of it is durable."""
    size: int = 0
    """Bytes of rows and of items that were given up."""
    since: float | None = None
    """When the oldest of it came; None where there is nothing."""


class Journal:
    """The files of a job and its ledger: what is committed there counts."""

    def __init__(
        self,
        output: AppendTarget,
        open_dead: Callable[[int], AppendTarget],
        ledger: ProgressStore,
        again: DoneItems | None = None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Begin where the ledger stands.

        Args:
            output: where results go.
            open_dead: opens the file of dead letters, of which so many bytes count; called before the first letter.
            ledger: says what counts.
            again: items that have a dead letter and are tried once more; None where the job itself is resumed.
            settle: takes letters that do not count any more out of their file.
        """
        self.again = again
        self._settle = settle
        self._output = output
        self._open_dead = open_dead
        self._dead_file: AppendTarget | None = None
        self._ledger = ledger

    @property
    def progress(self) -> JobState:
        """What is durable."""
        return self._ledger.progress

    def commit(self, done: Uncommitted) -> list[Count]:
        """Make all of it durable and return what counts from now on.

        Args:
            done: since the last commit; nothing of it was committed.

        Raises:
            IpexLaunchError: a file or the ledger cannot be written; what was committed before stays, and the rest of
                this can never be committed here any more.
        """
        if not done.rows and not done.letters:
            return []
        progress = self.progress
        dead = [letter.item.number for letter in done.letters]
        progress.output_bytes = self._output.append(b"".join(done.rows))
        if dead:
            if self._dead_file is None:
                self._dead_file = self._open_dead(progress.dead_bytes)
            progress.dead_bytes = self._dead_file.append(encode_dead_letters(done.letters))
        if self.again is None:
            progress.dead += len(dead)
            progress.done.add([*done.numbers, *dead])
        else:
            # All are accounted for already, by the letters that they have: until the file is rewritten, a result
            # or another letter counts more than the first.
            progress.recovered += done.numbers
            progress.dead -= len(done.numbers)
            progress.letters = DeadLetterFileState.OUTDATED
        self._ledger.commit()
        return _thinned(done.counts)

    def complete(self) -> None:
        """Note that the job has finished.

        Raises:
            IpexLaunchError: the ledger cannot be written.
        """
        if self.again is None:
            self.progress.complete = True
            self._ledger.commit()

    def settle(self) -> None:
        """Take letters that do not count any more out of their file; nothing can be added after that.

        Raises:
            IpexLaunchError: it cannot be written; who opens the job next does it.
        """
        if self._settle is not None:
            self._settle()

    def close(self) -> None:
        """Let go of the files; what was not committed does not count."""
        self._output.close()
        if self._dead_file is not None:
            self._dead_file.close()
        self._ledger.close()


class CallbackJournal:
    """What stands for the log of a load test: each item that is done is told at once, and nothing is kept."""

    def __init__(self, complete: Callable[[Sequence[int]], None]) -> None:
        """Begin with nothing answered.

        Args:
            complete: is told the numbers of the items that are done.
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
    def standing(self) -> CommittedCounts:
        """What is answered, in figures."""
        return self.progress.standing()

    @property
    def progress(self) -> JobState:
        """What is answered."""
        return self._ledger.progress

    def add(self, numbers: Sequence[int], rows: bytes, count: Count) -> None:
        """Take the results of a batch."""
        self._answer(numbers, count.time)
        self._counts.append(count)

    def add_dead(self, letters: Sequence[DeadLetter], now: float) -> None:
        """Take items that were given up: they would be waited for for ever, and the run is INVALID anyway."""
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


def _thinned(counts: list[Count]) -> list[Count]:
    """At most COUNTS_KEPT counts of each worker, the same items in all; each has the latency of its last batch."""
    by_worker: dict[int, list[Count]] = {}
    for count in counts:
        by_worker.setdefault(count.worker, []).append(count)
    kept: list[Count] = []
    for mine in by_worker.values():
        step = -(-len(mine) // COUNTS_KEPT)
        for begin in range(0, len(mine), step):
            group = mine[begin : begin + step]
            kept.append(group[-1]._replace(items=sum(count.items for count in group)))
    return kept
