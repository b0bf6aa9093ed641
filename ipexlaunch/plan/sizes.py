"""Sizes of memory as people write them, "24GiB", to and from bytes."""

from __future__ import annotations

import re

from ipexlaunch.errors import RequestError

_UNITS = {
    "b": 1,
    **{
        unit: 1 << 10 * power
        for power, letter in enumerate("kmgt", 1)
        for unit in (letter, f"{letter}i", f"{letter}ib")
    },
    **{f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)},
}
LARGEST_BYTES = 1 << 60
_NAMES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def parse_bytes(text: str, option: str) -> int:
    """Bytes of "24GiB" or "24Gi", "24G" (binary too, as in systemd and Slurm), "24GB" (decimal) or "1024B".

    Args:
        text: as a person wrote it; a number without its unit is none, because nobody means 24 bytes.
        option: for the message.

    Raises:
        RequestError: the text is not such a size.
    """
    match = re.fullmatch(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?)\s*([a-z]*)\s*", text.lower())
    unit = None if match is None else _UNITS.get(match[2])
    if match is None or unit is None:
        what = "it has no unit" if match is not None and not match[2] else "it is not a size"
        raise RequestError(f"read {option} {text!r}", what, 'write e.g. "24GiB" or "24GB"')
    size = int(float(match[1]) * unit)
    if not 1 <= size <= LARGEST_BYTES:
        raise RequestError(f"read {option} {text!r}", "no memory has that size", 'write e.g. "24GiB" or "24GB"')
    return size


def format_bytes(amount: int) -> str:
    """The size in the largest binary unit that leaves at least 1, with one digit after the point where it is needed."""
    for unit, name in _NAMES:
        if amount >= unit:
            number = amount / unit
            return f"{number:.0f} {name}" if number == int(number) else f"{number:.1f} {name}"
    return f"{amount} B"
