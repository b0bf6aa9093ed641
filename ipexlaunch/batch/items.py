"""What a batch job consists of: items, the batches that they travel in, and those that could not be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Item(NamedTuple):
    """One unit of work (a tuple, because there are millions of them and it is made in a third of the time)."""

    number: int
    """Its position in the input, from 0."""
    id: str | int | None
    """What its result is found by: given in the input, or the number of its line from 1, FILE:LINE where there are
    several files. 1 and "1" are two. None only in the dead letter of a row whose id could not be read."""
    value: object
    """What the program is given; anything that JSON can hold."""
    size: int
    """What its work is judged by: bytes of the line, or tokens."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that a worker is given together."""

    number: int
    """Given anew each time that it is handed out, so that an answer to an earlier time is told apart."""
    items: tuple[Item, ...]
    blamed: int = 0
    """How often a worker failed on exactly these items."""
    alone: bool = False
    """Whether a worker ended that had it, and it is not known what on: it goes to one that has nothing else."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that was given up."""

    item: Item
    reason: str
    """How the worker ended that had it last, or what its program said."""
    attempts: int
    """How often workers failed on this item alone; 0 for a row that gives no item."""
    line: int | None = None
    """Of a row that gives no item: the line that it begins on, or its row, from 1."""
    file: str = ""
    """The file that this line is in, where there are several."""
