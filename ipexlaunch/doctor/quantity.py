"""Numbers as people read them."""

from __future__ import annotations


def in_gib(size_bytes: float) -> str:
    """Bytes as "1.5 GiB", or "64 MiB" where that is less than one GiB."""
    if abs(size_bytes) >= 1 << 30:
        return f"{size_bytes / (1 << 30):.1f} GiB"
    return f"{size_bytes / (1 << 20):.0f} MiB"


def counted(number: int, noun: str) -> str:
    """ "1 cpu", "3 cpus"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
