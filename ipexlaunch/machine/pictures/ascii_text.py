"""Drawings for terminals that know no more than ASCII: lines of boxes and trees as +, - and |."""

from __future__ import annotations

_LINES = str.maketrans(
    {**dict.fromkeys("┌┐└┘├┤┬┴┼╭╮╰╯", "+"), **dict.fromkeys("─━╌╴╶", "-"), **dict.fromkeys("│┃", "|"), "…": "."}
)


def ascii_text(text: str) -> str:
    """The same drawing, as wide, in ASCII; what has no likeness there becomes a question mark.

    Args:
        text: a table, a tree or a drawing of this package.
    """
    return text.translate(_LINES).encode("ascii", "replace").decode("ascii")
