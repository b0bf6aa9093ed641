"""The text of one range of a file, behind the row that names its fields; it begins and ends where a row does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import BinaryIO

from ipexlaunch.batch.input.input_part import InputPart
from ipexlaunch.batch.input.read_lines import BLOCK_BYTES, BYTE_ORDER_MARK, refuse_changed
from ipexlaunch.errors import DocumentError


def blocks_of_part(file: BinaryIO, name: str, part: InputPart, was_read: Callable[[int], object]) -> Iterator[bytes]:
    """The header's bytes, then those of the range, in blocks; what kind of file it is has been found out before.

    Args:
        file: opened without a buffer.
        name: for messages.
        part: which bytes.
        was_read: told how many bytes of the range were taken from the file, each time.

    Raises:
        DocumentError: it cannot be read, ends too early, or was changed while it was read; what was given stands.
    """
    before = os.fstat(file.fileno())
    try:
        if part.header_bytes:
            yield os.pread(file.fileno(), part.header_bytes, 0).removeprefix(BYTE_ORDER_MARK)
        at = part.begin
        while at < part.end:
            block = os.pread(file.fileno(), min(BLOCK_BYTES, part.end - at), at)
            if not block:
                raise DocumentError(name, "", f"it ends at byte {at}, but had {part.end} or more", "put it back")
            was_read(len(block))
            yield block.removeprefix(BYTE_ORDER_MARK) if at == 0 else block
            at += len(block)
    except OSError as error:
        raise DocumentError(name, "", str(error.strerror).lower(), "put back a file that can be read") from None
    refuse_changed(before, os.fstat(file.fileno()), name)
