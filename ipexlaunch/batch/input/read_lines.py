"""The lines of a file or a pipe, compressed (gzip, zstd) or not, in blocks, so that memory stays flat."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from ipexlaunch.batch.input.input_rules import EXCERPT_CHARACTERS, BadLine
from ipexlaunch.errors import DocumentError, LaunchError
from ipexlaunch.errors.how_to_add import how_to_add

Read = Callable[[int], bytes]
"""Gives at most so many bytes, b"" at the end."""

GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"

COMPRESSED_SUFFIXES = (".gz", ".zst")
"""How the names of such files end; what is in one shows in its first bytes, not in its name."""

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
            how_to_add("zstd") + ", or zstdcat FILE | ipexlaunch batch --input - --format ...",
        ) from None
    return zstandard


BLOCK_BYTES = 1 << 20

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

OTHER_KINDS = (
    (b"\xff\xfe\0\0", "it is UTF-32", "make it UTF-8: iconv -f UTF-32 -t UTF-8 {name}"),
    (b"\0\0\xfe\xff", "it is UTF-32", "make it UTF-8: iconv -f UTF-32 -t UTF-8 {name}"),
    (b"\xff\xfe", "it is UTF-16", "make it UTF-8: iconv -f UTF-16 -t UTF-8 {name}"),
    (b"\xfe\xff", "it is UTF-16", "make it UTF-8: iconv -f UTF-16 -t UTF-8 {name}"),
    (b"BZh", "it is compressed with bzip2", "bzcat {name} | ipexlaunch batch --input - --format ..."),
    (b"\xfd7zXZ\0", "it is compressed with xz", "xzcat {name} | ipexlaunch batch --input - --format ..."),
    (GZIP, "it is compressed twice", "zcat {name} | zcat | ipexlaunch batch --input - --format ..."),
    (ZSTD, "it is compressed twice", "zstdcat {name} | zstdcat | ipexlaunch batch --input - --format ..."),
    (b"\x04\x22\x4d\x18", "it is compressed with lz4", "lz4cat {name} | ipexlaunch batch --input - --format ..."),
    (b"PK\x03\x04", "it is a zip archive", "unzip -p {name} | ipexlaunch batch --input - --format ..."),
    (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive", "7z x -so {name} | ipexlaunch batch --input - --format ..."),
    (b"ARROW1\0\0", "it is an Arrow file", "make it Parquet, e.g. with pyarrow.parquet.write_table"),
    (b"PAR1", "it is a Parquet file", "--format parquet"),
)
"""How files begin that are no lines of UTF-8, what they are, and what would work."""


@dataclass(frozen=True, slots=True)
class TooLong:
    """Stands for a line that is longer than the limit; the rest of it is passed over."""

    begins: bytes


def blocks_of(file: BinaryIO, name: str, was_read: Callable[[int], object]) -> Iterator[bytes]:
    """The text that a file holds, from where it stands, in order; one that is compressed is decompressed.

    Args:
        file: opened without a buffer.
        name: for messages.
        was_read: told how many bytes were taken from the file, each time.

    Raises:
        DocumentError: it cannot be read, it is no text, or it was changed while it was read; what was given stands.
        LaunchError: what decompresses it is not installed.
    """
    before = os.fstat(file.fileno())

    def read(size: int) -> bytes:
        data = file.read(size)
        was_read(len(data))
        return data

    try:
        begins = _beginning(lambda: read(BLOCK_BYTES))
        if is_compressed(begins):
            blocks = decompressed(begins, read, name, BLOCK_BYTES)
            begins = _beginning(lambda: next(blocks, b""))
        else:
            blocks = iter(lambda: read(BLOCK_BYTES), b"")
        _check_kind(begins, name)
        if order := _unmarked_utf_16(begins):
            hint = f"make it UTF-8: iconv -f UTF-16{order} -t UTF-8 {name}"
            raise DocumentError(name, "", "it is UTF-16 without a byte order mark", hint)
        if stat.S_ISREG(before.st_mode) and begins.count(b"\r") > 1 and b"\n" not in begins:
            raise DocumentError(name, "", "its lines end in CR alone", f"make it LF: tr '\\r' '\\n' < {name} > NEW")
        if text := begins.removeprefix(BYTE_ORDER_MARK):
            yield text
        yield from blocks
    except OSError as error:
        raise DocumentError(name, "", str(error.strerror).lower(), "give a file that can be read") from None
    refuse_changed(before, os.fstat(file.fileno()), name)


def refuse_changed(before: os.stat_result, after: os.stat_result, name: str) -> None:
    """Raise a DocumentError where somebody wrote to a file while it was read."""
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise DocumentError(
            name,
            "",
            f"it was changed while it was read ({before.st_size} bytes before, {after.st_size} after)",
            "begin again with a file that nobody writes to",
        )


def _unmarked_utf_16(begins: bytes) -> str:
    """The byte order of text, most of it in Latin letters, that is UTF-16; "" where it is not."""
    for order, high, low in (("LE", 1, 0), ("BE", 0, 1)):
        if len(begins) >= 4 and not any(begins[high:64:2]) and all(begins[low:64:2]):
            return order
    return ""


def _beginning(more: Callable[[], bytes]) -> bytes:
    """Enough of it to tell what it is; a pipe that gives a byte at a time is not waited for longer than that needs."""
    begins = more()
    while begins and any(len(begins) < len(mark) and mark.startswith(begins) for mark in _MARKS):
        further = more()
        if not further:
            break
        begins += further
    return begins


_MARKS = (BYTE_ORDER_MARK, *(begins for begins, _, _ in OTHER_KINDS))


def lines_of(blocks: Iterable[bytes], longest: int) -> Iterator[bytes | TooLong]:
    """Every line without its newline; the last need not have one.

    Args:
        blocks: what stands in the file.
        longest: bytes of a line, at most.
    """
    parts: list[bytes] = []  # the beginning of a line that is not over; nothing of it is copied before it is
    held, passing = 0, False
    for block in blocks:
        first, newline, rest = block.partition(b"\n")
        if not passing:
            parts.append(first)
            held += len(first)
            if held > longest:
                yield TooLong(_beginning_of(parts))
                parts, passing = [], True
        if not newline:
            continue
        if not passing:
            yield b"".join(parts)
        lines = rest.split(b"\n")
        last = lines.pop()
        if len(rest) <= longest:
            yield from lines
        else:
            for line in lines:
                yield line if len(line) <= longest else TooLong(line[:EXCERPT_CHARACTERS])
        parts, held, passing = [last], len(last), False
        if held > longest:
            yield TooLong(last[:EXCERPT_CHARACTERS])
            parts, passing = [], True
    if not passing and held:
        yield b"".join(parts)


def _beginning_of(parts: Iterable[bytes]) -> bytes:
    """What is shown of a long line, without a second copy of it."""
    begins = b""
    for part in parts:
        begins += part[: EXCERPT_CHARACTERS - len(begins)]
        if len(begins) == EXCERPT_CHARACTERS:
            break
    return begins


def bad_line(
    number: int, place: int, line: bytes | TooLong, problem: str, hint: str = "", id_: str | int | None = None
) -> BadLine:
    """A line that gives no item, with the beginning of what stands there, and the id where that could be read."""
    begins = line.begins if isinstance(line, TooLong) else line[:EXCERPT_CHARACTERS]
    shown = begins.decode(errors="backslashreplace")
    return BadLine(number=number, place=place, problem=problem, hint=hint, begins=shown, id=id_)


def too_long(number: int, place: int, line: bytes | TooLong, longest: int) -> BadLine:
    """A line that is longer than the limit."""
    return bad_line(number, place, line, f"it is longer than {_size(longest)}", "raise --max-line-mb if that is right")


def not_utf_8(line: bytes, error: UnicodeDecodeError) -> str:
    """What is wrong with a line that cannot be decoded."""
    return f"it is not UTF-8 (byte {error.start + 1} of the line is 0x{line[error.start]:02x})"


TO_UTF_8 = "if it is Latin-1: iconv -f LATIN1 -t UTF-8 FILE | ipexlaunch batch --input - --format ..."


def _check_kind(block: bytes, name: str) -> None:
    for begins, kind, hint in OTHER_KINDS:
        if block.startswith(begins):
            raise DocumentError(name, "", kind, hint.format(name=name))


def _size(count: int) -> str:
    return f"{count / 1e6:g} MB" if count >= 1e6 else f"{count} bytes"
