"""What the system may refuse to a process whatever it does, and what helps."""

from __future__ import annotations

import errno

REMEDIES = {
    errno.EAGAIN: "allow more processes and threads (ulimit -u; pids.max of the container)",
    errno.EMFILE: "allow more open files (ulimit -n)",
    errno.ENFILE: "the host has too many open files: raise fs.file-max",
    errno.ENOMEM: "allow more memory (ulimit -v; memory.max of the container)",
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there: this user's quota is used up",
    errno.EROFS: "name a place that can be written",
}
"""errno(3), as fork(2), pthread_create(3), open(2) and socketpair(2) give them."""

NO_THREAD = "can't start new thread"
"""All that Python says of EAGAIN of pthread_create."""

NO_DIRECTORY = "No usable temporary directory"
"""What Python's tempfile begins with where neither TMPDIR nor /tmp nor the current directory can be written."""


def remedy_of(error: BaseException) -> str:
    """What would work where an error is such a refusal; "" for every other one.

    Args:
        error: any.
    """
    if isinstance(error, RuntimeError):
        return REMEDIES[errno.EAGAIN] if str(error) == NO_THREAD else ""
    if isinstance(error, MemoryError):
        return REMEDIES[errno.ENOMEM]
    if isinstance(error, FileNotFoundError) and (error.strerror or "").startswith(NO_DIRECTORY):
        return "set TMPDIR to a directory that can be written"
    return REMEDIES.get(error.errno or 0, "") if isinstance(error, OSError) else ""
