"""The kernel's list format, "0-3,8", to and from a set of ids (cpus or nodes).

Source: Documentation/admin-guide/cputopology.rst and lib/bitmap.c (bitmap_parselist) of the Linux kernel.

The ways in which the kernel writes sets and numbers: lists, masks, whole numbers, (null).

Source: lib/vsprintf.c (%*pb, %*pbl) and lib/bitmap-str.c of the Linux kernel.

Directories of sysfs that several readers name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from ipexlaunch.documents.fields import Encoded
from ipexlaunch.documents.visible_text import quoted, whole_number
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


_NULL = "(null)"
"""What %*pbl prints for a mask that was never made (cpu/nohz_full)."""
_HEX_AND_COMMA = "0123456789abcdefABCDEF,"


def numbers_of(names: Iterable[str], prefix: str) -> frozenset[int]:
    """The numbers in the names of directories: with "cpu" those of cpu0 and cpu17, and not of cpufreq.

    Args:
        names: of all that stands in a directory.
        prefix: what stands before the number.
    """
    rests = (name.removeprefix(prefix) for name in names if name.startswith(prefix))
    return frozenset(int(rest) for rest in rests if rest.isdecimal())


def parse_ids(text: str) -> frozenset[int]:
    """The ids of a list such as "0-3,8".

    Raises:
        ValueError: a phrase that says what is wrong with it.
    """
    if not text or text == _NULL:
        return frozenset()
    ids: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        if not (first.isdigit() and first.isascii()) or (dash and not (last.isdigit() and last.isascii())):
            raise ValueError(f"it holds {shortened(part)}, which is no id or range")
        low, high = _whole(first), _whole(last if dash else first)
        if high < low:
            raise ValueError(f"it holds the range {shortened(part)}, which ends before it begins")
        ids.update(range(low, high + 1))
    return frozenset(ids)


def parse_mask(text: str) -> frozenset[int]:
    """The ids of a mask such as "00000000,0000ffff": words of 32 bits, the highest first, the first may be shorter.

    Raises:
        ValueError: a phrase that says what is wrong with it.
    """
    if text == _NULL:
        return frozenset()
    words = text.split(",")
    if text.strip(_HEX_AND_COMMA) or not 0 < len(words[0]) <= 8 or set(map(len, words[1:])) - {8}:
        raise ValueError(f"it holds {shortened(text)}, which is no mask")
    bits = int("".join(words), 16)
    ids: set[int] = set()
    base = 0
    while bits:  # 64 bits at a time, so that a long mask does not cost its length squared
        word = bits & 0xFFFFFFFFFFFFFFFF
        while word:
            low = word & -word
            ids.add(base + low.bit_length() - 1)
            word ^= low
        bits >>= 64
        base += 64
    return frozenset(ids)


def parse_number(data: bytes) -> int:
    """The whole number, maybe negative, that is all the data.

    Raises:
        ValueError: a phrase that says what is wrong with it.
    """
    text = data.strip()
    digits = text[1:] if text[:1] == b"-" else text
    if not digits.isdigit() or len(digits) > 20:
        raise ValueError(f"it holds {shortened(text.decode('ascii', 'replace'))}, which is no whole number")
    return int(text)


def printable(text: str) -> str:
    """The text with what cannot be printed as escapes, so that names of files can stand in documents."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shortened(text: str) -> str:
    """The text between quotation marks, cut after 40 characters."""
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _whole(digits: str) -> int:
    if len(digits) > 7 or int(digits) > LARGEST_ID:
        raise ValueError(f"it holds {shortened(digits)}, which is larger than any id")
    return int(digits)


CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"
