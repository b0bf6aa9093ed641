"""Sizes of memory as people write them, "24GiB", to and from bytes."""

from __future__ import annotations

import re

from ipexlaunch.errors import RequestError

_UNITS = {
    "": 1,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "t": 1 << 40,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "tb": 1000**4,
}
_NAMES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def parse_bytes(text: str, option: str) -> int:
    """Bytes of "24GiB", "24G" (binary, as in systemd and Slurm), "24GB" (decimal) or "1024".

    Raises:
        RequestError: the text is not such a size.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text.lower())
    unit = None if match is None else _UNITS.get(match[2].replace("ib", ""))
    if match is None or unit is None:
        raise RequestError(f"read {option} {text!r}", "it is not a size", 'write e.g. "24GiB" or "24GB"')
    return int(float(match[1]) * unit)


def format_bytes(amount: int) -> str:
    """The size in the largest binary unit that leaves at least 1, with one digit after the point where it is needed."""
    for unit, name in _NAMES:
        if amount >= unit:
            number = amount / unit
            return f"{number:.0f} {name}" if number == int(number) else f"{number:.1f} {name}"
    return f"{amount} B"
