"""The one way to write a whole file: aside, synced, renamed; whatever fails, the old file is still there, whole.

A target that is no regular file (a pipe, a character device, /dev/stdout, /dev/fd/N) is written to as a stream and is
never removed or renamed over. A disk (a block device) is no place for a file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
import stat
from collections.abc import Iterable, Iterator
from typing import BinaryIO

from ipexlaunch.errors import LaunchError

NEW_FILE = 0o666
"""Before the umask."""

HALF_A_PAIR = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Surrogates that stand for no byte."""

STREAM_PATIENCE_S = 10.0
"""How long the reader of a pipe may take nothing of a whole file before it counts as lost."""

LINKS_FOLLOWED = 40
"""As many as Linux follows (path_resolution(7))."""


def write_file(path: str, content: str | bytes | Iterable[str | bytes], *, mode: int | None = None) -> None:
    """Put the content under the path, whole or not at all; missing directories are made.

    Args:
        path: of a file, which need not exist; where it is a symbolic link, the file that it points to is replaced.
        content: text, written as UTF-8 with surrogate escapes as the bytes that they stand for, or bytes; or parts.
        mode: permissions of the file; None keeps those of the file that is there, or follows the umask.

    Raises:
        OSError: it cannot be written; what was there before is untouched, and nothing is left beside it.
    """
    parts = [content] if isinstance(content, (str, bytes)) else content
    if is_stream(path):
        _write_stream(path, parts)
        return
    with replaced_file(path, mode=mode) as file:
        for part in parts:
            file.write(_bytes(part))


@contextlib.contextmanager
def replaced_file(path: str, *, mode: int | None = None, aside: str = "") -> Iterator[BinaryIO]:
    """A file to write to that takes the path's place, synced, when the block ends well; else it is removed.

    Args:
        path: of a regular file, which need not exist; a symbolic link's target is replaced.
        mode: as for `write_file`.
        aside: where it stands meanwhile, in the path's own directory; what a killed process left there is removed.
            Else a fresh name.

    Raises:
        OSError: it cannot be written; what was there before is untouched, and nothing is left beside it.
    """
    target = os.path.realpath(path)
    directory = os.path.dirname(target)
    os.makedirs(directory, exist_ok=True)
    _check_permission(target)
    aside = aside or _aside(directory)
    if os.path.islink(aside) or os.path.isfile(aside):
        os.unlink(aside)
    descriptor = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE if mode is None else mode)
    try:
        with open(descriptor, "wb", buffering=1 << 20) as file:
            _keep_owner(target, descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        os.replace(aside, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(aside)
        raise
    sync_directory(directory)


def check_writable(path: str, what: str, *, regular: bool = False) -> None:
    """Find out before any work that `write_file` could not write there; nothing is made.

    Args:
        path: of the file that will be written.
        what: what it will hold, as a phrase for the message, such as "the report".
        regular: whether a stream will not do.

    Raises:
        LaunchError: it names a directory or a disk, or nothing can be written there.
    """
    target, wanted, hint = os.path.realpath(path), f"write {what} to {path}", "give the path of a file"
    if os.path.isdir(target) or path.endswith(os.sep):
        raise LaunchError(wanted, "it is a directory", hint)
    try:
        if is_stream(path):
            if regular:
                raise LaunchError(wanted, "it is no regular file", hint)
            _check_stream(path)
        elif _is_mounted(target):
            raise LaunchError(wanted, "it is a mount point, which cannot be replaced", "mount its directory instead")
        else:
            _check_permission(target)
            os.close(_opened_in(os.path.dirname(target)))
    except OSError as error:
        raise LaunchError(wanted, str(error.strerror), "give a path that can be written") from None


def check_directory(path: str, what: str, hint: str = "give a directory that can be made") -> None:
    """Find out before any work that no file could be made in a directory; where it is missing, it is not made yet.

    Args:
        path: of the directory.
        what: what it will hold, as a phrase for the message, such as "logs".
        hint: what would work.

    Raises:
        LaunchError: it is no directory, or nothing can be written there.
    """
    wanted = f"keep {what} in {path}"
    if os.path.exists(path) and not os.path.isdir(path):
        raise LaunchError(wanted, "it is no directory", hint)
    try:
        os.close(_opened_in(os.path.realpath(path)))
    except OSError as error:
        raise LaunchError(wanted, str(error.strerror), hint) from None


def is_stream(path: str) -> bool:
    """Whether the path names something to write to that is neither a file nor a directory.

    Args:
        path: any; "-" is a file of that name here, and so is what cannot be looked at.
    """
    if descriptor_of(path) is not None:
        return True
    try:
        kind = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


def descriptor_of(path: str) -> int | None:
    """The descriptor of this process that /dev/stdout, /dev/fd/N and the like stand for; None for every other path.

    Args:
        path: any.
    """
    for _ in range(LINKS_FOLLOWED):
        folder, name = os.path.split(os.path.abspath(path))
        if name.isdecimal() and re.fullmatch(rf"/proc/{os.getpid()}(/task/\d+)?/fd", os.path.realpath(folder)):
            return int(name)
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return None
    return None


def open_stream(path: str) -> int:
    """A new descriptor of a stream; nobody is waited for.

    Args:
        path: for which `is_stream` is true.

    Raises:
        OSError: it cannot be opened; a pipe that nobody reads, too.
    """
    number = descriptor_of(path)
    if number is not None:
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "it is open for reading only")
        return os.dup(number)  # to open it again would begin at the start of a file that stands behind it
    if stat.S_ISBLK(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is a disk")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads it") from None
        raise
    os.set_blocking(descriptor, True)
    return descriptor


def sync_directory(directory: str) -> None:
    """Make the names in a directory last through a crash of the machine, where its file system can.

    Args:
        directory: its path.
    """
    with contextlib.suppress(OSError):  # some network file systems refuse it, or it is not ours to list
        descriptor = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _check_permission(target: str) -> None:
    """A file that may not be written is not replaced either, though its directory would allow that."""
    try:
        os.stat(target)
    except FileNotFoundError:
        return
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _write_stream(path: str, parts: Iterable[str | bytes]) -> None:
    descriptor = open_stream(path)
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLOUT)
        for part in parts:
            data = memoryview(_bytes(part))
            while data:
                if not poller.poll(STREAM_PATIENCE_S * 1000):
                    raise OSError(errno.ETIMEDOUT, "its reader takes nothing")
                # What a pipe that is ready takes without blocking (pipe(7)).
                data = data[os.write(descriptor, data[: select.PIPE_BUF]) :]
    finally:
        os.close(descriptor)


def _check_stream(path: str) -> None:
    """A named pipe is not opened: its reader would see an end."""
    if descriptor_of(path) is not None or not stat.S_ISFIFO(os.stat(path).st_mode):
        os.close(open_stream(path))
    elif not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _opened_in(directory: str) -> int:
    """A descriptor of a nameless trial file in a directory, or in the nearest one above that is there."""
    while not os.path.lexists(directory):
        directory = os.path.dirname(directory)
    aside = _aside(directory)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, NEW_FILE)
    os.unlink(aside)
    return descriptor


def _is_mounted(target: str) -> bool:
    """Whether a file is a mount point, as a container's are whose single files come from outside."""
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as mounts:
            points = {line.split(" ", 5)[4] for line in mounts}
    except (OSError, IndexError):
        return False
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in target) in points  # proc_pid_mountinfo(5)


def _aside(directory: str) -> str:
    """A fresh name in the target's own directory: a rename works within one file system only."""
    return os.path.join(directory, f".ipexlaunch-{os.urandom(6).hex()}.part")


def _keep_owner(target: str, descriptor: int, mode: int | None) -> None:
    """Give the new file the owner and the permissions of the one that it replaces."""
    try:
        before = os.stat(target)
    except FileNotFoundError:
        return
    with contextlib.suppress(PermissionError):  # only root may give files away; then the writer owns it
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode) if mode is None else mode)


def _bytes(part: str | bytes) -> bytes:
    if isinstance(part, bytes):
        return part
    try:
        return part.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        # Half a surrogate pair, which JSON can hold as an escape: so it is written, and read back the same.
        return HALF_A_PAIR.sub(lambda half: f"\\u{ord(half[0]):04x}", part).encode("utf-8", "surrogateescape")
