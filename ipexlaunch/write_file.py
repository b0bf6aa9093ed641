"""The one way to write a whole file: aside, synced, renamed; whatever fails, the old file is still there, whole.

A target that is no regular file (a device, a pipe) is written to as a stream and is never removed or renamed over.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterable

from ipexlaunch.errors import LaunchError

NEW_FILE = 0o666
"""Before the umask."""


def write_file(path: str, content: str | bytes | Iterable[str], *, mode: int | None = None) -> None:
    """Put the content under the path, whole or not at all; missing directories are made.

    Args:
        path: of a file, which need not exist; where it is a symbolic link, the file that it points to is replaced.
        content: text, written as UTF-8 with surrogate escapes as the bytes that they stand for, or bytes.
        mode: permissions of the file; None keeps those of the file that is there, or follows the umask.

    Raises:
        OSError: it cannot be written; what was there before is untouched, and nothing is left beside it.
    """
    target = os.path.realpath(path)
    if _is_stream(target):
        with open(os.open(target, os.O_WRONLY | os.O_CLOEXEC), "wb") as stream:
            _write(stream.fileno(), content)
        return
    directory = os.path.dirname(target)
    os.makedirs(directory, exist_ok=True)
    aside = _aside(directory)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE if mode is None else mode)
    try:
        with contextlib.closing(open(descriptor, "wb", buffering=0)):
            _keep_owner(target, descriptor, mode)
            _write(descriptor, content)
            os.fsync(descriptor)
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    sync_directory(directory)


def check_writable(path: str, what: str) -> None:
    """Find out before any work that `write_file` could not write there; missing directories are made.

    Args:
        path: of the file that will be written.
        what: what it will hold, as a phrase for the message, such as "the report".

    Raises:
        LaunchError: it names a directory, or nothing can be written there.
    """
    target, wanted = os.path.realpath(path), f"write {what} to {path}"
    if os.path.isdir(target):
        raise LaunchError(wanted, "it is a directory", "give the path of a file")
    try:
        if _is_stream(target):
            if not os.access(target, os.W_OK):
                raise PermissionError(13, "Permission denied")
            return
        directory = os.path.dirname(target)
        os.makedirs(directory, exist_ok=True)
        aside = _aside(directory)
        os.close(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE))
        os.unlink(aside)
    except OSError as error:
        raise LaunchError(wanted, str(error.strerror), "give a path that can be written") from None


def sync_directory(directory: str) -> None:
    """Make the names in a directory last through a crash of the machine, where its file system can.

    Args:
        directory: its path.
    """
    descriptor = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # some network file systems refuse it; the file itself is synced
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _aside(directory: str) -> str:
    """A fresh name in the target's own directory: a rename works within one file system only."""
    return os.path.join(directory, f".ipexlaunch-{os.urandom(6).hex()}.part")


def _is_stream(target: str) -> bool:
    """Whether something that is neither a regular file nor a directory has the name."""
    try:
        kind = os.stat(target).st_mode
    except FileNotFoundError:
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def _keep_owner(target: str, descriptor: int, mode: int | None) -> None:
    """Give the new file the owner and the permissions of the one that it replaces."""
    try:
        before = os.stat(target)
    except FileNotFoundError:
        return
    with contextlib.suppress(PermissionError):  # only root may give files away; then the writer owns it
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) if mode is None else mode)


def _write(descriptor: int, content: str | bytes | Iterable[str]) -> None:
    parts = [content] if isinstance(content, (str, bytes)) else content
    for part in parts:
        data = memoryview(part if isinstance(part, bytes) else part.encode("utf-8", "surrogateescape"))
        while data:
            data = data[os.write(descriptor, data) :]
