"""The shapes that batches of texts are padded to: few where a graph is made for each, any where none is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST = 32
"""Tokens; a shorter shape saves little of a call and costs a graph of its own."""

STEP = 8
"""Where any shape runs, lengths are multiples of this: oneDNN keeps what it prepared for a shape."""

SMALLER = 4
"""At the end of the input batches shrink; those of up to a quarter of the rows have shapes of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShapes:
    """The shapes of one model job."""

    rows: int
    """Texts of a batch, at most."""
    longest: int
    """Tokens of a text, at most."""
    fixed: bool
    """Whether every batch must have one of few shapes, because a graph is recorded or compiled for each."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that are run before the start, ascending: doubling where shapes are fixed, else the longest."""
        if not self.fixed:
            return (self.longest,)
        lengths = []
        length = SHORTEST
        while length < self.longest:
            lengths.append(length)
            length *= 2
        return (*lengths, self.longest)

    @property
    def row_counts(self) -> tuple[int, ...]:
        """The numbers of rows that are run, descending: where shapes are fixed, whole batches and the small ones of the
        end, else any, of which only the largest is run before the start."""
        few = self.rows // SMALLER
        return (self.rows, few) if self.fixed and few else (self.rows,)

    def fitting(self, texts: Sequence[int]) -> tuple[int, int]:
        """Rows and length of the smallest shape that holds texts of so many tokens.

        Args:
            texts: tokens of each, none above `longest`.
        """
        most = max(texts, default=1)
        if self.fixed:
            rows = min(rows for rows in self.row_counts if rows >= len(texts))
            return rows, next(length for length in self.lengths if length >= most)
        return len(texts), min(self.longest, -(-most // STEP) * STEP)
