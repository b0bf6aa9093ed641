"""Workers' output: each line prefixed with its worker, shown, and kept in a log, without ever making a worker wait.

What the terminal, the pipe behind us or the disk takes slowly gathers up to a bound (`write_apart`); beyond it whole
chunks are left out and said so.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

from ipexlaunch.launch.background_writer import Outlet, WritingThread

LOGS_BACKLOG_BYTES = 64 << 20
"""How much may wait for the disk of the logs before chunks are left out of them."""

LONGEST_PARTIAL_LINE_BYTES = 64 << 10
"""A line without an end is shown in pieces of this size."""

LONGEST_LAST_LINE_BYTES = 500
"""How much of a line is kept for the live view."""


class LastLine(Protocol):
    """Where a stream leaves what it showed last."""

    last_line: str


class Tap(Protocol):
    """What looks at a stream's bytes besides."""

    def add(self, data: bytes) -> None:
        """Take a chunk as it was read."""

    def end(self) -> None:
        """There is no more."""


class Stream:
    """One worker's stdout or stderr: cuts it into lines, prefixes them, logs the bytes."""

    def __init__(
        self,
        prefix: bytes,
        outlet: Outlet,
        log: Log | None,
        last: LastLine | None = None,
        stamp: Callable[[], bytes] | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Begin in the middle of nothing.

        Args:
            prefix: stands before every line, e.g. b"[0] ".
            outlet: where lines are shown.
            log: where every byte is kept; None for nowhere.
            last: is told the last line, also one without an end: a progress bar may never end its line.
            stamp: makes the time that stands before the prefix; None for no time.
            tap: is given every byte too.
        """
        self._prefix = prefix
        self._outlet = outlet
        self._log = log
        self._last = last
        self._stamp = stamp
        self._tap = tap
        self._partial = b""

    def add(self, data: bytes) -> None:
        """Take a chunk as it was read."""
        if self._log is not None:
            self._log.add(data)
        if self._tap is not None:
            self._tap.add(data)
        data = self._partial + data
        end = data.rfind(b"\n") + 1
        if len(data) - end > LONGEST_PARTIAL_LINE_BYTES:
            self._show(data + b"\n")
            self._partial = b""
            return
        if end:
            self._show(data[:end])
        self._partial = data[end:]
        self._tell_last(self._partial)

    def end(self) -> None:
        """Show the last line even if it has no end."""
        if self._tap is not None:
            self._tap.end()
        if self._partial:
            self._show(self._partial + b"\n")
            self._partial = b""

    def _show(self, lines: bytes) -> None:
        prefix = self._prefix if self._stamp is None else self._stamp() + self._prefix
        self._outlet.add(prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n")
        self._tell_last(lines[lines.rfind(b"\n", 0, -1) + 1 : -1])

    def _tell_last(self, line: bytes) -> None:
        """Of a line that was overwritten (carriage returns) the newest state; nothing where there is none to see."""
        if self._last is None:
            return
        line = line.rstrip()
        if line:
            last = line[line.rfind(b"\r") + 1 :]
            self._last.last_line = last[:LONGEST_LAST_LINE_BYTES].decode(errors="replace")


class Log:
    """One worker's log file, turned over at a size and written in a thread; a full disk ends the log, not the run."""

    def __init__(
        self, path: str, complain: Callable[[str], None], largest_bytes: int | None, thread: WritingThread
    ) -> None:
        """Create the file.

        Args:
            path: where; its directory exists.
            complain: called with a message when it can no longer be written, and when bytes were left out.
            largest_bytes: at this size the file is renamed to PATH.1 (replacing an older one) and begun anew.
            thread: writes; all logs of a run may have one.
        """
        self.path = path
        self._complain = complain
        self._largest = largest_bytes
        self._thread = thread
        self._size = 0
        self._left_out = 0
        self._descriptor: int | None = self._open()

    def _open(self) -> int:
        """The file; a link is not followed. It is private in a private directory."""
        closed = not os.stat(os.path.dirname(self.path) or ".").st_mode & 0o077
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.path, flags, 0o600 if closed else 0o666)

    def add(self, data: bytes) -> None:
        """Have all of it appended, unless the disk is so slow that too much waits already."""
        if not data:
            return
        note = f"ipexlaunch: {self._left_out} bytes of output are missing here\n".encode() if self._left_out else b""
        if self._thread.add(self._append, note + data, LOGS_BACKLOG_BYTES):
            self._left_out = 0
            return
        if not self._left_out:
            self._complain(f"{self.path} lacks output: its disk takes too little")
        self._left_out += len(data)

    def close(self) -> None:
        """Close it after all that was added; later additions are dropped."""
        self._thread.add(self._end, b"\n")

    def _append(self, data: memoryview) -> None:
        """Write all of it, in the thread."""
        try:
            while data and self._descriptor is not None:
                size = self._fitting(data)
                if size == 0:
                    self._turn_over()
                    continue
                written = os.write(self._descriptor, data[:size])
                self._size += written
                data = data[written:]
        except OSError as error:
            self._complain(f"{self.path} is no longer written: {error.strerror}")
            self._end(data)

    def _fitting(self, data: memoryview) -> int:
        """How much of it goes into the present file: whole lines where possible; 0 where it is full."""
        room = len(data) if self._largest is None else self._largest - self._size
        if len(data) <= room:
            return len(data)
        lines = bytes(data[: max(room, 0)]).rfind(b"\n") + 1
        return lines if lines or self._size else max(room, 1)

    def _turn_over(self) -> None:
        self._end(memoryview(b""))
        os.replace(self.path, self.path + ".1")
        self._descriptor, self._size = self._open(), 0

    def _end(self, _: memoryview) -> None:
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            os.close(descriptor)
