"""Bytes of an archive as they are asked for, unpacked by pieces: a bomb ends at the first byte beyond a limit."""

from __future__ import annotations

import importlib
from typing import Any

from ipexlaunch.errors import TopologyError

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma"}
"""How such data begins, and what Python calls it."""

LARGEST_ARCHIVE = 1 << 29
"""Bytes of the archive, unpacked; a snapshot of 2,048 cpus has 300 MB."""
LARGEST_DICTIONARY = 1 << 27
"""Bytes that unpacking xz may need: `xz -9` needs 65 MiB, and a header of 30 bytes can ask for 4 GiB."""
PIECE = 1 << 16


class Unpacked:
    """Reads an archive from its first byte to its last; never holds more than was asked for and one piece."""

    def __init__(self, path: str, data: bytes) -> None:
        """Begin at the first byte.

        Args:
            path: its name, for messages.
            data: plain, or packed by gzip, bz2 or xz.
        """
        self._path = path
        self._kind = next((kind for start, kind in COMPRESSIONS.items() if data.startswith(start)), "")
        self._packed = memoryview(data)
        self._at = 0
        self._left = b""
        self._stream: Any = None
        self.count = 0
        """Bytes handed out or skipped so far."""

    def read(self, size: int) -> bytes:
        """The next bytes; fewer only at the end.

        Raises:
            TopologyError: it is damaged, or would be larger than any snapshot.
        """
        parts: list[bytes] = []
        while size and (piece := self._piece(size)):
            parts.append(piece)
            size -= len(piece)
        return b"".join(parts)

    def skip(self, size: int) -> int:
        """Pass over so many bytes; how many there were."""
        missing = size
        while missing and (piece := self._piece(min(missing, PIECE))):
            missing -= len(piece)
        return size - missing

    def _piece(self, size: int) -> bytes:
        if not self._left:
            self._left = self._more()
        piece, self._left = self._left[:size], self._left[size:]
        self.count += len(piece)
        if self.count > LARGEST_ARCHIVE:
            raise TopologyError(self._path, f"it holds more than {LARGEST_ARCHIVE} bytes, as no snapshot does")
        return piece

    def _more(self) -> bytes:
        if not self._kind:
            return self._take(PIECE)
        try:
            return self._unpack()
        except TopologyError:
            raise
        except Exception as error:  # each library has errors of its own, and Python may have been built without it
            raise TopologyError(self._path, f"it cannot be unpacked by {self._kind}: {error}") from None

    def _take(self, size: int) -> bytes:
        found = bytes(self._packed[self._at : self._at + size])
        self._at += len(found)
        return found

    def _unpack(self) -> bytes:
        """The next piece; such a file may be several streams one after the other, with zeros between them."""
        while True:
            if self._stream is None:
                while bytes(self._packed[self._at : self._at + 1]) == b"\0":
                    self._at += 1
                if not bytes(self._packed[self._at : self._at + 6]).startswith(tuple(COMPRESSIONS)):
                    return b""
                self._stream = _decompressor(self._kind)
            waiting = getattr(self._stream, "unconsumed_tail", b"")  # zlib's; the other two keep theirs and say so
            hungry = not waiting and getattr(self._stream, "needs_input", True)
            data = self._take(PIECE) if hungry else waiting
            if hungry and not data:
                raise TopologyError(self._path, f"it cannot be unpacked by {self._kind}: it is cut off")
            piece: bytes = self._stream.decompress(data, PIECE)
            if self._stream.eof:
                self._at -= len(self._stream.unused_data)
                self._stream = None
            if piece:
                return piece


def _decompressor(kind: str) -> Any:
    if kind == "gzip":
        return importlib.import_module("zlib").decompressobj(31)  # 31: with gzip's header and checksum
    if kind == "bz2":
        return importlib.import_module("bz2").BZ2Decompressor()
    lzma = importlib.import_module("lzma")
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, LARGEST_DICTIONARY)
