"""A number as programs and people print it: which sign separates thousands, which one decimals, what is no number.

docs/worker-protocol.md has the rule and the table of cases that tests/launch/test_printed_number.py goes through.
"""

from __future__ import annotations

import math
import re

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
