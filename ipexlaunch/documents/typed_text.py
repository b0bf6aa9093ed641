"""Text that people typed: its digits as a number, and itself as it can stand in a message."""

from __future__ import annotations

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
