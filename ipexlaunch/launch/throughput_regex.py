"""What a printed line counts, by a regular expression of the user's: the rate of a program that knows nothing of us.

Numbers are as programs and people print them: which sign separates thousands, which one decimals, what is no number.
docs/worker-protocol.md has the rule and the table of cases that tests/launch/test_printed_number.py goes through.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ipexlaunch.errors import RequestError

LARGEST = 1e15
"""A larger count is none; the sum of a great many of them still fits into 63 bits."""

BLANKS = "\u00a0\u2009\u202f "
"""No-break, thin, narrow no-break and plain spaces."""

ONLY_THOUSANDS = f"_'\u2019{BLANKS}"
"""Signs that never separate decimals."""

_NUMBER = re.compile(rf"\+?(?P<digits>\d*(?:[.,{ONLY_THOUSANDS}]\d+)*)(?P<exponent>[eE][+-]?\d+)?")
_SIGN = re.compile(rf"[.,{ONLY_THOUSANDS}]")

_GLUED_BEFORE = re.compile(rf"\d(?:[.,'\u2019_{BLANKS[:3]}])?$")
_GLUED_AFTER = re.compile(rf"(?:[.,'\u2019_{BLANKS[:3]}])?\d|[eE][+-]?\d")
_BLANK_BEFORE = re.compile(r"(?:^|[\s=:(\[])[1-9]\d{0,2} $")
_BLANK_AFTER = re.compile(r" \d{3}(?![\d:])")
_UNIT_AFTER = re.compile(r"\s?%|[kKMGTPE\u00b5]|[mbB](?![a-zA-Z])|\s[kKMG](?![\w'-])")
"""Prefixes of units, attached: 1.5k, 1.5kit/s, 3M, 10B (billions or bytes), 5m (millions or minutes); alone: 1.5 k."""

_HEXADECIMAL_AFTER = re.compile(r"[xX][0-9a-fA-F]")


def read_number(text: str, *, whole: bool) -> float | None:
    """The number of 0 or more that a text is; None where it is none, or could be two.

    A comma or point before exactly three digits that has a twin or stands where a whole number is wanted separates
    thousands, as do apostrophes, underscores and spaces; of two different signs the last separates decimals.

    Args:
        text: the whole of it, perhaps with spaces around.
        whole: whether a whole number is wanted.
    """
    match = _NUMBER.fullmatch(text.strip().rstrip(".,"))  # the end of a sentence, or "5." for 5.0
    if match is None or not any(map(str.isdecimal, match["digits"])):
        return None
    digits = match["digits"]
    point = _decimal_point(digits, whole=whole and match["exponent"] is None)
    if point is None:
        return None
    head, tail = _SIGN.sub("", digits[:point]), digits[point + 1 :]
    value = float(f"{head or 0}.{tail or 0}{match['exponent'] or ''}")
    return value if math.isfinite(value) and value < LARGEST else None


def _decimal_point(digits: str, *, whole: bool) -> int | None:
    """Where decimals are separated, the length where nowhere; None where that cannot be told."""
    end = len(digits)
    signs = _SIGN.findall(digits)
    if not signs:
        return end
    last = digits.rfind(signs[-1])
    if len(set(signs)) == 1:
        grouped = _is_grouped(digits)
        if len(signs) > 1 or signs[0] in ONLY_THOUSANDS:
            return end if grouped else None
        if not grouped:
            return last
        # One comma or point before three digits: 1,234 of a whole number; 1.234 as every language prints decimals.
        return end if whole else last if signs[0] == "." else None
    one_decimal = signs.count(signs[-1]) == 1 and len(set(signs)) == 2 and signs[-1] in ".,"
    return last if one_decimal and _is_grouped(digits[:last]) else None


def _is_grouped(digits: str) -> bool:
    """Whether signs stand before groups of exactly three digits, as those of thousands do: 0,123 has none."""
    first, *groups = _SIGN.split(digits)
    return 1 <= len(first) <= 3 and not first.startswith("0") and all(len(group) == 3 for group in groups)


def why_not_whole(line: str, start: int, end: int, match_start: int, match_end: int) -> str:
    """Why what stands between two places of a line is only a part of a number; "" where it is not.

    Args:
        line: all of it.
        start: where the number begins.
        end: where it ends.
        match_start: where the match that it is a group of begins.
        match_end: where that ends: an expression that names what comes before or after a comma knows of it.
    """
    number, before, after = line[start:end], line[:start], line[end:]
    if unit := _UNIT_AFTER.match(after):
        return f"{(number + unit[0]).strip()!r} is not a count: what follows the digits changes it"
    if (glue := _GLUED_BEFORE.search(before)) and not (
        match_start < start and _are_fields(before[glue.start() + 1 :], _last_digits(before), number)
    ):
        return "it begins inside a number"
    if (glue := _GLUED_AFTER.match(after)) and not (
        match_end > end and _are_fields(after[: glue.end() - 1], number, _first_digits(after[glue.end() - 1 :]))
    ):
        return "it ends inside a number"
    if number == "0" and _HEXADECIMAL_AFTER.match(after):
        return "it ends inside a hexadecimal number"
    if match_end == end and len(number) <= 3 and number.isdecimal() and _BLANK_AFTER.match(after):
        return "it ends inside a number, or before another"
    if match_start == start and len(number) == 3 and number.isdecimal() and _BLANK_BEFORE.search(before):
        return "it begins inside a number, or after another"
    return ""


def _are_fields(sign: str, left: str, right: str) -> bool:
    """Whether what stands on both sides of a sign are fields of their own, of an expression that names the sign."""
    return sign == "," and not (len(left) <= 3 and len(right) == 3)


def _first_digits(text: str) -> str:
    return text[: len(text) - len(text.lstrip("0123456789"))]


def _last_digits(text: str) -> str:
    return _first_digits(text[::-1].lstrip(","))[::-1]


Kind = Literal["item", "items", "total", "rate"]
"""item: the line is one item; items: so many more; total: so many so far; rate: what the program says it does."""

LONGEST_LINE = 4096
"""Characters of a line that are looked at: a careless expression takes long on long lines."""

LONGEST_SEARCH_S = 0.1
"""Of the processor, for one line: an expression such as (a+)+b takes years on some."""

LARGEST_EXPRESSION = 100_000
"""Parts of an expression once its counts are written out, as `regex` does when it compiles, with no limit of time or
memory: (?:(?:a{1000}){1000}){1000} would take all that there is."""

LONGEST_SHOWN = 160
"""Characters of a line that are shown where something is wrong with it."""

_PARTS = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\{(\d{1,18})(?:,\d*)?\}|.", re.DOTALL)
"""Of an expression: an escaped character, a set, a count (with its lower bound), or any other character."""

_ESCAPES = re.compile(
    r"""\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]|\x9b[0-?]*[ -/]*[@-~]"""
)
"""Colours, cursors, titles and links of terminals (ECMA-48, 5th edition, sections 5.3 to 5.6)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one line says."""

    number: float
    """Items, a total, or a rate."""
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why a line that matches, or may match, counts nothing, though it should: the run is INVALID."""

    reason: str
    hopeless: bool = False
    """Whether the next line would be no better: the expression takes too long."""


@dataclass(frozen=True, slots=True)
class LineRule:
    """An expression, and what its groups mean."""

    pattern: Any
    """Compiled by `regex`, which can be given a limit of time; `pattern.pattern` is its text."""
    kind: Kind
    group: str | int
    has_tokens: bool

    def read(self, line: str) -> Finding | Doubt | None:
        """What the line counts, by the first match in it; None where it does not match.

        Args:
            line: without its end; escape sequences in it do not matter.
        """
        if "\x1b" in line or "\x9b" in line:
            line = _ESCAPES.sub("", line)
        try:
            match = self.pattern.search(line, endpos=LONGEST_LINE, timeout=LONGEST_SEARCH_S)
        except TimeoutError:
            return too_slow(line)
        if match is None or match[self.group] is None:
            return None
        groups: list[tuple[str | int, bool]] = [] if self.kind == "item" else [(self.group, self.kind != "rate")]
        if self.has_tokens and match["tokens"] is not None:
            groups.append(("tokens", True))
        numbers = []
        for group, whole in groups:
            if part := why_not_whole(line, *match.span(group), *match.span()):
                return Doubt(f"{part}: {_shown(line)}")
            number = read_number(match[group], whole=whole)
            if number is None or (whole and not number.is_integer()):
                kind = "whole number" if whole else "number that can be read in one way only"
                return Doubt(f"{match[group][:80]!r} is no {kind}: {_shown(line)}")
            numbers.append(number)
        items = 1.0 if self.kind == "item" else numbers[0]
        return Finding(items, int(numbers[-1]) if len(groups) > (self.kind != "item") else 0)


def too_slow(line: str) -> Doubt:
    """The doubt that is left where an expression takes too long, so that no further line is looked at.

    Args:
        line: the one that it was looking at.
    """
    return Doubt(f"the expression takes too long, so that no more lines are looked at: {_shown(line)}", hopeless=True)


def _shown(line: str) -> str:
    return repr(line if len(line) <= LONGEST_SHOWN else line[: LONGEST_SHOWN - 3] + "...")


def read_rule(text: str) -> LineRule:
    """The rule that an expression gives.

    Args:
        text: in the syntax of Python's re, and what regex adds. One group named item, items, total or rate says what
            is counted; without named groups the first one is items. A group tokens beside it counts tokens.

    Raises:
        RequestError: it is no expression, one too large to be compiled, or its groups do not say what is counted.
    """
    import regex  # a large package, which few runs need

    if parts_written_out(text) > LARGEST_EXPRESSION:
        raise _refused(
            text, f"its counts make more than {LARGEST_EXPRESSION:,} parts of it; make those in braces smaller"
        )
    try:
        pattern = regex.compile(text)
    except (regex.error, RecursionError, OverflowError) as error:
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


def parts_written_out(text: str) -> int:
    """About how many parts an expression has once each counted one stands there as often as its count says.

    Args:
        text: of the expression, which need not be one.
    """
    outer: list[int] = []
    size = last = 0
    for part in _PARTS.finditer(text):
        if part[1] is not None:
            repeats = max(int(part[1]), 1)
            size += last * (repeats - 1)
            last *= repeats
        elif part[0] == "(":
            outer.append(size)
            size = last = 0
        elif part[0] == ")" and outer:
            last = size + 1
            size = outer.pop() + last
        else:
            last = 1
            size += 1
    return size


def _refused(text: str, problem: str) -> RequestError:
    hint = (
        r"put the number in a group, such as 'did (?P<items>\d+) images': items (so many more), total (so many so "
        "far), item (the line is one) or rate (what the program itself claims), and perhaps tokens"
    )
    return RequestError(f"use --throughput-regex {text!r}", problem, hint)
