"""Put the lines of a file of results in the order of their items, in memory that does not grow with the file.

Replacement selection (Knuth, The Art of Computer Programming, volume 3, section 5.4.1): results come nearly in order,
because items are given out from a look-ahead, so that a heap larger than it writes one sorted run, whatever the length
of the file. What comes later than that begins another run, and the runs are merged.
"""

from __future__ import annotations

import contextlib
import heapq
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO

HEAP_BYTES = 24 << 20
"""Of lines that are held while a run is written; a Python heap of short lines takes about three times as much."""

LINE_COST_BYTES = 150
"""What holding a line costs beyond its bytes."""

RUNS_AT_ONCE = 64
"""Files that are merged in one go."""

_NUMBER = re.compile(rb'\{"id":(?:-?\d+|"(?:[^"\\]|\\.)*"),"number":(\d+),')


def number_of(line: bytes) -> int:
    """The number of the item that a line of results, or of dead letters, is of.

    Raises:
        ValueError: it is none.
    """
    found = _NUMBER.match(line)
    if found:
        return int(found[1])
    row = json.loads(line)
    number = row.get("number") if isinstance(row, dict) else None
    if not isinstance(number, int):
        raise ValueError("a line of results has no number")
    return number


def in_order(lines: Iterable[bytes], folder: str, heap_bytes: int = HEAP_BYTES) -> Iterator[bytes]:
    """The same lines by the numbers of their items.

    Args:
        lines: each with its newline.
        folder: where runs are put meanwhile, as large as the lines together; they have no names.
        heap_bytes: how much may be held in memory.

    Raises:
        OSError: there is no room for the runs.
        ValueError: a line has no number.
    """
    with contextlib.ExitStack() as stack:

        def open_run() -> BinaryIO:
            return stack.enter_context(tempfile.TemporaryFile(dir=folder, prefix=".ipexlaunch-"))

        runs = _runs(lines, open_run, heap_bytes)
        while len(runs) > RUNS_AT_ONCE:
            merged = open_run()
            merged.writelines(_merged(runs[:RUNS_AT_ONCE]))
            for run in runs[:RUNS_AT_ONCE]:
                run.close()
            runs = [*runs[RUNS_AT_ONCE:], merged]
        yield from _merged(runs)


def _runs(lines: Iterable[bytes], open_run: Callable[[], BinaryIO], heap_bytes: int) -> list[BinaryIO]:
    """Files that are in order, each for itself."""
    runs: list[BinaryIO] = []
    heap: list[tuple[int, int, bytes]] = []  # run, number, line
    held, present = 0, -1
    last = -1

    def write_least() -> None:
        nonlocal held, present, last
        run, number, line = heapq.heappop(heap)
        if run != present:
            runs.append(open_run())
            present = run
        runs[-1].write(line)
        held -= len(line) + LINE_COST_BYTES
        last = number

    for line in lines:
        number = number_of(line)
        run = max(present, 0) + (present >= 0 and number < last)
        heapq.heappush(heap, (run, number, line))
        held += len(line) + LINE_COST_BYTES
        while held > heap_bytes and heap:
            write_least()
    while heap:
        write_least()
    return runs


def _merged(runs: Iterable[BinaryIO]) -> Iterator[bytes]:
    runs = list(runs)
    for run in runs:
        run.seek(0, os.SEEK_SET)
    return iter(runs[0]) if len(runs) == 1 else heapq.merge(*runs, key=number_of)
