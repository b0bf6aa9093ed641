"""The members of a tar archive, read one after the other with limits; only what a saved machine can hold.

Source: pax(1) of POSIX.1-2008 (ustar and its extended headers) and the manual of GNU tar, "Basic Tar Format".
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import NamedTuple

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe.kernel_text import shortened
from ipexlaunch.machine.probe.unpack import LARGEST_ARCHIVE, Unpacked

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
            raise TopologyError(path, "it is cut off: the end of the archive is missing")
        kind, size, name, target = _header(path, block)
        if kind in LONG_NAME + LONG_LINK + EXTENDED + EXTENDED_FOR_ALL:
            headers += BLOCK + size
            if headers > LARGEST_HEADER:
                raise TopologyError(path, f"a member has more than {LARGEST_HEADER} bytes of headers")
            text = _content(path, source, size)
            if kind in EXTENDED:
                extended |= _records(path, text)
            elif kind != EXTENDED_FOR_ALL:
                extended["path" if kind == LONG_NAME else "linkpath"] = _text(text)
            continue
        count += 1
        if count > MOST_MEMBERS:
            raise TopologyError(path, f"it has more than {MOST_MEMBERS} members, as no snapshot has")
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
        raise TopologyError(path, "it is cut off: the end of the archive is missing")
    _pass(path, source, -size % BLOCK)
    return found


def _pass(path: str, source: Unpacked, size: int) -> None:
    if source.count + size > LARGEST_ARCHIVE:
        raise TopologyError(path, f"it holds more than {LARGEST_ARCHIVE} bytes, as no snapshot does")
    if source.skip(size) < size:
        raise TopologyError(path, "it is cut off: the end of the archive is missing")


def _header(path: str, block: bytes) -> tuple[bytes, int, str, str]:
    """Kind, size in bytes, name and link's target of a header block."""
    told = _number(path, block[148:156].strip(b"\0 "), 8)
    if told != sum(block[:148]) + 8 * ord(" ") + sum(block[156:]):
        raise TopologyError(path, "it is no tar archive, or damaged: the checksum of a header is wrong")
    size = block[124:136]
    if size[0] & 0x80:  # GNU tar: base 256, for sizes from 8 GiB
        amount = int.from_bytes(size[1:], "big") if size[0] == 0x80 else -1
        if amount < 0:
            raise TopologyError(path, "it is damaged: a size is negative")
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
        raise TopologyError(path, f"it is damaged: {shortened(digits.decode('ascii', 'replace'))} is no number")
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
            raise TopologyError(path, "it is damaged: an extended header is no list of names and values")
        found[_text(key)] = _text(value[:-1])
    return found


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _name(path: str, name: str) -> str:
    if len(name) > LONGEST_NAME or name.count("/") > MOST_FOLDERS:
        what = f"{shortened(name)} is longer than {LONGEST_NAME} bytes or in more than {MOST_FOLDERS} folders"
        raise TopologyError(path, f"{what}, as no name of a snapshot is")
    return name
