"""Read the files that the checks name, under one root, each with its text or the reason why there is none."""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Sequence
from dataclasses import replace

from ipexlaunch.doctor.host_files_read import MISSING, FileText, HostFiles, Unread
from ipexlaunch.machine.proc_files import is_stand_in

LONGEST_BYTES = 1 << 18
"""No file that is read whole comes near it on 2,048 cpus (/proc/self/status has 3 KiB there)."""

BEGINNING_IS_ENOUGH = ("/proc/cpuinfo", "/proc/stat")
"""Files that grow with the machine and of which only the first part is wanted."""


def read_host_files(root: str, patterns: Sequence[str]) -> HostFiles:
    """Every file that the patterns name, as it stands under the root.

    Args:
        root: "/" or the folder of a saved tree that holds sys/ and proc/.
        patterns: paths as on the host, with `*` for one part of a name.
    """
    root, live = root.rstrip("/"), is_live(root)
    readings: dict[str, FileText] = {}
    for pattern in patterns:
        found = glob.glob(glob.escape(root) + pattern) if "*" in pattern else [root + pattern]
        for path in found:
            shown = path[len(root) :]
            readings[shown] = read_file(path, shown)
            if live and readings[shown].text is not None and is_stand_in(path):
                readings[shown] = replace(readings[shown], stand_in=True)
    return HostFiles(readings, tuple(patterns), live=live)


def is_live(root: str) -> bool:
    """Whether the root is that of this host."""
    return os.path.realpath(root or "/") == "/"


def read_file(path: str, shown: str) -> FileText:
    """One file.

    Args:
        path: where it is.
        shown: its path as on the host.
    """
    try:
        # O_NONBLOCK: a pipe in a saved tree must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return FileText(shown, problem="it is not a regular file")
            data = _read_some(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return FileText(shown, problem=MISSING)
    except OSError as error:
        return FileText(shown, problem=f"it cannot be read ({error.strerror})")
    if len(data) > LONGEST_BYTES and shown not in BEGINNING_IS_ENOUGH:
        return FileText(shown, problem=f"it is longer than {LONGEST_BYTES} bytes")
    data = data[:LONGEST_BYTES]
    if b"\0" in data.rstrip(b"\0\n"):
        return FileText(shown, problem="it is not text")
    return FileText(shown, text=data.rstrip(b"\0").decode(errors="replace"))


def _read_some(descriptor: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= LONGEST_BYTES:
        part = os.read(descriptor, LONGEST_BYTES + 1 - size)  # procfs gives one page at a time
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def read_environment(root: str) -> dict[str, str] | Unread:
    """The variables that this process was started with, from /proc/self/environ under the root.

    Args:
        root: "/" or the folder of a saved tree.
    """
    shown = "/proc/self/environ"
    try:
        with open(root.rstrip("/") + shown, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return Unread(shown, MISSING)
    except OSError as error:
        return Unread(shown, f"it cannot be read ({error.strerror})")
    pairs = (os.fsdecode(part).partition("=") for part in data.split(b"\0"))
    return {name: value for name, equals, value in pairs if name and equals}
