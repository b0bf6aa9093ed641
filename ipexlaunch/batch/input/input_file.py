"""One file of an input, or standard input: found readable, then read once from its beginning to its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterator

from ipexlaunch.batch.input.csv_items import csv_items
from ipexlaunch.batch.input.file_identity import identity_of
from ipexlaunch.batch.input.find_inputs import STDIN
from ipexlaunch.batch.input.input_rules import BadLine, InputRules, ItemMaker
from ipexlaunch.batch.input.jsonl_items import json_items
from ipexlaunch.batch.input.lines import blocks_of, lines_of
from ipexlaunch.batch.input.parquet_items import count_rows, parquet_items
from ipexlaunch.batch.input.text_items import text_items
from ipexlaunch.batch.items import Item
from ipexlaunch.errors import DocumentError, RequestError


class InputFile:
    """A file that is there; how far it was read is counted."""

    def __init__(self, path: str, rules: InputRules) -> None:
        """Look whether it is there.

        Args:
            path: of the file, or "-" for standard input.
            rules: how it is read; `format` is that of this file.

        Raises:
            DocumentError: it is missing, a directory, or not readable.
            RequestError: the rules do not fit the input.
        """
        self.path = path
        self.rules = rules
        self.name = "standard input" if path == STDIN else path
        self.bytes_read = 0
        """As they stand in the file, compressed or not."""
        self.lines_read = 0
        self.rows: int | None = None
        """How many there are, where the file says it."""
        self.identity: dict[str, object] | None = None
        """What tells it from another input; None for a pipe, which has nothing."""
        if rules.format == "text" and rules.fields:
            raise RequestError(f"take the field {rules.fields[0]!r} of {self.name}", "plain text has no fields")
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
    def size(self) -> int:
        """Bytes of the file; 0 for a pipe."""
        return int(str(self.identity["bytes"])) if self.identity is not None else 0

    @property
    def unit(self) -> str:
        """What its places are."""
        return "row" if self.rules.format == "parquet" else "line"

    def look(self) -> None:
        """Find what one look shows: its kind and encoding, the names of its fields, what is missing to read it.

        Raises:
            DocumentError: it cannot be read like this at all; a single bad row is no such thing.
            LaunchError: a library that it needs is not installed.
        """
        if not self.may_wait:
            for _ in self.items(ItemMaker(self.rules), skip_none):
                break

    def items(
        self, maker: ItemMaker, skip: Callable[[int], bool], first: int = 0
    ) -> Generator[Item | BadLine, None, int]:
        """Every row in order, or why it gives no item; returns the number after the last.

        Args:
            maker: makes items of what is read.
            skip: whether the item of this number is not wanted, and may be left out.
            first: the number of the first row.

        Raises:
            DocumentError: the file cannot be read further.
            LaunchError: a library that it needs is not installed.
        """
        self.bytes_read = self.lines_read = 0
        if self.rules.format == "parquet":
            self.rows = count_rows(self.path)
            return (yield from parquet_items(self.path, maker, first))
        descriptor: str | int = sys.stdin.fileno() if self.path == STDIN else self.path
        try:
            file = open(descriptor, "rb", buffering=0, closefd=self.path != STDIN)  # noqa: SIM115 (entered below)
        except OSError as error:
            raise DocumentError(self.name, "", str(error.strerror)) from None
        with file:
            lines = lines_of(self._counted(blocks_of(file, self.name, self._was_read)), self.rules.longest_line_bytes)
            if self.rules.format in ("jsonl", "openai"):
                return (yield from json_items(lines, maker, skip, first))
            if self.rules.format == "text":
                return (yield from text_items(lines, maker, first))
            return (yield from csv_items(lines, maker, self.name, first))

    def _was_read(self, count: int) -> None:
        self.bytes_read += count

    def _counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.lines_read += block.count(b"\n")
            yield block


def skip_none(number: int) -> bool:  # noqa: ARG001
    """Every item is wanted."""
    return False
