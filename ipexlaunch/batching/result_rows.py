"""Results as lines of JSON: what stands in the output, and what is given up in the file of dead letters."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from ipexlaunch.batching.items import DeadLetter, Item

_readable = json.JSONEncoder(allow_nan=False, ensure_ascii=False, separators=(",", ":"))
_escaped = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def encode_rows(items: Sequence[Item], results: Sequence[object]) -> bytes:
    """One line for each item with its id, its number and its result.

    Args:
        items: which were worked on.
        results: as many, in the same order; anything that JSON can hold.

    Raises:
        ValueError: a result holds NaN or an infinity, which JSON does not have.
    """
    rows = [
        {"id": item.id, "number": item.number, "result": result} for item, result in zip(items, results, strict=True)
    ]
    return _lines(rows)


def encode_dead(letters: Iterable[DeadLetter]) -> bytes:
    """One line for each dead letter: id, number, value, reason, attempts."""
    return _lines(
        [
            {
                "id": letter.item.id,
                "number": letter.item.number,
                "reason": letter.reason,
                "attempts": letter.attempts,
                "value": letter.item.value,
            }
            for letter in letters
        ]
    )


def _lines(rows: list[dict[str, object]]) -> bytes:
    try:
        return "".join([_readable.encode(row) + "\n" for row in rows]).encode()
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON can hold as an escape and UTF-8 cannot.
        return "".join([_escaped.encode(row) + "\n" for row in rows]).encode()
