"""Writes a figure that misses a limit so that it reads like it: 0.99496 is not 0.995, which would do."""

from __future__ import annotations


def beside_limit(found: float, limit: float, decimals: int = 4) -> str:
    """A figure with a few decimals, or with as many as leave it on its side of the limit.

    Args:
        found: the figure.
        limit: what it is beside, in the same unit.
        decimals: at least.
    """
    ways = (f"{found:.{each}f}" for each in range(decimals, 17))
    side = (found < limit, found > limit)
    return next((each for each in ways if (float(each) < limit, float(each) > limit) == side), str(found))
