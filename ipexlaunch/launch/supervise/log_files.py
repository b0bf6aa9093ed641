"""Keep workers' output in files, without ever making a worker wait.

What the disk takes slowly gathers up to a bound (`background_writer`); beyond it whole chunks are left out and said so.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from ipexlaunch.launch.background_writer import WritingThread

LOGS_BACKLOG_BYTES = 64 << 20
"""How much may wait for the disk of the logs before chunks are left out of them."""


class Log:
    """One worker's log file, turned over at a size and written in a thread; a full disk ends the log, not the run."""

    def __init__(
        self, path: str, complain: Callable[[str], None], largest_bytes: int | None, thread: WritingThread
    ) -> None:
        """Create the file.

        Args:
            path: where; its directory exists.
            complain: called with a message when it can no longer be written, and when bytes were left out.
            largest_bytes: at this size the file is renamed to PATH.1 (replacing an older one) and a new one is started.
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
