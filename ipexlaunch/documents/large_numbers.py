"""Whole numbers that no machine has: they print as thousands of digits, and no float holds them."""

from __future__ import annotations

from typing import Any

LARGEST = 1 << 128
"""Beyond every count, size and counter of a kernel."""

FREE = "facts"
"""Under this key stands what workers say of themselves, whatever it is; it is never computed with."""


def place_of_large_number(data: Any) -> tuple[str | int, ...] | None:
    """The keys and indexes that lead to a number that is too large; None where there is none.

    Args:
        data: of JSON or YAML, in which parts may stand more than once.
    """
    seen: set[int] = set()
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), data)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, int) and abs(value) >= LARGEST:
            return path
        if not isinstance(value, (dict, list)) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, list):
            waiting += (((*path, number), each) for number, each in enumerate(value))
            continue
        for key, each in value.items():
            if isinstance(key, int) and abs(key) >= LARGEST:
                return path
            if key != FREE:
                waiting.append(((*path, key), each))
    return None
