"""The files of an input: found by name or pattern, told apart by size, time and ends, each read once."""

from __future__ import annotations

import glob
import hashlib
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

from ipexlaunch.batch.input.csv_items import csv_items
from ipexlaunch.batch.input.input_part import InputPart
from ipexlaunch.batch.input.input_rules import SUFFIXES, BadLine, InputFormat, InputRules, ItemMaker
from ipexlaunch.batch.input.line_items import json_items, text_items
from ipexlaunch.batch.input.parquet_items import count_rows, parquet_items
from ipexlaunch.batch.input.read_lines import COMPRESSED_SUFFIXES, blocks_of, lines_of
from ipexlaunch.batch.input.read_part import blocks_of_part
from ipexlaunch.batch.items import Item
from ipexlaunch.errors import DocumentError, RequestError

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a job reads, in this order."""

    paths: tuple[str, ...]
    several: bool
    """Whether an item's id names its file too: more than one was asked for, or a pattern, whatever it matches now."""


def find_inputs(asked: Sequence[str]) -> Inputs:
    """The files that were asked for; what a pattern matches is sorted by name.

    Args:
        asked: paths, "-" for standard input, or patterns (`*`, `?`, `[...]`, `**` for any folders).

    Raises:
        RequestError: a pattern matches nothing, a file is named twice, or standard input is not alone.
    """
    paths: list[str] = []
    is_pattern = False
    for given in asked:
        if not glob.has_magic(given) or os.path.exists(given):
            paths.append(given)
            continue
        found = sorted(path for path in glob.glob(given, recursive=True) if not os.path.isdir(path))
        if not found:
            raise RequestError(f"read {given}", "no file has a name like that", "give the files, or another pattern")
        is_pattern = True
        paths += found
    if STDIN in paths and len(paths) > 1:
        raise RequestError("read standard input and files", "standard input goes alone", "cat FILES - | ... --input -")
    _refuse_doubles(paths)
    return Inputs(tuple(paths), is_pattern or len(paths) > 1)


def shown_name(path: str) -> str:
    """A path as text that every document can hold: bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def format_of(path: str, asked: str) -> InputFormat:
    """The format of an input: as asked, or by the end of its name before .gz or .zst; standard input is JSON lines.

    Args:
        path: of the file, or "-".
        asked: "auto" or a format.

    Raises:
        RequestError: the name says nothing, or there is no file of that name either.
    """
    if asked != "auto":
        return asked  # type: ignore[return-value]  # the command line offers no others
    if path == STDIN:
        return "jsonl"
    name = path.lower()
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    suffix = os.path.splitext(name)[1]
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if not os.path.exists(path):
        raise RequestError(f"read {path}", "there is no such file", "give the path of one that is there")
    raise RequestError(
        f"tell what {path} holds", "its name does not end in " + ", ".join(SUFFIXES), "give --format jsonl|text|csv|..."
    )


def _refuse_doubles(paths: Sequence[str]) -> None:
    """One file twice would have two of each id."""
    seen: dict[object, str] = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue  # who opens it says so
        former = seen.setdefault((status.st_dev, status.st_ino), path)
        if former != path or paths.count(path) > 1:
            same = "" if former == path else f": {former} is the same file"
            raise RequestError(f"read {path} once", f"it is named twice{same}", "name each file once")


END_BYTES = 64 << 10
"""How much of the beginning and of the end is hashed."""


def model_fingerprint(path: str) -> dict[str, object]:
    """The identity of an input file, as the ledger keeps it.

    Args:
        path: of the file.

    Raises:
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        digest = hashlib.sha256(file.read(END_BYTES))
        file.seek(max(0, status.st_size - END_BYTES))
        digest.update(file.read(END_BYTES))
    return {"bytes": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256_of_ends": digest.hexdigest()}


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
        self.part: InputPart | None = None
        """What is read of it; None for all."""
        self.watch: Callable[[bytes], object] | None = None
        """Is given the text that is read, in blocks, before what is in them comes."""
        self.identity: dict[str, object] | None = None
        """What tells it from another input; None for a pipe, which has nothing."""
        if rules.format == "text" and rules.fields:
            wanted = f"take the field {rules.fields[0]!r} of {self.name}"
            raise RequestError(
                wanted, "plain text has no fields", "leave out the option that names it, or give --format jsonl"
            )
        if os.path.isdir(path):
            raise DocumentError(path, "", "it is a directory", "give one file")
        self.may_wait = path == STDIN or (os.path.exists(path) and not os.path.isfile(path))
        """Whether it is a pipe, whose writer may take its time."""
        if self.may_wait:
            if rules.format == "parquet":
                raise RequestError(f"read Parquet from {self.name}", "its index is at its end", "give a file")
            return
        try:
            self.identity = {**model_fingerprint(path), "format": rules.format}
        except OSError as error:
            raise DocumentError(path, "", str(error.strerror).lower(), "give a file that can be read") from None

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
            self.rows = count_rows(self.path) if self.part is None else self.part.items
            return (yield from parquet_items(self.path, maker, first, self.part))
        descriptor: str | int = sys.stdin.fileno() if self.path == STDIN else self.path
        try:
            file = open(descriptor, "rb", buffering=0, closefd=self.path != STDIN)  # noqa: SIM115 (entered below)
        except OSError as error:
            raise DocumentError(self.name, "", str(error.strerror).lower(), "give a file that can be read") from None
        with file:
            part = self.part if self.part is not None and not self.part.is_whole else None
            if part is None:
                blocks = blocks_of(file, self.name, self._was_read)
            else:
                blocks = blocks_of_part(file, self.name, part, self._was_read)
            lines = lines_of(self._counted(blocks), self.rules.longest_line_bytes)
            begin = 1 if part is None else part.first_line
            if self.rules.format in ("jsonl", "openai"):
                return (yield from json_items(lines, maker, skip, first, begin))
            if self.rules.format == "text":
                return (yield from text_items(lines, maker, first, begin))
            behind_header = begin if part is not None and part.begin else None
            return (yield from csv_items(lines, maker, self.name, first, behind_header))

    def narrow(self, part: InputPart) -> None:
        """Read nothing but this part of it from now on.

        Args:
            part: a range that begins where a row does.
        """
        self.part, self.rows = part, part.items

    def _was_read(self, count: int) -> None:
        self.bytes_read += count

    def _counted(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        for block in blocks:
            self.lines_read += block.count(b"\n")
            if self.watch is not None:
                self.watch(block)
            yield block


def skip_none(number: int) -> bool:  # noqa: ARG001
    """Every item is wanted."""
    return False
