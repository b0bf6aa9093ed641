"""Workers' output: each line prefixed with its worker, shown, and kept in a log, without ever making a worker wait.

What the terminal (or the pipe behind us) takes slowly gathers here up to a bound; beyond it whole chunks are left out
of the display and said so, while the log still gets every byte.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from typing import Protocol

SHOWN_BACKLOG_BYTES = 4 << 20
"""How much may wait to be shown before chunks are left out."""

LONGEST_PARTIAL_LINE_BYTES = 64 << 10
"""A line without an end is shown in pieces of this size."""

LONGEST_LAST_LINE_BYTES = 500
"""How much of a line is kept for the live view."""

WRITE_BYTES = select.PIPE_BUF
"""What a pipe that select(2) calls writable takes without blocking (pipe(7))."""


class Display:
    """One output descriptor of the launcher (stdout or stderr) that is written only when it is ready to take more."""

    def __init__(self, descriptor: int) -> None:
        """Begin with nothing to show.

        Args:
            descriptor: where to write.
        """
        self.descriptor = descriptor
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._left_out = 0
        self.closed = False

    @property
    def waiting(self) -> bool:
        """Whether something is to be written."""
        return bool(self._waiting) and not self.closed

    def add(self, data: bytes) -> None:
        """Queue whole lines, or leave them out where too much waits already."""
        if self.closed:
            return
        if self._size + len(data) > SHOWN_BACKLOG_BYTES:
            self._left_out += len(data)
            return
        if self._left_out:
            note = f"ipexlaunch: {self._left_out} bytes of output are not shown here (--log-dir keeps them)\n".encode()
            self._left_out = 0
            self._waiting.append(note)
            self._size += len(note)
        self._waiting.append(data)
        self._size += len(data)

    def write(self) -> None:
        """Write one piece; call it when the descriptor is ready."""
        if not self.waiting:
            return
        head = self._waiting[0]
        try:
            written = os.write(self.descriptor, head[:WRITE_BYTES])
        except BlockingIOError:
            return
        except (BrokenPipeError, OSError):
            # The reader is gone (`| head`), or the disk behind it is full: the run goes on unseen.
            self.closed = True
            self._waiting.clear()
            return
        self._size -= written
        if written == len(head):
            self._waiting.popleft()
        else:
            self._waiting[0] = head[written:]

    def flush(self, timeout_s: float) -> None:
        """Write what waits, as long as the descriptor takes something within the time."""
        while self.waiting:
            try:
                poller = select.poll()
                poller.register(self.descriptor, select.POLLOUT)
                if not poller.poll(timeout_s * 1000):
                    return
            except OSError:
                return
            self.write()


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
        display: Display,
        log: Log | None,
        last: LastLine | None = None,
        stamp: Callable[[], bytes] | None = None,
        tap: Tap | None = None,
    ) -> None:
        """Begin in the middle of nothing.

        Args:
            prefix: stands before every line, e.g. b"[0] ".
            display: where lines are shown.
            log: where every byte is kept; None for nowhere.
            last: is told the last line, also one without an end: a progress bar may never end its line.
            stamp: makes the time that stands before the prefix; None for no time.
            tap: is given every byte too.
        """
        self._prefix = prefix
        self._display = display
        self._log = log
        self._last = last
        self._stamp = stamp
        self._tap = tap
        self._partial = b""

    def add(self, data: bytes) -> None:
        """Take a chunk as it was read."""
        if self._log is not None:
            self._log.write(data)
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
        self._display.add(prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n")
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
    """One worker's log file, turned over at a size; a full disk ends the log, not the run."""

    def __init__(self, path: str, complain: Callable[[str], None], largest_bytes: int | None = None) -> None:
        """Create the file.

        Args:
            path: where; its directory exists.
            complain: called once with a message when it can no longer be written.
            largest_bytes: at this size the file is renamed to PATH.1 (replacing an older one) and begun anew.
        """
        self.path = path
        self._complain = complain
        self._largest = largest_bytes
        self._size = 0
        self._descriptor: int | None = self._open()

    def _open(self) -> int:
        """The file; a link is not followed. It is private in a private directory."""
        closed = not os.stat(os.path.dirname(self.path) or ".").st_mode & 0o077
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.path, flags, 0o600 if closed else 0o666)

    def write(self, data: bytes) -> None:
        """Append all of it."""
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
            self.close()

    def _fitting(self, data: bytes) -> int:
        """How much of it goes into the present file: whole lines where possible; 0 where it is full."""
        room = len(data) if self._largest is None else self._largest - self._size
        if len(data) <= room:
            return len(data)
        lines = data.rfind(b"\n", 0, max(room, 0)) + 1
        return lines if lines or self._size else max(room, 1)

    def _turn_over(self) -> None:
        self.close()
        os.replace(self.path, self.path + ".1")
        self._descriptor, self._size = self._open(), 0

    def close(self) -> None:
        """Close it; later writes are dropped."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
