"""Take over what an earlier attempt at a shard has done, from its rows alone: it may still be writing them.

A row counts that ends with its newline, is JSON, and is of an item of the shard that has none yet. At the first that is
no such row the rest is left: a host that was lost may leave half a row, and a file system zeros where data never came.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import BinaryIO

from ipexlaunch.batch.job_state import DoneItems, JobState
from ipexlaunch.batch.shards.names_once import NEW
from ipexlaunch.batch.shards.sharded_job import Shard
from ipexlaunch.documents.write_file import sync_directory


def take_over(rows: str, letters: str, own_rows: str, own_letters: str, shard: Shard) -> JobState:
    """Copy the whole rows and letters of another attempt into new files, synced; how the shard stands with them.

    Args:
        rows: the other's results.
        letters: and its dead letters; neither need exist.
        own_rows: the file that its results go to; it does not exist.
        own_letters: the same for letters.
        shard: whose items they are.

    Raises:
        OSError: the own files cannot be written; what is left of them counts for nothing.
    """
    taken = JobState(done=DoneItems())
    for line, number in _whole(rows, shard, taken.done, "result", own_rows):
        taken.output_bytes += len(line)
        taken.done.add([number])
    for line, number in _whole(letters, shard, taken.done, "reason", own_letters):
        taken.dead, taken.dead_bytes = taken.dead + 1, taken.dead_bytes + len(line)
        taken.done.add([number])
    sync_directory(os.path.dirname(own_rows))
    return taken


def _whole(path: str, shard: Shard, done: DoneItems, key: str, own: str) -> Iterator[tuple[bytes, int]]:
    """(line, number) of each that counts, once it is written to the own file; synced at the end."""
    try:
        source: BinaryIO = open(path, "rb", buffering=1 << 20)  # noqa: SIM115 (entered below)
    except FileNotFoundError:
        return
    with source, open(os.open(own, NEW, 0o666), "wb", buffering=1 << 20) as copy:
        for line in source:
            number = number_of_row(line, shard, key)
            if number is None:
                break
            if number not in done:
                copy.write(line)
                yield line, number
        copy.flush()
        os.fsync(copy.fileno())


def number_of_row(line: bytes, shard: Shard, key: str) -> int | None:
    """The number of the item that a whole row is of; None where it is none, or of no item of the shard.

    Args:
        line: with its newline.
        shard: whose items they are.
        key: what a row has beside the id and the number: "result", or "reason" of a letter.
    """
    if not line.endswith(b"\n"):
        return None
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict) or not {"id", "number", key} <= row.keys():
        return None
    number = row["number"]
    return number if type(number) is int and number in shard.numbers else None
