"""Read the small files of /proc, many and often, of processes that may end at any moment."""

from __future__ import annotations

import os

BUFFER_BYTES = 1 << 16
LINE_BYTES = 4096


def is_stand_in(path: str) -> bool:
    """Whether something else is mounted in the place of one file of /proc or /sys, as lxcfs does in containers.

    Such a file tells of the container and not of the host: its cpus may be numbered anew, its sums are the container's.

    Args:
        path: below /proc or /sys of the live machine; any other path is none.
    """
    if not path.startswith(("/proc/", "/sys/")):
        return False
    try:
        return os.stat(path).st_dev != os.stat("/".join(path.split("/")[:2])).st_dev
    except OSError:
        return False


def children_of(thread: str) -> list[int]:
    """The processes that a thread has started and that live.

    Args:
        thread: its directory, /proc/PID/task/TID.

    Source: proc(5), children (CONFIG_PROC_CHILDREN).
    """
    return [int(child) for child in (text_of(f"{thread}/children") or "").split()]


def names_in(path: str) -> list[str]:
    """What a directory holds; nothing where its process has ended."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def line_of(path: str) -> str:
    """A text of one line; the kernel gives it in one read.

    Raises:
        FileNotFoundError, ProcessLookupError: it is gone.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, LINE_BYTES).decode(errors="replace")
    finally:
        os.close(descriptor)


def text_of(path: str) -> str | None:
    """The file's text; None where it does not exist, its process is gone, or it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, BUFFER_BYTES):
            parts.append(part)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="replace")
