"""Numbers as people read them."""

from __future__ import annotations

import math


def format_number(value: float | None) -> str:
    """About four significant digits, never an exponent; "-" for what is not known.

    Args:
        value: the number.
    """
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:.0f}"
    if 0 < value < 0.01:
        return f"{value:.{1 - math.floor(math.log10(value))}f}"
    return f"{value:.{3 if value < 1 else 2 if value < 10 else 1}f}"
