"""Numbers with their nouns, for messages and explanations."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 core", "2 cores", "0 cores"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def times(number: int) -> str:
    """ "once", "3 times"."""
    return "once" if number == 1 else f"{number} times"
