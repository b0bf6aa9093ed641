"""Look at the first items of an input before any work: what is wrong with all of it shows there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from ipexlaunch.batch.items import DeadLetter, Item

LOOKED_AT = 100
"""Rows of which one must have what the options ask of all, where bad ones are dead letters."""


def look_at_items(
    items: Callable[[bool], Iterator[Item | DeadLetter]], *, bury_bad: bool = False, resume: bool = False
) -> None:
    """Find out that an input cannot be read, or has not what is asked for. Not for a pipe: what it gave is gone.

    Args:
        items: begins to read the input anew; told whether bad rows are dead letters, else the first is an error.
        bury_bad: whether the job makes dead letters of bad rows; then only what all of the first ones lack is an error.
        resume: whether the first row may have been dealt with before.

    Raises:
        DocumentError: no item can be had.
        LaunchError: what reads it is not installed.
    """
    if not bury_bad:
        next(items(resume), None)
        return
    rows = list(islice(items(True), LOOKED_AT))
    if rows and all(map(_lacks_what_is_asked, rows)):
        next(items(False))


def _lacks_what_is_asked(row: Item | DeadLetter) -> bool:
    """Whether a row is sound, but has no such field, or another thing than text in it."""
    return isinstance(row, DeadLetter) and (row.reason.startswith("it has no field") or "not text" in row.reason)
