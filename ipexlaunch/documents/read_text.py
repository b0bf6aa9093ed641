"""The one way to read a document's file: bounded, and refused at once where it is no file that ends."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from ipexlaunch.errors import DocumentError

LARGEST_BYTES = 256 << 20
"""Of a whole document; the plan of 2,048 cpus has 0.2 MB, a report of 1,000 instances 2 MB."""

LONGEST_LINE_BYTES = 32 << 20
"""Of one line of a document that grows; ours stay under 5 MB."""

STREAMS = ("/dev/stdin", "/dev/fd/", "/proc/self/fd/")
"""Beginnings of the names by which a shell hands over a pipe: `--plan-file <(ipexlaunch plan ...)`."""


def read_text(path: str, hint: str = "") -> str:
    """What the file holds, as UTF-8; bytes that are none become surrogate escapes.

    Args:
        path: of a regular file, or of a pipe that a shell hands over.
        hint: what would work where it cannot be read.

    Raises:
        DocumentError: it is not there, is no regular file, is larger than LARGEST_BYTES, or cannot be read.
    """
    with _open(path, hint) as file:
        try:
            data = file.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise DocumentError(path, "", str(error.strerror).lower(), hint) from None
    if len(data) > LARGEST_BYTES:
        raise DocumentError(path, "", f"it has more than {LARGEST_BYTES} bytes, as no document of ours has", hint)
    return data.decode("utf-8", "surrogateescape")


def read_lines(path: str) -> Iterator[str]:
    """The lines of the file, one after the other, each with its end; as `read_text` otherwise.

    Args:
        path: of a regular file.

    Raises:
        DocumentError: as for `read_text`; or a line is longer than LONGEST_LINE_BYTES.
    """
    with _open(path, "") as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(LONGEST_LINE_BYTES + 1)
            except OSError as error:
                raise DocumentError(path, f"line {number}", str(error.strerror).lower()) from None
            if len(line) > LONGEST_LINE_BYTES:
                raise DocumentError(path, f"line {number}", f"it has more than {LONGEST_LINE_BYTES} bytes")
            if not line:
                return
            yield line.decode("utf-8", "surrogateescape")


def _open(path: str, hint: str) -> BinaryIO:
    """The open file; to open a pipe or a device is not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = str(error.strerror).lower() if isinstance(error, OSError) else "that is no path"
        raise DocumentError(path, "", reason, hint) from None
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind) and not (path.startswith(STREAMS) and not stat.S_ISDIR(kind)):
        os.close(descriptor)
        raise DocumentError(path, "", f"it is {_kind_of(kind)}, not a file", hint)
    os.set_blocking(descriptor, True)
    return os.fdopen(descriptor, "rb")


def _kind_of(mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a directory"
    return "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
