"""Where results go and in which form: the rows of the output, and those of the file of dead letters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.documents.read_text import why_not_json

STDOUT = "-"

PARQUET_SUFFIXES = (".parquet", ".pq")

UNWRITTEN_SUFFIXES = (".csv", ".tsv", ".xlsx", ".arrow", ".feather", ".gz", ".zst")
"""Of formats that readers would take the results for, and that are not written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputRules:
    """What the options say of the output."""

    path: str
    """What the user asked for; "-" for standard output."""
    keep_order: bool = False
    """Whether results stand in the order of the input; else as they finish."""
    parquet: bool = False
    openai: bool = False
    """Whether results are rows of OpenAI's batch API, in the form of its output file."""
    errors: str | None = None
    """Where error rows of such a job go; None: among the others."""

    @property
    def gathered(self) -> str:
        """The file that results are appended to as they finish; the output itself where it needs nothing more."""
        return f"{self.path}.part" if self.keep_order or self.parquet or self.openai else self.path

    @property
    def unfinished(self) -> str:
        """The file that becomes the output, where results are gathered in another."""
        return f"{self.path}.unfinished"


_readable = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_escaped = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


_NUMBER = re.compile(rb'\{"id":(?:-?\d+|"(?:[^"\\]|\\.)*"),"number":(\d+),')

_SEPARATORS = str.maketrans({0x85: "\\u0085", 0x2028: "\\u2028", 0x2029: "\\u2029"})
_SEPARATOR = re.compile("[\x85\u2028\u2029]")


def _one_line_each(rows: str) -> str:
    """The rows with escapes for what is a line's end to other readers (NEL, LINE and PARAGRAPH SEPARATOR)."""
    return rows.translate(_SEPARATORS) if _SEPARATOR.search(rows) else rows


def encode_rows(items: Sequence[Item], results: Sequence[object]) -> bytes:
    """One line for each item with its id, its number and its result.

    Args:
        items: which were worked on.
        results: as many, in the same order; anything that JSON can hold.

    Raises:
        ValueError: a result holds NaN, an infinity or half a character, which JSON does not have.
    """
    try:
        lines = [
            _readable.encode({"id": item.id, "number": item.number, "result": result}) + "\n"
            for item, result in zip(items, results, strict=True)
        ]
        return _one_line_each("".join(lines)).encode()
    except ValueError as error:
        raise ValueError(why_not_json(error)) from None


def encode_row(row: object) -> bytes:
    """One line for a value that JSON can hold."""
    return (_one_line_each(_readable.encode(row)) + "\n").encode()


def encode_dead_letters(letters: Iterable[DeadLetter]) -> bytes:
    """One line for each dead letter: id, number, reason, attempts, value; of a bad line where it stands, too."""
    rows = [
        {
            "id": letter.item.id,
            "number": letter.item.number,
            **({"file": letter.file} if letter.file else {}),
            **({"line": letter.line} if letter.line is not None else {}),
            "reason": letter.reason,
            "attempts": letter.attempts,
            "value": letter.item.value,
        }
        for letter in letters
    ]
    try:
        return _one_line_each("".join([_readable.encode(row) + "\n" for row in rows])).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, in words of others: JSON can hold it as an escape, and a letter is never lost.
        return "".join([_escaped.encode(row) + "\n" for row in rows]).encode()


def number_of(line: bytes) -> int:
    """The number of the item that a line of results is of: one that was written here, or checked by --rebuild."""
    found = _NUMBER.match(line)
    number: int = int(found[1]) if found else json.loads(line)["number"]
    return number
