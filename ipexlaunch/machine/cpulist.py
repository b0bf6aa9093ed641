"""The kernel's list format, "0-3,8", to and from a set of ids (cpus or nodes).

Source: Documentation/admin-guide/cputopology.rst and lib/bitmap.c (bitmap_parselist) of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from ipexlaunch.documents.fields import Encoded
from ipexlaunch.documents.typed_text import quoted, whole_number
from ipexlaunch.errors import RequestError

LARGEST_ID = 1 << 20
"""Larger ids are refused before a set is built; the kernel's own limit (NR_CPUS) is 8192."""

LIST_HINT = 'write ids and ranges such as "0-3,8"'


def parse_list(text: str, what: str = "list") -> frozenset[int]:
    """The ids that "0-3,8" names; an empty text is an empty set, as in the kernel's files.

    Args:
        text: ids and ranges, separated by commas; white space around the whole is ignored.
        what: the noun for error messages, e.g. "--cores-list" or "cpu list".

    Raises:
        RequestError: the text is not such a list ("3-1", "a", "1,,2", "-1").
    """
    text = text.strip()
    if not text:
        return frozenset()
    ids: set[int] = set()
    for part in text.split(","):
        ids.update(parse_range(part, part, f"read {what} {quoted(text)}", LIST_HINT))
    return frozenset(ids)


def parse_range(span: str, item: str, wanted: str, hint: str) -> range:
    """The ids of "3" or "0-7".

    Args:
        span: the text.
        item: what it is a part of, for messages.
        wanted: what is read, for messages.
        hint: for one that cannot be read.

    Raises:
        RequestError: it is no such text.
    """
    first, dash, last = span.partition("-")
    low, high = whole_number(first), whole_number(last if dash else first)
    if low is None or high is None:
        raise RequestError(wanted, f"{quoted(item)} is not an id or a range", hint)
    if high > LARGEST_ID or low > LARGEST_ID:
        raise RequestError(wanted, f"{quoted(item)} is larger than any id ({LARGEST_ID})", hint)
    if high < low:
        raise RequestError(wanted, f"the range {quoted(item)} ends before it begins", f'write "{high}-{low}"')
    return range(low, high + 1)


def format_list(ids: Iterable[int]) -> str:
    """The shortest text that `parse_list` reads back to the same ids: ascending, runs as ranges.

    Args:
        ids: non-negative ids in any order; duplicates count once.
    """
    parts: list[str] = []
    run: list[int] = []
    for number in sorted(set(ids)):
        if run and number == run[-1] + 1:
            run.append(number)
            continue
        if run:
            parts.append(_format_run(run))
        run = [number]
    if run:
        parts.append(_format_run(run))
    return ",".join(parts)


def _format_run(run: list[int]) -> str:
    return str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"


def _ids(value: object) -> frozenset[int]:
    """A list in a document; one id may stand bare, because YAML reads 5 as a number, and nothing is an empty list."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        if value is None:
            return frozenset()
        raise ValueError('it should be a list such as "0-13,56-69"')
    try:
        return parse_list(value)
    except RequestError as error:
        raise ValueError(f"{error.available}; {error.hint}") from None


Ids = Annotated[frozenset[int], Encoded(_ids, format_list)]
"""A value's field of cpus or nodes, which documents hold as "0-3,8"."""
