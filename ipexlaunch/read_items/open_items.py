"""Open the input of a batch job: a file, or standard input; give its items in order, with flat memory."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator

from ipexlaunch.batching.input_rules import SUFFIXES, BadLine, InputFormat, InputRules, ItemMaker
from ipexlaunch.batching.items import DeadLetter, Item
from ipexlaunch.errors import BadRowError, DocumentError, RequestError
from ipexlaunch.read_items.csv_rows import csv_items
from ipexlaunch.read_items.identity import identity_of
from ipexlaunch.read_items.json_lines import json_items
from ipexlaunch.read_items.lines import blocks_of, lines_of
from ipexlaunch.read_items.text_lines import text_items

STDIN = "-"


def format_of(path: str, asked: str) -> InputFormat:
    """The format of an input: as asked, or by the end of its name; standard input is JSON lines.

    Args:
        path: of the file, or "-".
        asked: "auto" or a format.

    Raises:
        RequestError: the name says nothing.
    """
    if asked != "auto":
        return asked  # type: ignore[return-value]  # the command line offers no others
    if path == STDIN:
        return "jsonl"
    suffix = os.path.splitext(path)[1].lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    raise RequestError(
        f"tell what {path} holds", "its name does not end in " + ", ".join(SUFFIXES), "give --format jsonl|text|csv|..."
    )


def _none(number: int) -> bool:  # noqa: ARG001 (none is skipped)
    return False


class ItemSource:
    """An input that was found readable; its items are read as they are asked for."""

    def __init__(self, path: str, rules: InputRules) -> None:
        """Look whether it is there.

        Args:
            path: of the file, or "-" for standard input.
            rules: how it is read.

        Raises:
            DocumentError: it is missing, a directory, or not readable.
            RequestError: the rules do not fit the input.
        """
        self.path = path
        self.rules = rules
        self.name = "standard input" if path == STDIN else path
        self.rows: int | None = None
        """How many there are, where the file says it."""
        self._bytes_read = 0
        self._lines_read = 0
        self.identity: dict[str, object] | None = None
        """What tells it from another input; None for a pipe, which has nothing."""
        fields = [name for name in (rules.id_field, rules.text_field, rules.tokens_field) if name is not None]
        if rules.format == "text" and fields:
            raise RequestError(f"take the field {fields[0]!r} of {self.name}", "plain text has no fields")
        if os.path.isdir(path):
            raise DocumentError(path, "", "it is a directory", "give one file")
        self.may_wait = path == STDIN or (os.path.exists(path) and not os.path.isfile(path))
        """Whether it is a pipe, whose writer may take its time."""
        if self.may_wait:
            if rules.format == "parquet":
                raise RequestError(f"read Parquet from {self.name}", "its index is at its end", "give a file")
            return
        try:
            self.identity = {**identity_of(path), "format": rules.format}
        except OSError as error:
            raise DocumentError(path, "", str(error.strerror)) from None

    @property
    def expected(self) -> int | None:
        """How many rows the input has, by those that were read so far; None where nothing tells it."""
        if self.rows is not None:
            return self.rows
        if self.identity is None or not self._bytes_read:
            return None
        header = self.rules.format in ("csv", "tsv")
        return max(0, round(self._lines_read * int(str(self.identity["bytes"])) / self._bytes_read) - header)

    def items(
        self,
        skip: Callable[[int], bool] = _none,
        *,
        bury_bad: bool = False,
    ) -> Iterator[Item | DeadLetter]:
        """Every item in order; a row that gives none ends it with an error, or is a dead letter.

        Args:
            skip: whether the item of this number is done already.
            bury_bad: give a dead letter for a bad row and go on.

        Raises:
            DocumentError: a row gives no item; it names the line. What was given before stands.
        """
        # An id must differ from those of the rows that are skipped too, so these are read where ids are given.
        reads_all = self.rules.id_field is not None
        for row in self._rows(_none if reads_all else skip):
            if reads_all and skip(row.number):
                continue
            if isinstance(row, Item):
                yield row
            elif bury_bad:
                yield row.letter
            else:
                unit = "row" if self.rules.format == "parquet" else "line"
                raise BadRowError(self.name, f"{unit} {row.place}", row.problem, row.hint)

    def _rows(self, skip: Callable[[int], bool]) -> Iterator[Item | BadLine]:
        maker = ItemMaker(self.rules)
        if self.rules.format == "parquet":
            from ipexlaunch.read_items.parquet_rows import count_rows, parquet_items

            self.rows = count_rows(self.path)
            yield from parquet_items(self.path, maker, skip)
            return
        descriptor: str | int = sys.stdin.fileno() if self.path == STDIN else self.path
        try:
            file = open(  # noqa: SIM115 (entered below; here only its own failure is caught)
                descriptor, "rb", buffering=0, closefd=self.path != STDIN
            )
        except OSError as error:
            raise DocumentError(self.name, "", str(error.strerror)) from None
        with file:
            lines = lines_of(self._counted(blocks_of(file, self.name)), self.rules.longest_line_bytes)
            if self.rules.format == "jsonl":
                yield from json_items(lines, maker, skip)
            elif self.rules.format == "text":
                yield from text_items(lines, maker, skip)
            else:
                yield from csv_items(lines, maker, skip, self.name)

    def _counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self._bytes_read += len(block)
            self._lines_read += block.count(b"\n")
            yield block
