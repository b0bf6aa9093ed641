"""How an input is read: its format, the fields of a row's id, value and size, ids that may be given only once."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Literal, Protocol

from ipexlaunch.batch.items import Item

MOST_IDS = (1 << 22) * 2 // 3
"""So many are remembered (32 MB); after that, new ones are no longer compared with each other."""

FEWEST_SLOTS = 1 << 12


class IdSet(Protocol):
    """What remembers ids."""

    def add(self, given: str | int) -> bool:
        """Whether this id was not given before, as far as that is known."""


class UniqueIds:
    """A set of ids by 64 bits of their hash: two different ones are taken for the same once in four million inputs."""

    def __init__(self, most: int = MOST_IDS) -> None:
        """Begin with none.

        Args:
            most: how many to remember.
        """
        self._most = most
        self._count = 0
        self._slots = array("Q", bytes(8 * FEWEST_SLOTS))
        self._mask = FEWEST_SLOTS - 1

    @property
    def full(self) -> bool:
        """Whether no more ids are remembered."""
        return self._count >= self._most

    def add(self, given: str | int) -> bool:
        """Whether this id was not given before; remembered from now on, where there is room.

        Args:
            given: the id; 1 and "1" are two.
        """
        # Of the text: -1 and -2 have one hash, and so have 0 and an empty text.
        mark = hash(repr(given)) & 0xFFFF_FFFF_FFFF_FFFF or 1
        slots, place = self._slots, mark & self._mask
        while found := slots[place]:
            if found == mark:
                return False
            place = (place + 1) & self._mask
        if self._count < self._most:
            slots[place] = mark
            self._count += 1
            if 3 * self._count > 2 * len(slots):
                self._grow()
        return True

    def _grow(self) -> None:
        old, size = self._slots, 2 * len(self._slots)
        slots, mask = array("Q", bytes(8 * size)), size - 1
        for mark in old:
            if mark:
                place = mark & mask
                while slots[place]:
                    place = (place + 1) & mask
                slots[place] = mark
        self._slots, self._mask = slots, mask


InputFormat = Literal["jsonl", "text", "csv", "tsv", "parquet", "openai"]

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

    format: InputFormat = "jsonl"
    """Of a file; those of one input may differ."""
    id_field: str | None = None
    """The field of a row that its result is found by; None for the number of its line or row."""
    text_field: str | None = None
    """The field that is given to the program; None for the whole row."""
    tokens_field: str | None = None
    """The field that holds the item's length; None for the bytes of the line or the text."""
    delimiter: str | None = None
    """Between the fields of csv and tsv; None: a comma or a tab, or what a first line "sep=;" says."""
    quote: str | None = None
    """Around a field with delimiters in it; "": there are no quotes, as in TSV by its registration with IANA; None: a
    double quote, but for rows of TSV that it would put into one."""
    text_only: bool = False
    """Whether an item must be text: the built-in worker knows nothing else."""
    longest_line_bytes: int = 64 << 20
    """A longer line is an error: it would be held in memory several times."""

    @property
    def fields(self) -> list[str]:
        """Those that every row must have."""
        return [name for name in (self.id_field, self.text_field, self.tokens_field) if name is not None]


LARGEST_LENGTH = 2**53
"""Of an item: sums of lengths are divided."""

ID_SHOWN = 80
"""Characters of an id in a message."""


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
        self.id: str | int | None = None
        """The row's, where it has one that is no other row's."""


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
    id: str | int | None = None
    """Its own, where it could be read; a number of a line never stands for one."""


class ItemMaker:
    """Makes items of what is read from one file."""

    def __init__(self, rules: InputRules, file: str = "", ids: IdSet | None = None) -> None:
        """Begin with no ids.

        Args:
            rules: which fields are wanted.
            file: stands before the number of a line in an item's id; "" where there is one file.
            ids: given so far, in the files before this one.
        """
        self.rules = rules
        self._file = file
        self._ids = (ids or UniqueIds()) if rules.id_field is not None else None

    def place_id(self, place: int) -> str | int:
        """The id of an item that has none of its own.

        Args:
            place: the number of its line or row, from 1.
        """
        return f"{self._file}:{place}" if self._file else place

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
        rules = self.rules
        if rules.id_field is None or self._ids is None:
            given = self.place_id(place)
        else:
            given = _id(row, rules.id_field)
            if not self._ids.add(given):
                own = "give each request a custom_id of its own"
                hint = own if rules.format == "openai" else "without --id-field the number of its line is its id"
                raise BadRow(f"its id {shown(given)} was given before", hint)
        try:
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
        except BadRow as bad:
            bad.id = given
            raise
        return Item(number, given, value, size)


def shown(id_: str | int | None) -> str:
    """An id in a message: text in quotes, so that 1 and "1" are told apart; a long one is shortened."""
    text = repr(id_) if not isinstance(id_, int) or abs(id_) < 10**ID_SHOWN else f"{id_:#x}"
    return text if len(text) <= ID_SHOWN else f"{text[: ID_SHOWN - 3]}..."


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
    if isinstance(given, str) and given.isdecimal() and len(given) <= 18:
        given = int(given)  # CSV has nothing but text
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given < LARGEST_LENGTH:
        return given
    raise BadRow(f"its length {name!r} is {kind_of(given)}", "a length is a whole number from 0, below 2^53")
