"""Read an input in a thread of its own: a pipe's writer may take hours for a line, a file's disk may hang, and the
supervisor never waits.
"""

from __future__ import annotations

import os
import select
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from ipexlaunch.launch.supervise.interfaces import Observer

Row = TypeVar("Row")

FIRST_ITEM_S = 1.0
"""How long a job waits for the first item of a pipe before it starts its workers."""

ROWS_AHEAD = 8192
"""So many are read of a pipe before they are wanted; then the writer has to wait."""

FILE_READ_AHEAD = {"ahead": 4, "together": 64}
"""Rows of a file are handed over together, which costs as much as one."""


class ThreadedReader(Iterator[Row | None]):
    """An iterator that never waits: None stands for "nothing yet", and a descriptor tells when there is more.

    Make it before workers are started (see report/live/background_thread.py). The thread dies with the process: nothing
    wakes it from a pipe on which nobody writes.
    """

    def __init__(self, rows: Iterator[Row], ahead: int = ROWS_AHEAD, together: int = 1) -> None:
        """Begin to read.

        Args:
            rows: what is read, by the thread alone; an error in it is raised where the rows before it have been taken.
            ahead: how many times `together` to hold.
            together: rows that are handed over at once.
        """
        self._rows = rows
        self._ahead = ahead
        self._together = together
        self._taken: Iterator[Row] = iter(())
        self._held: deque[list[Row]] = deque()
        self._over = False
        self._error: Exception | None = None
        self._changed = threading.Condition()
        self._wanted = False
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        threading.Thread(target=self._read, name="ipexlaunch-input", daemon=True).start()

    def __next__(self) -> Row | None:
        """The next row, or None where there is none yet.

        Raises:
            StopIteration: there are no more.
            Exception: what ended the reading.
        """
        row = next(self._taken, None)
        if row is not None:
            return row
        with self._changed:
            if self._held:
                self._taken = iter(self._held.popleft())
                self._changed.notify()
                return next(self._taken)
            if not self._over:
                self._wanted = True
                return None
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        raise StopIteration

    def fileno(self) -> int:
        """Becomes readable when there is something after a None."""
        return self._reading

    def heard(self) -> None:
        """Make the descriptor quiet again."""
        os.read(self._reading, 4096)

    def _read(self) -> None:
        gathered: list[Row] = []
        try:
            for row in self._rows:
                gathered.append(row)
                if len(gathered) == self._together:
                    with self._changed:
                        self._held.append(gathered)
                        self._tell()
                        self._changed.wait_for(self._has_room)
                    gathered = []
        except Exception as error:  # the thread's boundary: it is raised where the rows are taken
            self._error = error
        with self._changed:
            if gathered:
                self._held.append(gathered)
            self._over = True
            self._tell()

    def _has_room(self) -> bool:
        return len(self._held) < self._ahead

    def _tell(self) -> None:
        if self._wanted:
            self._wanted = False
            os.write(self._writing, b"\0")


@dataclass(frozen=True, slots=True)
class FirstItems(Generic[Row]):
    """What came first of a pipe, and what is to come."""

    items: tuple[Row, ...]
    rest: ThreadedReader[Row]


def first_items(rows: ThreadedReader[Row], *, patient: bool, tell: Callable[[str], None]) -> FirstItems[Row]:
    """Wait a little for the first row, so that what is wrong with the input is found before any work.

    Args:
        rows: nothing was taken of it yet.
        patient: whether to wait until a row or the end comes, because something would be lost otherwise.
        tell: says a line to the user.

    Raises:
        Exception: what ended the reading before it gave a row.
    """
    poller = select.poll()
    poller.register(rows, select.POLLIN)
    said = False
    while True:
        try:
            first = next(rows)
        except StopIteration:
            return FirstItems((), rows)
        if first is not None:
            return FirstItems((first,), rows)
        if poller.poll(1000 * FIRST_ITEM_S):
            rows.heard()
        elif not patient:
            return FirstItems((), rows)
        elif not said:
            said = True
            tell("waiting for the first item; until it is there the old output stays")


class InputObserver(Observer):
    """Lets the supervisor's loop wait for rows."""

    def __init__(self, rows: ThreadedReader[Row], came: Callable[[], None]) -> None:
        """Begin with nothing heard.

        Args:
            rows: what is waited for.
            came: called when there are some.
        """
        self._rows = rows
        self._came = came

    def fileno(self) -> int | None:
        """Of the rows."""
        return self._rows.fileno()

    def ready(self, now: object) -> None:
        """There is something to take."""
        self._rows.heard()
        self._came()
