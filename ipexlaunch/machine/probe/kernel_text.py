"""The ways in which the kernel writes sets and numbers: lists, masks, whole numbers, (null).

Source: lib/vsprintf.c (%*pb, %*pbl) and lib/bitmap-str.c of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipexlaunch.machine.cpulist import LARGEST_ID

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
