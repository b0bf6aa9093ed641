"""How an input is read: its format, and which fields of a row are its id, its value and its size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ipexlaunch.batching.given_ids import GivenIds
from ipexlaunch.batching.items import DeadLetter, Item

InputFormat = Literal["jsonl", "text", "csv", "tsv", "parquet"]

SUFFIXES: dict[str, InputFormat] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".txt": "text",
    ".text": "text",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
}
"""End of a file's name to what is in it, where --format does not say."""

FIELDS_NAMED = 8
"""A message names so many of the fields that a row has."""

EXCERPT_CHARACTERS = 1000
"""So much of a line that cannot be read stands in its dead letter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRules:
    """What the options say of the input."""

    format: InputFormat
    id_field: str | None = None
    """The field of a row that its result is found by; None for the number of its line or row."""
    text_field: str | None = None
    """The field that is given to the program; None for the whole row."""
    tokens_field: str | None = None
    """The field that holds the item's length; None for the bytes of the line or the text."""
    text_only: bool = False
    """Whether an item must be text: the built-in worker knows nothing else."""
    longest_line_bytes: int = 64 << 20
    """A longer line is an error: it would be held in memory several times."""


class BadRow(Exception):
    """A row that gives no item."""

    def __init__(self, problem: str, hint: str = "") -> None:
        """Keep the parts apart.

        Args:
            problem: what is wrong with it.
            hint: what would work.
        """
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


@dataclass(frozen=True, slots=True, kw_only=True)
class BadLine:
    """A row of the input that gives no item, where it stands, and why."""

    number: int
    """The item that it would be."""
    place: int
    """The line that it begins on, or its row, from 1."""
    problem: str
    hint: str = ""
    begins: str = ""
    """What stands there, shortened."""

    @property
    def letter(self) -> DeadLetter:
        """The dead letter that it becomes, under the number of its line; no worker ever had it."""
        return DeadLetter(Item(self.number, self.place, self.begins, len(self.begins)), self.problem, 0)


class ItemMaker:
    """Makes items of what is read, one input long."""

    def __init__(self, rules: InputRules) -> None:
        """Begin with no ids.

        Args:
            rules: which fields are wanted.
        """
        self.rules = rules
        self._ids = GivenIds() if rules.id_field is not None else None

    def item(self, row: object, number: int, place: int, size: int) -> Item:
        """The item that a row of named fields, or a bare value, gives.

        Args:
            row: what was read.
            number: its position among the rows, from 0.
            place: the number of its line or row, from 1: its id, where it has none of its own.
            size: its length in bytes, used where neither a text nor a field says it better.

        Raises:
            BadRow: one of the fields is missing, or holds what cannot be used; or its id was given before.
        """
        rules, given = self.rules, place
        value = row
        if rules.text_field is not None:
            value = field(row, rules.text_field)
            if isinstance(value, str):
                size = len(value)
        if rules.text_only and not isinstance(value, str):
            what = "it" if rules.text_field is None else repr(rules.text_field)
            raise BadRow(f"{what} is {kind_of(value)}, not text", "--text-field says which field is the text")
        if rules.tokens_field is not None:
            size = _length(row, rules.tokens_field)
        if self._ids is None or rules.id_field is None:
            return Item(number, given, value, size)
        id_ = _id(row, rules.id_field)
        if not self._ids.add(id_):
            raise BadRow(f"its id {id_!r} was given before", "without --id-field the number of its line is its id")
        return Item(number, id_, value, size)


def field(row: object, name: str) -> object:
    """What a row has under a name.

    Raises:
        BadRow: it has no such field.
    """
    if isinstance(row, dict) and name in row:
        return row[name]
    if not isinstance(row, dict):
        raise BadRow(f"it has no field {name!r}: it is {kind_of(row)}, not an object")
    named = ", ".join(repr(key) for key in list(row)[:FIELDS_NAMED])
    more = f" and {len(row) - FIELDS_NAMED} more" if len(row) > FIELDS_NAMED else ""
    raise BadRow(f"it has no field {name!r}", f"it has {named}{more}" if row else "it is an empty object")


def kind_of(value: object) -> str:
    """What a JSON value is, in a word."""
    if value is None:
        return "null"
    kinds = ((bool, "true or false"), (int | float, "a number"), (str, "text"), (list, "a list"))
    return next((word for kind, word in kinds if isinstance(value, kind)), "an object")


def _id(row: object, name: str) -> str | int:
    given = field(row, name)
    if isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    raise BadRow(f"its id {name!r} is {kind_of(given)}", "an id is text or a whole number")


def _length(row: object, name: str) -> int:
    given = field(row, name)
    if isinstance(given, str) and given.isdecimal():
        return int(given)  # CSV has nothing but text
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    raise BadRow(f"its length {name!r} is {kind_of(given)}", "a length is a whole number from 0")
