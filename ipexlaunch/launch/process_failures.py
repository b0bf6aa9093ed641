"""How a process ended, in words; what the system may refuse to a process whatever it does, and what helps."""

from __future__ import annotations

import errno

SIGNAL_NAMES = {
    1: "HUP",
    2: "INT",
    3: "QUIT",
    4: "ILL",
    6: "ABRT",
    7: "BUS",
    8: "FPE",
    9: "KILL",
    10: "USR1",
    11: "SEGV",
    15: "TERM",
}
"""signal(7), the numbers that are the same on x86 and ARM."""

SIGNAL_MEANINGS = {
    4: "the program uses an instruction that this cpu does not have",
    7: "memory that is a file's could not be had: /dev/shm or a disk may be full",
    8: "it divided by zero; OpenVINO does so for decoders in bf16 on one core with AMX, where two cores help",
    9: "if nobody killed it by hand, the kernel did: out of memory (see dmesg)",
}


def describe_exit(code: int) -> str:
    """A process's return code in words, e.g. "ended with exit code 5" or "was killed by SIGKILL (...)"."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = SIGNAL_NAMES.get(-code)
    text = f"was killed by {f'SIG{name}' if name else f'signal {-code}'}"
    return f"{text} ({SIGNAL_MEANINGS[-code]})" if -code in SIGNAL_MEANINGS else text


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
