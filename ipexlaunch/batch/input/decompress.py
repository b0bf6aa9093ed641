"""What a compressed file holds, block by block in flat memory: gzip by the standard library, zstd by an extra."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from ipexlaunch.errors import DocumentError, LaunchError

Read = Callable[[int], bytes]
"""Gives at most so many bytes, b"" at the end."""

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

COMPRESSED_SUFFIXES = (".gz", ".zst")
"""How the names of such files end; what is in one is told by how it begins, not by its name."""

MARK_BYTES = 16


class _Source:
    """What decompressors read from: the bytes that were read already, then the rest, then an end of ours."""

    def __init__(self, begins: bytes, read: Read, end: bytes = b"") -> None:
        self._held = begins
        self._read = read
        self._end = end

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        if not self._held:
            self._held = self._read(size)
        if not self._held:
            self._held, self._end = self._end, b""
        given, self._held = self._held[:size], self._held[size:]
        return given


def decompressed(begins: bytes, read: Read, name: str, block_bytes: int) -> Iterator[bytes]:
    """The blocks of what is compressed; nothing where it is not.

    Args:
        begins: the first bytes, read already.
        read: gives those after them.
        name: of the file, for messages.
        block_bytes: how long a block is, at most.

    Raises:
        DocumentError: it is damaged or cut short; what was given stands.
        LaunchError: zstandard is not installed.
    """
    if begins.startswith(GZIP):
        return _gunzipped(begins, read, name, block_bytes)
    if begins.startswith(ZSTD):
        return _unzstd(_zstandard(name), begins, read, name, block_bytes)
    return iter(())


def is_compressed(begins: bytes) -> bool:
    """Whether `decompressed` has something to do."""
    return begins.startswith((GZIP, ZSTD))


def _gunzipped(begins: bytes, read: Read, name: str, block_bytes: int) -> Iterator[bytes]:
    source: Any = _Source(begins, read)
    try:
        with gzip.GzipFile(fileobj=source, mode="rb") as file:
            # One read for one block of the source: who writes a pipe slowly is not waited for longer than needed.
            while block := file.read1(block_bytes):
                yield block
    except EOFError:
        raise DocumentError(name, "", "it is cut short: gzip's end is missing", "copy it again") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DocumentError(name, "", f"its gzip is damaged ({error})", f"test it: gzip -t {name}") from None


def _unzstd(zstandard: Any, begins: bytes, read: Read, name: str, block_bytes: int) -> Iterator[bytes]:
    # The library takes the end of its source for the end of the text, even in the middle of a frame. A last frame of
    # ours, whose text nobody else has written, comes out whole only where all those before it were.
    mark = os.urandom(MARK_BYTES)
    source = _Source(begins, read, zstandard.ZstdCompressor(write_checksum=True).compress(mark))
    held = b""
    try:
        with zstandard.ZstdDecompressor().stream_reader(source, read_across_frames=True) as file:
            while block := file.read(block_bytes):
                held += block
                if len(held) > MARK_BYTES:
                    yield held[:-MARK_BYTES]
                    held = held[-MARK_BYTES:]
    except zstandard.ZstdError as error:
        raise DocumentError(
            name, "", f"its zstd is damaged or cut short ({error})", f"test it: zstd -t {name}"
        ) from None
    if held != mark:
        raise DocumentError(name, "", "it is cut short: the end of a zstd frame is missing", "copy it again")


def _zstandard(name: str) -> Any:
    try:
        import zstandard
    except ImportError:
        raise LaunchError(
            f"read {name}, which is compressed with zstd",
            "zstandard is not installed beside ipexlaunch",
            "pip install 'ipexlaunch[zstd]', or zstdcat FILE | ipexlaunch batch --input - --format ...",
        ) from None
    return zstandard
