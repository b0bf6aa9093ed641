"""A part of one input file: which bytes or row groups, and what the first row in them is called in the whole input."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class InputPart:
    """A range of a file that begins where a row begins, read so that its items are those of the whole input."""

    name: str
    """Stands before the number of a line in an item's id, where there are several files."""
    begin: int
    """The first byte, or the first row group of Parquet."""
    end: int
    """The byte, or row group, after the last."""
    first_line: int
    """The number of the line, or of the row of Parquet, that it begins with, from 1."""
    first_item: int
    """The number of its first item in the whole input, from 0."""
    items: int
    """How many rows it has, those that give no item too."""
    header_bytes: int = 0
    """How much of the file, from its beginning, is read before the range: the names of the fields in csv and tsv."""
    is_whole: bool = False
    """Whether it is the whole file: one that is compressed has no other."""
