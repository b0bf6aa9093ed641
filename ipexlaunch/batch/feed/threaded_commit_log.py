"""The journal of a job in a thread that has its files and its ledger to itself: a disk that hangs holds up no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ipexlaunch.batch.feed.commit_log import Journal
from ipexlaunch.batch.items import DeadLetter
from ipexlaunch.batch.ledger import Standing
from ipexlaunch.launch.supervise.feeder_protocol import Count
from ipexlaunch.launch.wait_for_disk import DiskThread

HINT = "what was committed before stays; go on with --resume once it answers"


class Recorder(Protocol):
    """What takes the results of a feeder; the methods of `JournalApart` say more."""

    since: float | None
    waiting_bytes: int

    @property
    def disk(self) -> DiskThread | None:
        """What commits; None where nothing is kept on a disk."""

    @property
    def standing(self) -> Standing:
        """What counts."""

    @property
    def busy(self) -> bool:
        """Whether a commit lasts."""

    @property
    def answered(self) -> bool:
        """Whether it is over."""

    def add(self, numbers: Sequence[int], rows: bytes, count: Count) -> None:
        """Take the results of a batch."""

    def add_dead(self, letters: Sequence[DeadLetter], now: float) -> None:
        """Take items that were given up."""

    def commit(self) -> None:
        """Begin to make all of it count."""

    def finish(self, *, complete: bool, settle: bool) -> None:
        """Begin to let go of everything."""

    def take_counts(self) -> list[Count]:
        """What counts from now on."""


class JournalApart:
    """Gathers what is done while the thread makes durable what was done before."""

    def __init__(self, journal: Journal, path: str) -> None:
        """Begin where the journal stands; from now on it is the thread's.

        Args:
            journal: commits.
            path: of the output, for messages.
        """
        self.disk = DiskThread()
        self.standing = journal.progress.standing()
        """How the job stood when a commit was last over."""
        self.since: float | None = None
        """When the oldest of what is gathered came; None where nothing is."""
        self.waiting_bytes = 0
        """Of rows and items that are not durable yet, whether they are being committed or not."""
        self.tried = 0
        """Items that were accounted for by this run."""
        self._journal = journal
        self._path = path
        self._gathered: list[Callable[[], None]] = []
        self._items = 0
        self._bytes = 0
        self._committing = 0, 0
        """Items and bytes."""

    @property
    def busy(self) -> bool:
        """Whether something was begun and `take_counts` has not told its end."""
        return self.disk.busy

    @property
    def answered(self) -> bool:
        """Whether `take_counts` has something to tell."""
        return self.disk.answered

    def add(self, numbers: Sequence[int], rows: bytes, count: Count) -> None:
        """Take the results of a batch.

        Args:
            numbers: of the items that were done.
            rows: their lines in the output.
            count: what counts once they are durable.
        """
        self._gather(partial(self._journal.add, numbers, rows, count), len(numbers), len(rows), count.time)

    def add_dead(self, letters: Sequence[DeadLetter], now: float) -> None:
        """Take items that were given up."""
        size = sum(letter.item.size for letter in letters)
        self._gather(partial(self._journal.add_dead, letters), len(letters), size, now)

    def commit(self) -> None:
        """Begin to make durable what is gathered; nothing else is being done."""
        gathered, self._gathered, self.since = self._gathered, [], None
        self._committing, self._items, self._bytes = (self._items, self._bytes), 0, 0

        def act() -> tuple[list[Count], Standing]:
            for add in gathered:
                add()
            return self._journal.commit(), self._journal.progress.standing()

        self.disk.begin(act, f"write {self._path}", HINT)

    def finish(self, *, complete: bool, settle: bool) -> None:
        """Begin to let go of the files; what was not committed does not count.

        Args:
            complete: whether the job has come to its end.
            settle: whether every file is to be left as it is to be found, because nothing will be added any more.
        """

        def act() -> tuple[list[Count], Standing]:
            try:
                if complete:
                    self._journal.complete()
                if settle:
                    self._journal.settle()
            finally:
                self._journal.close()
            return [], self._journal.progress.standing()

        self._committing = 0, 0
        self.disk.begin(act, f"write {self._path}", HINT)

    def take_counts(self) -> list[Count]:
        """What has become durable and counts from now on.

        Raises:
            IpexLaunchError: a file or the ledger cannot be written; what was committed before stays, and the rest of
                this can never be committed here any more.
        """
        counts: list[Count]
        counts, self.standing = self.disk.take()
        items, size = self._committing
        self.tried += items
        self.waiting_bytes -= size
        return counts

    def _gather(self, add: Callable[[], None], items: int, size: int, now: float) -> None:
        self._gathered.append(add)
        self._items += items
        self._bytes += size
        self.waiting_bytes += size
        self.since = now if self.since is None else self.since
