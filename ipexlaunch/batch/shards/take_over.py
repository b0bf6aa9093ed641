"""Take over what an earlier attempt at a shard has done, from its rows alone: it may still be writing them.

A row counts that ends with its newline, is JSON, and is of an item of the shard that has none yet. At the first that is
no such row the rest is left: a host that was lost may leave half a row, and a file system zeros where data never came.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import BinaryIO

from ipexlaunch.batch.shards.attempt import TakenOver
from ipexlaunch.batch.shards.sharded_job import Shard
from ipexlaunch.documents.write_file import sync_directory

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def take_over(rows: str, letters: str, own_rows: str, own_letters: str, shard: Shard) -> TakenOver:
    """Copy the whole rows and letters of another attempt into new files, synced.

    Args:
        rows: the other's results.
        letters: and its dead letters; neither need exist.
        own_rows: the file that its results go to; it does not exist.
        own_letters: the same for letters.
        shard: whose items they are.

    Raises:
        OSError: the own files cannot be written; what is left of them counts for nothing.
    """
    taken = TakenOver()
    for line, number in _whole(rows, shard, taken, "result", own_rows):
        taken.rows, taken.row_bytes = taken.rows + 1, taken.row_bytes + len(line)
        taken.done.add([number])
    for line, number in _whole(letters, shard, taken, "reason", own_letters):
        taken.letters, taken.letter_bytes = taken.letters + 1, taken.letter_bytes + len(line)
        taken.done.add([number])
    sync_directory(os.path.dirname(own_rows))
    return taken


def _whole(path: str, shard: Shard, taken: TakenOver, key: str, own: str) -> Iterator[tuple[bytes, int]]:
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
            if number not in taken.done:
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
