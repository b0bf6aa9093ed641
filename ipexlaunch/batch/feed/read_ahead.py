"""Fill the queue of a batch job from its input, as it has room: whole where a batch needs it, else little by little."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from ipexlaunch.batch.feed.commits import AnyJournal
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.batch.work_queue import WorkQueue
from ipexlaunch.errors import IpexLaunchError

NOTES_OF_DEAD = 10
"""So many dead letters are told one by one; the file has them all."""


class ReadAhead:
    """Reads rows as they are needed; one that gives no item is a dead letter, for which no worker is to blame."""

    def __init__(
        self,
        rows: Iterator[Item | DeadLetter | None],
        queue: WorkQueue,
        journal: AnyJournal,
        notice: Callable[[str], None],
    ) -> None:
        """Begin with nothing read.

        Args:
            rows: of the input, in its order; None where it has nothing yet.
            queue: takes the items.
            journal: takes the dead letters.
            notice: takes what the user should know.
        """
        self.rows = 0
        """That were read."""
        self.error: IpexLaunchError | None = None
        """Where the input ended before its end; what was read before is done all the same."""
        self._rows = rows
        self._queue = queue
        self._journal = journal
        self._notice = notice

    def fill(self, now: float) -> bool:
        """Keep the look-ahead filled; false while more comes.

        Args:
            now: seconds of the supervisor's clock.
        """
        queue = self._queue
        wanted = queue.room if queue.must_read else min(queue.room, 2 * queue.rules.largest)
        if not wanted:
            return True
        items: list[Item] = []  # filled one by one: what came before an error is kept
        bad: list[DeadLetter] = []
        paused = False
        try:
            for row in islice(self._rows, wanted):
                if isinstance(row, Item):
                    items.append(row)
                elif row is None:
                    paused = True
                    break
                else:
                    bad.append(row)
        except IpexLaunchError as error:
            self.error = error
            self._notice(f"the input is not read further: {error}")
        self.rows += len(items) + len(bad)
        queue.add(items)
        if len(items) + len(bad) < wanted and not paused:
            queue.end()
        if bad:
            self._give_up(bad, now)
        return not paused

    def _give_up(self, letters: list[DeadLetter], now: float) -> None:
        figures = self._queue.figures
        for letter in letters[: max(0, NOTES_OF_DEAD - figures.unreadable)]:
            place = f"line {letter.line} of {letter.file or 'the input'}"
            self._notice(f"{place} gives no item: {letter.reason}")
        figures.unreadable += len(letters)
        self._journal.add_dead(letters, now)
