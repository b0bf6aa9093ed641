"""Names that are made once, whoever else tries at the same moment on any host: by O_EXCL, or by link(2), whole.

After an error of link(2) the name is looked at, not the error: a server that did it may have lost its answer, and some
file systems say EPERM where a name is taken. Whose it is then says what the file holds.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from ipexlaunch.documents.write_file import sync_directory

NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

SEEN_WITHIN_S = 90.0
"""A name that another host has made is seen by then: clients of NFS keep what they know of a directory for a minute."""

REFUSED_WITHIN_S = 2.0
"""How long a name is looked for where link(2) says something else than that it is taken."""

LOOK_S = 0.2


def write_new(path: str, text: str, *, sync: bool = True) -> None:
    """Make a file that nobody else writes.

    Args:
        path: of the file.
        text: what is in it; surrogate escapes are the bytes that they stand for.
        sync: whether it must outlast its host; on a network file system others see it once it is closed.

    Raises:
        OSError: there is one, or it cannot be written.
    """
    with open(os.open(path, NEW, 0o666), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        if sync:
            file.flush()
            os.fsync(file.fileno())


def link_once(own: str, name: str) -> None:
    """Give a file a second name, unless there is one like that; either way the name is there then.

    Args:
        own: the file, whole and synced.
        name: in a directory of the same file system.

    Raises:
        OSError: it cannot be made, and is not there.
    """
    try:
        os.link(own, name, follow_symlinks=False)
    except OSError as error:
        _wait_for(name, error)
    sync_directory(os.path.dirname(name))


def link_whole(path: str, text: str) -> bool:
    """Make a file with all that is in it, unless there is one; whether it holds this text.

    Args:
        path: of the file.
        text: what is in it.

    Raises:
        OSError: it cannot be made, and is not there.
    """
    fresh = f"{path}.{os.urandom(6).hex()}"
    try:
        write_new(fresh, text)
        link_once(fresh, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
    with open(path, "rb") as file:
        return file.read() == text.encode("utf-8", "surrogateescape")


def _wait_for(name: str, error: OSError) -> None:
    """Return once the name is there.

    Raises:
        OSError: this error, where it is not.
    """
    patience_s = SEEN_WITHIN_S if error.errno == errno.EEXIST else REFUSED_WITHIN_S
    deadline = time.monotonic() + patience_s
    while not os.path.lexists(name):
        if time.monotonic() > deadline:
            raise error
        time.sleep(LOOK_S)
