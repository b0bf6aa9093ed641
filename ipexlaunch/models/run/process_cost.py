"""What this process has cost so far: processor seconds, and the memory that counts as its own."""

from __future__ import annotations

import ctypes
import gc
import resource
from pathlib import Path
from time import process_time

_ROLLUP = Path("/proc/self/smaps_rollup")


def cpu_seconds() -> float:
    """Of all threads, and of the compilers that were started and have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return process_time() + children.ru_utime + children.ru_stime


def own_bytes() -> int | None:
    """Proportional set size: what others have mapped too, as workers do of one file of weights, counts in parts.

    What was freed is given back first, so that it does not hide what is taken next. None where the kernel does not
    tell.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own; other allocators have none
    if trim is not None:
        trim(0)
    try:
        lines = _ROLLUP.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), None)


def growth(before: int | None, after: int | None) -> int | None:
    """Bytes that came in between; None where one of them is not known."""
    return None if before is None or after is None else max(0, after - before)
