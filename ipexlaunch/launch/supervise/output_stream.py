"""A worker's output: each line is prefixed with its worker, shown, and kept in a log.

What the terminal or the pipe behind us takes slowly waits in its outlet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ipexlaunch.launch.background_writer import Outlet
from ipexlaunch.launch.supervise.counts_in_output import PrintedLines
from ipexlaunch.launch.supervise.log_files import Log

LONGEST_PARTIAL_LINE_BYTES = 64 << 10
"""A line without an end is shown in pieces of this size."""

LONGEST_LAST_LINE_BYTES = 500
"""How much of a line is kept for the live view."""


class LastLine(Protocol):
    """Where a stream leaves what it showed last."""

    last_line: str


@dataclass(slots=True)
class Stream:
    """One worker's stdout or stderr: cuts it into lines, prefixes them, logs the bytes."""

    prefix: bytes
    """Stands before every line, e.g. b"[0] "."""
    outlet: Outlet
    """Where lines are shown."""
    logs: Sequence[Log]
    """Where every byte is kept."""
    last: LastLine | None = None
    """Is told the last line, also one without an end: a progress bar may never end its line."""
    stamp: Callable[[], bytes] | None = None
    """Makes the time that stands before the prefix; None for no time."""
    taps: Sequence[PrintedLines] = ()
    """Are given every byte too."""
    _partial: bytes = field(default=b"", init=False)

    def add(self, data: bytes) -> None:
        """Take a chunk as it was read."""
        for log in self.logs:
            log.add(data)
        for tap in self.taps:
            tap.add(data)
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
        for tap in self.taps:
            tap.end()
        if self._partial:
            self._show(self._partial + b"\n")
            self._partial = b""

    def _show(self, lines: bytes) -> None:
        prefix = self.prefix if self.stamp is None else self.stamp() + self.prefix
        self.outlet.add(prefix + lines[:-1].replace(b"\n", b"\n" + prefix) + b"\n")
        self._tell_last(lines[lines.rfind(b"\n", 0, -1) + 1 : -1])

    def _tell_last(self, line: bytes) -> None:
        """Of a line that was overwritten (carriage returns) the newest state; nothing where there is none to see."""
        if self.last is None:
            return
        line = line.rstrip()
        if line:
            last = line[line.rfind(b"\r") + 1 :]
            self.last.last_line = last[:LONGEST_LAST_LINE_BYTES].decode(errors="replace")
