"""What is done becomes durable, in this order: results and dead letters, then the ledger, then it counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ipexlaunch.batch.done_items import DoneItems
from ipexlaunch.batch.items import DeadLetter
from ipexlaunch.batch.ledger import Letters, Progress
from ipexlaunch.batch.output.result_rows import encode_dead
from ipexlaunch.launch.supervise.feeder_protocol import Count

COUNTS_KEPT = 8
"""Samples of one worker in one commit; more are put together, so that hours of tiny batches stay small in memory."""


class Appended(Protocol):
    """A file that takes lines and has them on disk when `append` returns."""

    def append(self, data: bytes) -> int:
        """Append all of it; the new length in bytes."""

    def close(self) -> None:
        """Close it."""


class Keeper(Protocol):
    """What makes the progress durable."""

    progress: Progress

    def commit(self) -> None:
        """Have on disk what the progress says."""

    def close(self) -> None:
        """Let go of it."""


class Journal:
    """Gathers what is done and commits it in groups: a sync costs the same for one item and for a thousand."""

    def __init__(
        self,
        output: Appended,
        open_dead: Callable[[int], Appended],
        ledger: Keeper,
        again: DoneItems | None = None,
        settle: Callable[[], None] | None = None,
    ) -> None:
        """Begin where the ledger stands.

        Args:
            output: where results go.
            open_dead: opens the file of dead letters, of which so many bytes count; called before the first letter.
            ledger: says what counts.
            again: items that have a dead letter and are tried once more; None where the job itself is gone on with.
            settle: takes letters that do not count any more out of their file.
        """
        self.again = again
        self._settle = settle
        self._output = output
        self._open_dead = open_dead
        self._dead_file: Appended | None = None
        self._ledger = ledger
        self._rows: list[bytes] = []
        self._numbers: list[int] = []
        self._dead: list[DeadLetter] = []
        self._counts: list[Count] = []

    @property
    def progress(self) -> Progress:
        """What is durable."""
        return self._ledger.progress

    def add(self, numbers: Sequence[int], rows: bytes, count: Count) -> None:
        """Take the results of a batch.

        Args:
            numbers: of the items that were done.
            rows: their lines in the output.
            count: what counts once they are durable.
        """
        self._rows.append(rows)
        self._numbers += numbers
        self._counts.append(count)

    def add_dead(self, letters: Sequence[DeadLetter]) -> None:
        """Take items that were given up."""
        self._dead += letters

    def commit(self) -> list[Count]:
        """Make all of it durable and return what counts from now on.

        Raises:
            IpexLaunchError: a file or the ledger cannot be written; what was committed before stays, and the rest of
                this can never be committed here any more.
        """
        if not self._rows and not self._dead:
            return []
        progress = self.progress
        dead = [letter.item.number for letter in self._dead]
        progress.output_bytes = self._output.append(b"".join(self._rows))
        if dead:
            if self._dead_file is None:
                self._dead_file = self._open_dead(progress.dead_bytes)
            progress.dead_bytes = self._dead_file.append(encode_dead(self._dead))
        if self.again is None:
            progress.dead += len(dead)
            progress.done.add([*self._numbers, *dead])
        else:
            # All are accounted for already, by the letters that they have: until the file is written anew, a result
            # or another letter counts more than the first.
            progress.recovered += self._numbers
            progress.dead -= len(self._numbers)
            progress.letters = Letters.OUTDATED
        self._ledger.commit()
        counts, self._counts = self._counts, []
        self._rows, self._numbers, self._dead = [], [], []
        return _thinned(counts)

    def complete(self) -> None:
        """Note that the job has come to its end.

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
