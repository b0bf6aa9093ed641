"""Where a file's text is cut: at the first row that begins at or behind each wanted byte, with its line and number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

BLANK = re.compile(rb"\n[ \t\r\x0b\x0c]*(?=\n)")
"""A line of JSON lines that is no item, behind the end of the one before it."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The beginning of a range."""

    offset: int
    """Its first byte in the file."""
    line: int
    """The number of its first line, from 1."""
    item: int
    """How many items of the file come before it."""


def wanted_cuts(size: int, ranges: int) -> list[int]:
    """The bytes at which a file falls into ranges of one size, but for the rows.

    Args:
        size: of the file.
        ranges: how many are wanted.
    """
    return [size * number // ranges for number in range(1, ranges)]


class LineCutter:
    """Cuts text in which every line is a row, from its blocks alone: nothing but newlines is looked for."""

    def __init__(self, wanted: Sequence[int], *, begin: int = 0, passes_blank: bool) -> None:
        """Begin at the beginning.

        Args:
            wanted: bytes of the file, in order.
            begin: how many bytes of the file come before the text (its byte order mark).
            passes_blank: whether lines of white space are no items.
        """
        self.cuts: list[Cut] = []
        self._wanted = list(wanted)
        self._offset = begin
        """Of the next block."""
        self._lines = self._blank = 0
        """Lines that have ended, and those of them that are no items."""
        self._passes_blank = passes_blank
        self._open, self._open_blank = False, True
        """Whether a line has begun, and whether it is white space so far."""

    def block(self, data: bytes) -> None:
        """Take the next bytes.

        Args:
            data: as they stand in the file.
        """
        at = 0
        while self._wanted and self._wanted[0] <= self._offset + len(data):
            newline = data.find(b"\n", max(at, self._wanted[0] - self._offset - 1))
            if newline < 0:
                break
            self._take(data, at, newline + 1)
            at = newline + 1
            self.cuts.append(Cut(self._offset + at, self._lines + 1, self._lines - self._blank))
            while self._wanted and self._wanted[0] <= self._offset + at:
                self._wanted.pop(0)
        self._take(data, at, len(data))
        self._offset += len(data)

    @property
    def items(self) -> int:
        """How many the text has, once all of it was taken."""
        last = self._open and not (self._passes_blank and self._open_blank)
        return self._lines - self._blank + last

    def _take(self, data: bytes, begin: int, end: int) -> None:
        """Count the lines of a piece."""
        if begin == end:
            return
        first = data.find(b"\n", begin, end)
        head = data[begin : end if first < 0 else first]
        if head:
            self._open, self._open_blank = True, self._open_blank and (head.isspace() if self._passes_blank else False)
        if first < 0:
            return
        last = data.rfind(b"\n", begin, end)
        self._lines += data.count(b"\n", begin, end)
        if self._passes_blank:
            self._blank += self._open_blank + len(BLANK.findall(data, first, last + 1))
        tail = data[last + 1 : end]
        self._open, self._open_blank = bool(tail), not tail or tail.isspace()


class RowCutter:
    """Cuts text whose rows a reader finds: it says on which line each begins, after the text was handed to it."""

    def __init__(self, wanted: Sequence[int], *, begin: int = 0) -> None:
        """Begin at the beginning.

        Args:
            wanted: bytes of the file, in order.
            begin: how many bytes of the file come before the text (its byte order mark).
        """
        self.cuts: list[Cut] = []
        self.starts: dict[int, int] = {}
        """Lines from the next wanted byte on that were handed over, to where they begin; a row may begin on one."""
        self._wanted = list(wanted)
        self._offset = begin
        self._lines = 0

    def block(self, data: bytes) -> None:
        """Take what the reader is handed next.

        Args:
            data: as it stands in the file.
        """
        at, line = -1, self._lines
        if self._wanted and self._wanted[0] <= self._offset + len(data):
            at = max(0, self._wanted[0] - self._offset - 1)
            line += data.count(b"\n", 0, at)
            while (newline := data.find(b"\n", at)) >= 0:
                at, line = newline + 1, line + 1
                self.starts[line + 1] = self._offset + at
        self._lines += data.count(b"\n")
        self._offset += len(data)

    def row(self, line: int, number: int) -> None:
        """Hear of a row that the reader has found; worth a call only while there are `starts`.

        Args:
            line: on which it begins, from 1.
            number: of its item, from 0.
        """
        start = self.starts.get(line)
        if start is None or not self._wanted or start < self._wanted[0]:
            return
        self.cuts.append(Cut(start, line, number))
        while self._wanted and self._wanted[0] <= start:
            self._wanted.pop(0)
        next_one = self._wanted[0] if self._wanted else None
        self.starts = {} if next_one is None else {at: to for at, to in self.starts.items() if to >= next_one}
