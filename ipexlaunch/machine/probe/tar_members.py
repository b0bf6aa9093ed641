"""The members of a tar archive, read one after the other with limits; only what a saved machine can hold.

Source: pax(1) of POSIX.1-2008 (ustar and its extended headers) and the manual of GNU tar, "Basic Tar Format".

Bytes of an archive as they are asked for, unpacked by pieces: a bomb ends at the first byte beyond a limit.
"""

from __future__ import annotations

import importlib
import posixpath
from collections.abc import Iterator
from typing import Any, NamedTuple

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import shortened

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma"}
"""How such data begins, and what Python calls it."""

SAVE = "save one with 'ipexlaunch topology --save FILE.tar.gz'"
"""What would work in the place of an archive that cannot be read."""

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
            raise TopologyError(self._path, f"it holds more than {LARGEST_ARCHIVE} bytes, as no snapshot does", SAVE)
        return piece

    def _more(self) -> bytes:
        if not self._kind:
            return self._take(PIECE)
        try:
            return self._unpack()
        except TopologyError:
            raise
        except Exception as error:  # each library has errors of its own, and Python may have been built without it
            raise TopologyError(self._path, f"it cannot be unpacked by {self._kind}: {error}", SAVE) from None

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
                raise TopologyError(self._path, f"it cannot be unpacked by {self._kind}: it is cut off", SAVE)
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


BLOCK = 512
MOST_MEMBERS = 1 << 19
"""2,048 cpus with everything that sysfs has of them are 300,000."""
LONGEST_NAME = 1024
"""Bytes; names in sysfs and of cgroups stay below 300."""
MOST_FOLDERS = 64
"""One inside the other, in a name."""
LARGEST_HEADER = 1 << 16
"""Bytes of a member's extended headers (pax): long names, access lists, security labels."""
LARGEST_MEMBER = 1 << 26
"""Bytes; the largest file that is read is a mount table."""

REGULAR, HARD_LINK, LINK, FOLDER = b"07\0", b"1", b"2", b"5D"
LONG_NAME, LONG_LINK = b"L", b"K"
EXTENDED, EXTENDED_FOR_ALL = b"xX", b"g"
SPARSE = b"S"


class Member(NamedTuple):
    """One file, directory or link."""

    kind: bytes
    """One of REGULAR, HARD_LINK, LINK or FOLDER (the first letter of each)."""
    name: str
    """Normalised, without a leading slash; "." is the root."""
    content: bytes = b""
    """Of a file, without NULs at its end: tar writes them where a file of sysfs is shorter than its size says."""
    target: str = ""
    """Of a link."""


def members_of(path: str, source: Unpacked) -> Iterator[Member]:
    """Every member that can be part of a machine, in order.

    Args:
        path: the archive's name, for messages.
        source: its bytes.

    Raises:
        TopologyError: it is damaged, cut off, or beyond a limit.
    """
    extended: dict[str, str] = {}
    headers = count = 0
    while True:
        block = source.read(BLOCK)
        if block == bytes(BLOCK):
            return
        if len(block) < BLOCK:
            raise TopologyError(path, "it is cut off: the end of the archive is missing", SAVE)
        kind, size, name, target = _header(path, block)
        if kind in LONG_NAME + LONG_LINK + EXTENDED + EXTENDED_FOR_ALL:
            headers += BLOCK + size
            if headers > LARGEST_HEADER:
                raise TopologyError(path, f"a member has more than {LARGEST_HEADER} bytes of headers", SAVE)
            text = _content(path, source, size)
            if kind in EXTENDED:
                extended |= _records(path, text)
            elif kind != EXTENDED_FOR_ALL:
                extended["path" if kind == LONG_NAME else "linkpath"] = _text(text)
            continue
        count += 1
        if count > MOST_MEMBERS:
            raise TopologyError(path, f"it has more than {MOST_MEMBERS} members, as no snapshot has", SAVE)
        name, target = extended.get("path", name), extended.get("linkpath", target)
        if kind == SPARSE or any(key.startswith("GNU.sparse") for key in extended):
            what = f"{shortened(name)} is stored as a sparse file, which holds nothing of sysfs"
            raise TopologyError(path, what, "pack it without --sparse, or use 'ipexlaunch topology --save FILE.tar.gz'")
        if "size" in extended:
            size = _number(path, extended["size"].encode(), 10)
        extended, headers = {}, 0
        yield from _member(path, source, kind, size, _name(path, name), target)


def _member(path: str, source: Unpacked, kind: bytes, size: int, name: str, target: str) -> Iterator[Member]:
    if kind in REGULAR and name.endswith("/"):
        kind = FOLDER[:1]  # before POSIX.1-1988 a slash was all that told them apart
    name = posixpath.normpath(name).lstrip("/") or "."
    if kind in REGULAR:
        if size <= LARGEST_MEMBER:
            yield Member(REGULAR[:1], name, _content(path, source, size).rstrip(b"\0"))
            return
    elif kind in FOLDER:
        yield Member(FOLDER[:1], name)
    elif kind in LINK:
        yield Member(LINK, name, target=_name(path, target))
    elif kind in HARD_LINK:
        yield Member(HARD_LINK, name, target=posixpath.normpath(_name(path, target)).lstrip("/"))
    _pass(path, source, size + -size % BLOCK)


def _content(path: str, source: Unpacked, size: int) -> bytes:
    found = source.read(size)
    if len(found) < size:
        raise TopologyError(path, "it is cut off: the end of the archive is missing", SAVE)
    _pass(path, source, -size % BLOCK)
    return found


def _pass(path: str, source: Unpacked, size: int) -> None:
    if source.count + size > LARGEST_ARCHIVE:
        raise TopologyError(path, f"it holds more than {LARGEST_ARCHIVE} bytes, as no snapshot does", SAVE)
    if source.skip(size) < size:
        raise TopologyError(path, "it is cut off: the end of the archive is missing", SAVE)


def _header(path: str, block: bytes) -> tuple[bytes, int, str, str]:
    """Kind, size in bytes, name and link's target of a header block."""
    told = _number(path, block[148:156].strip(b"\0 "), 8)
    if told != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise TopologyError(path, "it is no tar archive, or damaged: the checksum of a header is wrong", SAVE)
    size = block[124:136]
    if size[0] & 0x80:  # GNU tar: base 256, for sizes from 8 GiB
        amount = int.from_bytes(size[1:], "big") if size[0] == 0x80 else -1
        if amount < 0:
            raise TopologyError(path, "it is damaged: a size is negative", SAVE)
    else:
        amount = _number(path, size.strip(b"\0 "), 8)
    name = _text(block[:100])
    prefix = _text(block[345:500]) if block[257:263] == b"ustar\0" else ""  # GNU tar has other things there
    kind = block[156:157]
    without_content = kind in HARD_LINK + LINK + b"346" + FOLDER[:1]
    return kind, 0 if without_content else amount, f"{prefix}/{name}" if prefix else name, _text(block[157:257])


def _number(path: str, digits: bytes, base: int) -> int:
    """A whole number; nothing is 0."""
    allowed = b"01234567" if base == 8 else b"0123456789"
    if len(digits) > 20 or digits.strip(allowed):
        raise TopologyError(path, f"it is damaged: {shortened(digits.decode('ascii', 'replace'))} is no number", SAVE)
    return int(digits, base) if digits else 0


def _records(path: str, data: bytes) -> dict[str, str]:
    """Extended headers: "30 path=sys/devices/...\n" each, the length first."""
    found = {}
    while data:
        digits = data.partition(b" ")[0]
        length = _number(path, digits, 10)
        record, data = data[:length], data[length:]
        key, equals, value = record[len(digits) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise TopologyError(path, "it is damaged: an extended header is no list of names and values", SAVE)
        found[_text(key)] = _text(value[:-1])
    return found


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(path: str, name: str) -> str:
    if len(name) > LONGEST_NAME or name.count("/") > MOST_FOLDERS:
        what = f"{shortened(name)} is longer than {LONGEST_NAME} bytes or in more than {MOST_FOLDERS} folders"
        raise TopologyError(path, f"{what}, as no name of a snapshot is", SAVE)
    return name
