"""What a printed line counts, by a regular expression of the user's: the rate of a program that knows nothing of us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal, get_args

import regex

from ipexlaunch.errors import RequestError
from ipexlaunch.launch.printed_number import read_number, why_not_whole

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
