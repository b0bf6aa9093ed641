"""What a batch job consists of: items, the batches that they travel in, and those that could not be done."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Item(NamedTuple):
    """One unit of work (a tuple, because there are millions of them and it is made in a third of the time)."""

    number: int
    """Its position in the input, from 0."""
    id: str | int
    """What its result is found by: given in the input, or the number of its line from 1."""
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


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that was given up."""

    item: Item
    reason: str
    """How the worker ended that had it last, or what its program said."""
    attempts: int
    """How often a worker failed on a batch with this item in it."""
