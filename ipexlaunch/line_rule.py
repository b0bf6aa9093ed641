"""What a printed line counts, by a regular expression of the user's: the rate of a program that knows nothing of us."""

from __future__ import annotations

import math
import re
from typing import Literal, get_args

from ipexlaunch.errors import RequestError
from ipexlaunch.quick_dataclass import dataclass

Kind = Literal["item", "items", "total", "rate"]
"""item: the line is one item; items: so many more; total: so many so far; rate: what the program says it does."""

LONGEST_LINE = 4096
"""Characters of a line that are looked at: a careless expression takes long on long lines."""

LARGEST = 1e15
"""A larger count is none; the sum of a great many of them still fits into 63 bits."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one line says."""

    number: float
    """Items, a total, or a rate."""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class LineRule:
    """An expression, and what its groups mean."""

    pattern: re.Pattern[str]
    kind: Kind
    group: str | int
    has_tokens: bool

    def read(self, line: str) -> Finding | str | None:
        """What the line counts, by the first match in it; None where it does not match, a text for what is wrong.

        Args:
            line: without its end.
        """
        match = self.pattern.search(line[:LONGEST_LINE])
        if match is None or match[self.group] is None:
            return None
        number = 1.0 if self.kind == "item" else _number(match[self.group])
        tokens = _number(match["tokens"]) if self.has_tokens and match["tokens"] is not None else 0.0
        whole = tokens is not None and tokens.is_integer() and (self.kind == "rate" or (number or 0.0).is_integer())
        if number is None or tokens is None or not whole:
            return f"{match[0][:80]!r} has no number where one is counted"
        return Finding(number, int(tokens))


def read_rule(text: str) -> LineRule:
    """The rule that an expression gives.

    Args:
        text: in the syntax of Python's re. One group named item, items, total or rate says what is counted; without
            named groups the first one is items. A group tokens beside it counts tokens.

    Raises:
        RequestError: it is no expression, or its groups do not say what is counted.
    """
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise _refused(text, f"it is no regular expression: {error}") from None
    names = set(pattern.groupindex)
    unknown = sorted(names - {*get_args(Kind), "tokens"})
    if unknown:
        raise _refused(text, f"it has a group named {unknown[0]!r}")
    kinds = [kind for kind in get_args(Kind) if kind in names]
    if len(kinds) > 1:
        raise _refused(text, f"it has groups named {' and '.join(kinds)}, of which one can be counted")
    if kinds == ["rate"] and "tokens" in names:
        raise _refused(text, "it has a group tokens beside rate: a rate counts nothing")
    if not kinds and (names or not pattern.groups):
        raise _refused(text, "no group says what is counted")
    kind: Kind = kinds[0] if kinds else "items"
    return LineRule(pattern, kind, kind if kinds else 1, "tokens" in names)


def _refused(text: str, problem: str) -> RequestError:
    hint = (
        r"put the number in a group, such as 'did (?P<items>\d+) images': items (so many more), total (so many so "
        "far), item (the line is one) or rate (what the program itself claims), and perhaps tokens"
    )
    return RequestError(f"use --throughput-regex {text!r}", problem, hint)


def _number(text: str) -> float | None:
    """A number of 0 or more, perhaps with separators of thousands as in 1,024 or 1_024."""
    try:
        value = float(text.replace(",", "").replace("_", "").strip())
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value < LARGEST else None
