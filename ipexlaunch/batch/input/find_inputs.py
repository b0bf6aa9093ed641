"""The files that --input names: each by its own name, or those that a pattern matches."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ipexlaunch.batch.input.decompress import COMPRESSED_SUFFIXES
from ipexlaunch.batch.input.input_rules import SUFFIXES, InputFormat
from ipexlaunch.errors import RequestError

STDIN = "-"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a job reads, in this order."""

    paths: tuple[str, ...]
    several: bool
    """Whether an item's id names its file too: more than one was asked for, or a pattern, whatever it matches now."""


def find_inputs(asked: Sequence[str]) -> Inputs:
    """The files that were asked for; what a pattern matches is sorted by name.

    Args:
        asked: paths, "-" for standard input, or patterns (`*`, `?`, `[...]`, `**` for any folders).

    Raises:
        RequestError: a pattern matches nothing, a file is named twice, or standard input is not alone.
    """
    paths: list[str] = []
    is_pattern = False
    for given in asked:
        if not glob.has_magic(given) or os.path.exists(given):
            paths.append(given)
            continue
        found = sorted(path for path in glob.glob(given, recursive=True) if not os.path.isdir(path))
        if not found:
            raise RequestError(f"read {given}", "no file has a name like that", "give the files, or another pattern")
        is_pattern = True
        paths += found
    if STDIN in paths and len(paths) > 1:
        raise RequestError("read standard input and files", "standard input goes alone", "cat FILES - | ... --input -")
    _refuse_doubles(paths)
    return Inputs(tuple(paths), is_pattern or len(paths) > 1)


def shown_name(path: str) -> str:
    """A path as text that every document can hold: bytes that are no UTF-8 are written as escapes."""
    return os.fsencode(path).decode(errors="backslashreplace")


def format_of(path: str, asked: str) -> InputFormat:
    """The format of an input: as asked, or by the end of its name before .gz or .zst; standard input is JSON lines.

    Args:
        path: of the file, or "-".
        asked: "auto" or a format.

    Raises:
        RequestError: the name says nothing, or there is no file of that name either.
    """
    if asked != "auto":
        return asked  # type: ignore[return-value]  # the command line offers no others
    if path == STDIN:
        return "jsonl"
    name = path.lower()
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    suffix = os.path.splitext(name)[1]
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if not os.path.exists(path):
        raise RequestError(f"read {path}", "there is no such file", "give the path of one that is there")
    raise RequestError(
        f"tell what {path} holds", "its name does not end in " + ", ".join(SUFFIXES), "give --format jsonl|text|csv|..."
    )


def _refuse_doubles(paths: Sequence[str]) -> None:
    """One file twice would have two of each id."""
    seen: dict[object, str] = {}
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            continue  # who opens it says so
        former = seen.setdefault((status.st_dev, status.st_ino), path)
        if former != path or paths.count(path) > 1:
            same = "" if former == path else f": {former} is the same file"
            raise RequestError(f"read {path} once", f"it is named twice{same}", "name each file once")
