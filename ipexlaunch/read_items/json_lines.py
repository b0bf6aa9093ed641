"""Items from a file with one JSON value a line, read in blocks so that memory stays flat."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

from ipexlaunch.batching.items import Item
from ipexlaunch.errors import DocumentError

LONGEST_LINE_BYTES = 64 << 20
"""A longer line is an error: it would be held in memory several times."""

BLOCK_BYTES = 1 << 20


def read_json_lines(
    path: str,
    id_field: str | None = None,
    skip: Callable[[int], bool] = lambda number: False,  # noqa: ARG005 (none is skipped)
    longest_line_bytes: int = LONGEST_LINE_BYTES,
) -> Iterator[Item]:
    """Every item of a file, in order; empty lines are none.

    Args:
        path: of the file.
        id_field: the key of an object's id; the number of the line where it is not given.
        skip: whether the item of this number is not wanted; its line is not looked at.
        longest_line_bytes: a longer line is an error.

    Raises:
        DocumentError: a line is not JSON, not UTF-8, too long, or has no id; what was yielded before stands.
    """
    number = 0
    for line_number, line in enumerate(_lines(path, longest_line_bytes), 1):
        if not line or line.isspace():
            continue
        if not skip(number):
            try:
                value = _decode(line.decode())
            except UnicodeDecodeError as error:
                raise DocumentError(
                    path, f"line {line_number}", f"it is not UTF-8 (byte {error.start} is 0x{line[error.start]:02x})"
                ) from None
            except (ValueError, RecursionError) as error:
                raise DocumentError(path, f"line {line_number}", f"it is not JSON ({error})") from None
            given = line_number if id_field is None else _id(value, id_field, path, line_number)
            yield Item(number, given, value, len(line))
        number += 1


def _decode(text: str) -> object:
    return _decoder.decode(text)


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)


def _id(value: object, field: str, path: str, line_number: int) -> str | int:
    given = value.get(field) if isinstance(value, dict) else None
    if isinstance(given, str) or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    raise DocumentError(
        path,
        f"line {line_number}",
        f"its id {field!r} is {'missing' if given is None else 'neither text nor a number'}",
    )


def _lines(path: str, longest: int) -> Iterator[bytes]:
    rest, count = b"", 0
    with open(path, "rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            lines = (rest + block).split(b"\n") if b"\n" in block else [rest + block]
            rest = lines.pop()
            yield from lines
            count += len(lines)
            if len(rest) > longest:
                raise DocumentError(
                    path, f"line {count + 1}", f"it is longer than {longest} bytes", "see --max-line-mb"
                )
    if rest:
        yield rest
