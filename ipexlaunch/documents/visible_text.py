"""Text from elsewhere as it can stand in a terminal: nothing in it moves the cursor, sets colours or turns letters.

Text that people typed: its digits as a number, and itself as it can stand in a message.

Numbers as people read them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""C0, DEL and C1 (ECMA-48: a terminal may take U+009B for ESC [), and what changes the direction of writing."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def visible(text: str) -> str:
    """The text on one line, its control characters as escapes such as \\x1b.

    Args:
        text: any: a name, a path, a message of a program, a string of a document.
    """
    return _CONTROLS.sub(_escape, text)


def visible_lines(text: str) -> str:
    """The same of a text that has lines of its own.

    Args:
        text: with lines, such as an explanation.
    """
    return "\n".join(map(visible, text.split("\n")))


def visible_drawing(drawing: str) -> str:
    """A drawing of ours: its lines and its colours stay, every other control character is an escape.

    Args:
        drawing: a table or a picture, as rich has drawn it.
    """
    pieces = _COLOUR.split(drawing)
    colours = _COLOUR.findall(drawing)
    shown = visible_lines(pieces[0])
    for colour, piece in zip(colours, pieces[1:], strict=True):
        shown += colour + visible_lines(piece)
    return shown


T = TypeVar("T")


def visible_values(value: T) -> T:
    """The same value with every text in it made visible.

    Args:
        value: a dataclass, a mapping, a sequence, or anything else, which stays.
    """
    return cast(T, _visible_value(value))


def _visible_value(value: Any) -> Any:
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return {_visible_value(key): _visible_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_visible_value(each) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _visible_value(getattr(value, each.name)) for each in fields(value)})
    return value


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return {9: "\\t", 10: "\\n", 13: "\\r"}.get(code) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")


BEYOND = 10**18
"""What stands for every larger number: beyond any limit of ours, and quick to convert, print and multiply."""

LONGEST_QUOTE = 60
"""Characters of a quoted text; a message is one line."""


def whole_number(text: str) -> int | None:
    """The number that ASCII digits give, at most BEYOND; None for any other text, the empty one too.

    Python itself refuses to convert more than 4,300 digits, and takes digits of every script.

    Args:
        text: without sign or white space.
    """
    if not (text.isascii() and text.isdigit()):
        return None
    digits = text.lstrip("0")
    return BEYOND if len(digits) > 18 else int(digits or "0")


def quoted(text: str) -> str:
    """The text in quotes, with escapes for what cannot be shown, and cut where it is long.

    Args:
        text: anything.
    """
    return ascii_escapes(repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "..."))


def ascii_escapes(text: str) -> str:
    """The text with bytes that are no text as escapes, so that every stream takes it."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def format_number(value: float | None) -> str:
    """About four significant digits, never an exponent; "-" for what is not known.

    Args:
        value: the number.
    """
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:.0f}"
    if 0 < value < 0.01:
        return f"{value:.{1 - math.floor(math.log10(value))}f}"
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"


def wrapped(line: str, width: int, indent: str = "  ") -> list[str]:
    """The line as lines of at most `width`, broken after a comma or else a blank, the later ones indented.

    Args:
        line: one line of text.
        width: columns.
        indent: what the second and later lines begin with.
    """
    lines = []
    while len(line) > width:
        start = len(line) - len(line.lstrip()) + 1
        cut = line.rfind(", ", width // 2, width) + 1
        cut = cut or max(line.rfind(",", start, width), line.rfind(" ", start, width)) + 1 or width
        lines.append(line[:cut].rstrip())
        line = indent + line[cut:].lstrip()
    return [*lines, line]


_LINES = str.maketrans(
    {**dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"), **dict.fromkeys("─━╌╴╶", "-"), **dict.fromkeys("│┃", "|"), "…": "."}
)


def ascii_text(text: str) -> str:
    """The same drawing, as wide, in ASCII; what has no likeness there becomes a question mark.

    Args:
        text: a table, a tree or a drawing of this package.
    """
    return text.translate(_LINES).encode("ascii", "replace").decode("ascii")


def fitting_columns(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    lists: Iterable[str],
    dispensable: Iterable[str],
    width: int,
    gap: int,
) -> list[int]:
    """The places of the columns that are shown, so that no word need be broken as far as that can be had.

    Args:
        heads: the columns' names.
        rows: as many cells each.
        lists: names of the columns whose cells may be broken after a comma or a space.
        dispensable: names of those that may be left out, in this order.
        width: columns of the terminal.
        gap: between two columns.
    """
    breakable = set(lists)

    def least(column: int) -> int:
        cells = (row[column] for row in rows)
        if heads[column] in breakable:
            cells = (piece for cell in cells for piece in re.split(r"(?<=,)| ", cell))
        return max(len(heads[column]), *map(len, cells), 0)

    kept = list(range(len(heads)))
    for name in dispensable:
        if sum(map(least, kept)) + gap * (len(kept) - 1) <= width:
            break
        kept = [column for column in kept if heads[column] != name]
    return kept
