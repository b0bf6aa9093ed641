"""The one way to read a document's file, bounded, and its JSON as every language reads it (RFC 8259, I-JSON).

Python reads 1e400 as an infinity and writes it as `Infinity`, keeps the last of two equal keys, takes halves of
surrogate pairs, and raises RecursionError at a depth that depends on how deep it is called.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from typing import BinaryIO

from ipexlaunch.documents.text import is_deeper
from ipexlaunch.errors import DocumentError

LARGEST_BYTES = 256 << 20
"""Of a whole document; the plan of 2,048 cpus has 0.2 MB, a report of 1,000 instances 2 MB."""

LONGEST_LINE_BYTES = 32 << 20
"""Of one line of a document that grows; ours stay under 5 MB."""

AGAIN = "put back the file that was written there"
"""What would work where one of ours cannot be read."""

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
    with _open(path, AGAIN) as file:
        number = 0
        while True:
            number += 1
            try:
                line = file.readline(LONGEST_LINE_BYTES + 1)
            except OSError as error:
                raise DocumentError(path, f"line {number}", str(error.strerror).lower(), AGAIN) from None
            if len(line) > LONGEST_LINE_BYTES:
                raise DocumentError(path, f"line {number}", f"it has more than {LONGEST_LINE_BYTES} bytes", AGAIN)
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


DEEPEST = 512
"""Levels of lists and objects in one value. Python's parser and writer end near 1000 (its recursion limit, of which the
caller has used some), those of other languages between 100 and 1000 unless they are told otherwise."""

LONGEST_NUMBER = 4300
"""Digits of a whole number: what Python converts (sys.int_info.default_max_str_digits)."""

_DIGITS = re.compile(rb"\d{%d}" % (LONGEST_NUMBER + 1))

_MESSAGE_LEVELS = 3
"""What stands around a value in a message of a worker or to it: the object, a list in it, an item's object."""


def read_json(text: bytes) -> object:
    """The value of a text.

    Args:
        text: UTF-8.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
        JSONDecodeError: it is not JSON.
        ValueError: it holds a number that is too large, NaN, half a character, the same key twice in an object, or more
            than DEEPEST levels; the text of the error is a sentence that says which.
    """
    value = _decoded(text, _strict)
    if b"\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(why_not_json(error)) from None
    return value


def read_message(text: bytes) -> object:
    """The same of a line that a worker sent; numbers and characters are looked at where it is written again.

    Args:
        text: UTF-8.

    Raises:
        ValueError: as for `read_json`; but NaN, infinities and halves of characters pass.
    """
    return _decoded(text, _lenient, _MESSAGE_LEVELS)


def why_not_json(error: ValueError) -> str:
    """What `json.JSONEncoder(allow_nan=False, ensure_ascii=False)` and encoding stumbled over, in plain words.

    Args:
        error: what was raised.
    """
    if isinstance(error, UnicodeEncodeError):
        return "it holds half a character (a lone surrogate), which is no Unicode"
    if "JSON compliant" in str(error):
        return "it holds NaN or an infinity (1e400 is one), which is no JSON"
    return str(error)


def _decoded(text: bytes, decoder: json.JSONDecoder, around: int = 0) -> object:
    try:
        value: object = decoder.decode(text.decode())
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    except (UnicodeDecodeError, json.JSONDecodeError):
        raise
    except ValueError:
        if _DIGITS.search(text):
            raise ValueError(f"it holds a number of more than {LONGEST_NUMBER} digits") from None
        raise
    if text.count(b"[") + text.count(b"{") > DEEPEST and is_deeper(value, DEEPEST + around):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP = f"its lists and objects are more than {DEEPEST} deep"


def _no_constant(name: str) -> object:
    raise ValueError(f"it is not JSON ({name} is no JSON)")


def _number(text: str) -> float:
    value = float(text)
    if value - value:  # NaN, which is true, for an infinity
        raise ValueError(f"it holds {text[:40]}, which is larger than any number that programs hold (1.8e308)")
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys: set[str] = set()
        twice = next(key for key, _ in pairs if key in keys or keys.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"it has the key {twice[:60]!r} twice in one object")
    return found


_strict = json.JSONDecoder(parse_constant=_no_constant, parse_float=_number, object_pairs_hook=_object)
_lenient = json.JSONDecoder(object_pairs_hook=_object)
