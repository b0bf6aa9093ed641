"""What a process may be refused because too much of it is in use, and what raises the limit."""

from __future__ import annotations

import errno

REMEDIES = {
    errno.EAGAIN: "allow more processes and threads (ulimit -u; pids.max of the container)",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "the host has too many open files: raise fs.file-max",
    errno.ENOMEM: "allow more memory (ulimit -v; memory.max of the container)",
}
"""errno(3), as fork(2), pthread_create(3), open(2) and socketpair(2) give them."""

NO_THREAD = "can't start new thread"
"""All that Python says of EAGAIN of pthread_create."""


def remedy_of(error: BaseException) -> str:
    """What would work where an error is a shortage; "" for every other one.

    Args:
        error: any.
    """
    if isinstance(error, RuntimeError):
        return REMEDIES[errno.EAGAIN] if str(error) == NO_THREAD else ""
    if isinstance(error, MemoryError):
        return REMEDIES[errno.ENOMEM]
    return REMEDIES.get(error.errno or 0, "") if isinstance(error, OSError) else ""
