"""The items of a batch job's input, in the order of its files and rows, with flat memory; a look at the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from ipexlaunch.batch.input.input_files import InputFile, shown_name, skip_none
from ipexlaunch.batch.input.input_rules import BadLine, ItemMaker, UniqueIds
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.errors import BadRowError


class ItemSource:
    """An input that was found readable; its items are read as they are asked for."""

    def __init__(self, files: Sequence[InputFile], *, several: bool = False) -> None:
        """Put files together.

        Args:
            files: one at least, in the order in which they are read.
            several: whether an item's id names its file too (see `Inputs`).
        """
        self.files = files
        self.several = several
        self.name = files[0].name if len(files) == 1 else f"{len(files)} files"
        self.may_wait = any(file.may_wait for file in files)
        """Whether one is a pipe, whose writer may take its time."""

    @property
    def identity(self) -> dict[str, object] | None:
        """What tells this input from another; None for a pipe, which has nothing."""
        if self.may_wait:
            return None
        if not self.several:
            return self.files[0].identity
        # Their names and their order are part of it: ids and numbers are made of them.
        names = [shown_name(file.path) for file in self.files]
        return {"files": names, "file": {name: file.identity for name, file in zip(names, self.files, strict=True)}}

    @property
    def is_counted(self) -> bool:
        """Whether `expected` is a count, not what the lines so far let expect."""
        return all(file.rows is not None for file in self.files)

    @property
    def expected(self) -> int | None:
        """How many rows the input has, by those that were read so far; None where nothing tells it."""
        lines = [file for file in self.files if file.rows is None]
        counted = sum(file.rows for file in self.files if file.rows is not None)
        if not lines:
            return counted
        read = sum(file.bytes_read for file in lines)
        if self.may_wait or not read:
            return None
        headers = sum(file.rules.format in ("csv", "tsv") for file in lines)
        estimate = round(sum(file.lines_read for file in lines) * sum(file.size for file in lines) / read)
        return max(0, estimate - headers) + counted

    def look(self) -> None:
        """Find what one look at each file shows, before anything is begun.

        Raises:
            DocumentError: one cannot be read like this at all; a single bad row is no such thing.
            LaunchError: a library that it needs is not installed.
        """
        for file in self.files:
            file.look()

    def items(self, skip: Callable[[int], bool] = skip_none, *, keep_bad: bool = False) -> Iterator[Item | DeadLetter]:
        """Every item in order; a row that gives none ends it with an error, or is a dead letter.

        Args:
            skip: whether the item of this number is done already.
            bury_bad: give a dead letter for a bad row and go on.

        Raises:
            DocumentError: a row gives no item; it names the line. What was given before stands.
        """
        ids, part = UniqueIds(), self.files[0].part
        first = part.first_item if part is not None else 0
        # An id must differ from those of the rows that are skipped too, so these are read where ids are given.
        reads_all = self.files[0].rules.id_field is not None
        for file in self.files:
            maker = ItemMaker(file.rules, _id_name(file) if self.several else "", ids)
            rows = file.items(maker, skip_none if reads_all else skip, first)
            while True:
                try:
                    row = next(rows)
                except StopIteration as end:
                    first = end.value
                    break
                if skip(row.number):
                    continue
                if isinstance(row, Item):
                    yield row
                elif keep_bad:
                    yield self._letter(row, maker, file)
                else:
                    raise BadRowError(
                        file.name, f"{file.unit} {row.place}", row.problem, row.hint or "correct it, or take it out"
                    )

    def _letter(self, bad: BadLine, maker: ItemMaker, file: InputFile) -> DeadLetter:
        """The dead letter that a bad row becomes; no worker ever had it."""
        id_ = maker.place_id(bad.place) if file.rules.id_field is None else bad.id
        item = Item(bad.number, id_, bad.begins, len(bad.begins))
        return DeadLetter(item, bad.problem, 0, bad.place, _id_name(file) if self.several else "")


def _id_name(file: InputFile) -> str:
    """What ids begin with that are numbers of lines, where there are several files."""
    return shown_name(file.path if file.part is None else file.part.name)


LOOKED_AT = 100
"""Rows of which one must have what the options ask of all, where bad ones are dead letters."""


def look_at_items(
    items: Callable[[bool], Iterator[Item | DeadLetter]], *, keep_bad: bool = False, resume: bool = False
) -> None:
    """Find out that an input cannot be read, or has not what is asked for. Not for a pipe: what it gave is gone.

    Args:
        items: starts to read the input again; takes whether bad rows are dead letters, else the first is an error.
        bury_bad: whether the job makes dead letters of bad rows; then only what all of the first ones lack is an error.
        resume: whether the first row may have been dealt with before.

    Raises:
        DocumentError: no item can be had.
        LaunchError: what reads it is not installed.
    """
    if not keep_bad:
        next(items(resume), None)
        return
    rows = list(islice(items(True), LOOKED_AT))
    if rows and all(map(_lacks_what_is_asked, rows)):
        next(items(False))


def _lacks_what_is_asked(row: Item | DeadLetter) -> bool:
    """Whether a row is sound, but has no such field, or another thing than text in it."""
    return isinstance(row, DeadLetter) and (row.reason.startswith("it has no field") or "not text" in row.reason)
