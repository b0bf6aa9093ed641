"""Write what is to be seen or kept in a thread of its own, so that a terminal, a pipe or a disk never holds up a run.

A terminal that is stopped (Ctrl-S), a pipe that nobody reads and a disk that hangs keep whoever writes to them waiting,
whatever select(2) said before. Making the descriptor non-blocking is no way out: the shell and its other programs share
it. So a thread waits there, and what it cannot write gathers up to a bound.
"""

from __future__ import annotations

import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable

SHOWN_BACKLOG_BYTES = 4 << 20
"""How much may wait to be shown before chunks are left out."""

PIECE_BYTES = select.PIPE_BUF
"""What is written to a pipe or terminal at a time: whether it takes anything shows after each piece."""

FILE_PIECE_BYTES = 1 << 18
"""What is written to a file at a time."""

LAST_WORDS_S = 5.0
"""How long an output may take nothing at the end before the rest is given up."""

Write = Callable[[memoryview], None]


class WritingThread:
    """Writes one thing after the other; whoever adds something never waits."""

    def __init__(self, name: str, piece_bytes: int = FILE_PIECE_BYTES) -> None:
        """Begin with nothing to write, and no thread before there is something.

        Args:
            name: of the thread, for debuggers.
            piece_bytes: how much is given to a writing function at a time.
        """
        self._name = name
        self._piece = piece_bytes
        self._queue: deque[tuple[Write, bytes | memoryview]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._pieces = 0
        self.waiting_bytes = 0
        """What is not written yet."""

    def start(self) -> None:
        """Have the thread: it inherits the cpus that the calling thread is held to, so call it while there are none.

        Raises:
            RuntimeError: the system allows no thread more.
        """
        with self._changed:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                thread.start()
                self._thread = thread

    def add(self, write: Write, data: bytes, most: int | None = None) -> bool:
        """Have data written after what waits already; false where more than so many bytes would wait then.

        Args:
            write: writes all that it is given, in the thread; it deals with its errors itself.
            data: what to write.
            most: a bound in bytes; None for none.
        """
        if self._thread is None:
            try:
                self.start()
            except RuntimeError:  # what is to be said then is said all the same, and whoever says it waits
                write(memoryview(data))
                return True
        with self._changed:
            if most is not None and self.waiting_bytes + len(data) > most:
                return False
            self._queue.append((write, data))
            self.waiting_bytes += len(data)
            self._changed.notify_all()
        return True

    def wait(self, patience_s: float | None) -> bool:
        """Return when all is written; false once nothing was for so long.

        Args:
            patience_s: in seconds; None waits for ever.
        """
        with self._changed:
            while self.waiting_bytes:
                before = self._pieces
                self._changed.wait_for(lambda before=before: self._pieces > before, patience_s)  # type: ignore[misc]
                if self._pieces == before:
                    return False
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue:
                    self._changed.wait()
                write, piece = self._take()
            write(piece)
            with self._changed:
                self.waiting_bytes -= len(piece)
                self._pieces += 1
                self._changed.notify_all()

    def _take(self) -> tuple[Write, memoryview]:
        """The next piece: of what goes to one place as much as a piece may have, of what is larger the beginning."""
        write, data = self._queue.popleft()
        if len(data) < self._piece and self._queue and self._queue[0][0] == write:
            parts, size = [data], len(data)
            while self._queue and self._queue[0][0] == write and size < self._piece:
                parts.append(self._queue.popleft()[1])
                size += len(parts[-1])
            data = b"".join(parts)
        view = memoryview(data)
        if len(view) > self._piece:
            self._queue.appendleft((write, view[self._piece :]))
        return write, view[: self._piece]


class Outlet:
    """What one descriptor of the launcher shows; nobody waits for it, and a failure is kept and not raised."""

    def __init__(self, descriptor: int, thread: WritingThread | None = None) -> None:
        """Begin with nothing to show.

        Args:
            descriptor: where to write.
            thread: writes for another descriptor of the same file too, so that all stands in order; None for its own.
        """
        self.descriptor = descriptor
        self.thread = thread or WritingThread(f"ipexlaunch-output-{descriptor}", _piece_bytes(descriptor))
        self.problem = ""
        """Why something was not shown; "" while everything was."""
        self._left_out = 0

    def add(self, data: bytes, *, whole: bool = False) -> None:
        """Show data, or leave it out where too much waits already or the output has failed.

        Args:
            data: whole lines, so that what is left out is too.
            whole: leave nothing out, however much waits.
        """
        if self.problem or not data:
            return
        if self._left_out:
            note = f"ipexlaunch: {self._left_out} bytes of output are not shown here (--log-dir keeps them)\n"
            if self.thread.add(self._write, note.encode() + data, SHOWN_BACKLOG_BYTES):
                self._left_out = 0
                return
        if not self.thread.add(self._write, data, None if whole else SHOWN_BACKLOG_BYTES):
            self._left_out += len(data)

    def wait(self, patience_s: float | None) -> None:
        """Return when all is shown, or has failed; what an output has not taken by then is given up.

        Args:
            patience_s: how long it may take nothing; None for ever.
        """
        if self._left_out and not self.problem:
            left_out, self._left_out = self._left_out, 0
            self.add(f"ipexlaunch: {left_out} bytes of output are not shown here\n".encode(), whole=True)
        if not self.problem and not self.thread.wait(patience_s) and not self.problem:
            self.problem = f"it took nothing for {patience_s:g} s"

    def _write(self, data: memoryview) -> None:
        """Write all of it, in the thread."""
        while data and not self.problem:
            try:
                data = data[os.write(self.descriptor, data) :]
            except BlockingIOError:  # another program that shares it has made it non-blocking
                poller = select.poll()
                poller.register(self.descriptor, select.POLLOUT)
                poller.poll()
            except OSError as error:
                self.problem = str(error.strerror)


def _piece_bytes(descriptor: int) -> int:
    """How much goes into one write: much to a file, which takes it at once."""
    try:
        regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
    except OSError:
        regular = False  # it is closed, which the first write tells
    return FILE_PIECE_BYTES if regular else PIECE_BYTES


def outlets_of(first: int, second: int) -> tuple[Outlet, Outlet]:
    """Outlets of two descriptors; where they are one file (a terminal, 2>&1), what is added to both stands in order.

    Args:
        first: a descriptor.
        second: another, or the same.
    """
    outlet = Outlet(first)
    if first == second:
        return outlet, outlet
    try:
        shared = os.path.sameopenfile(first, second)
    except OSError:
        shared = False  # one is closed
    return outlet, Outlet(second, outlet.thread if shared else None)
