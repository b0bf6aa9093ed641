"""Nothing that a command reads may be written, replaced or removed by it; found out before anything is touched."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from ipexlaunch.errors import RequestError


def refuse_overlaps(reads: Iterable[tuple[str, str | None]], writes: Iterable[tuple[str, str | None]]) -> None:
    """Compare every file that a command reads with every one that it writes, and those that it writes with each other.

    Files are the same where device and inode are (another path, a link); files that do not exist yet, where their
    resolved paths are. Devices and pipes are streams and may be named twice.

    Args:
        reads: (what it is, as words of a message such as "the input"; its path, None where there is none).
        writes: the same for everything that is written, replaced or removed, files beside an output included.

    Raises:
        RequestError: one file has two uses; nothing has been touched.
    """
    seen: dict[object, tuple[str, str]] = {}
    for what, path in reads:
        if path is not None and (identity := _identity(path)) is not None:
            seen.setdefault(identity, (what, path))
    for what, path in writes:
        if path is None or (identity := _identity(path)) is None:
            continue
        former = seen.setdefault(identity, (what, path))
        if former != (what, path):
            same = "" if former[1] == path else f" ({former[1]})"
            raise RequestError(f"write {what} to {path}", f"it is {former[0]}{same}", "give another path")


def _identity(path: str) -> object:
    """What tells one file from another; None for what is no file."""
    try:
        status = os.stat(path)
    except OSError:
        folder, name = os.path.split(os.path.realpath(path))
        try:
            above = os.stat(folder)  # which may be mounted in two places
        except OSError:
            return os.path.join(folder, name)
        return (above.st_dev, above.st_ino, name)
    if stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode):
        return (status.st_dev, status.st_ino)
    return None
