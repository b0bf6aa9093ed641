"""Programs that start processes of their own, and how many: each inherits OMP_NUM_THREADS, so it must be divided.

Sources: torch/distributed/run.py (OMP_NUM_THREADS is set to 1 where it is not set and there are several processes),
accelerate's and deepspeed's launchers, mpiexec(1) of Open MPI and MPICH, gunicorn, uvicorn, xargs(1), parallel(1),
make(1), pytest-xdist.

How a process ended, in words.

What the system may refuse to a process whatever it does, and what helps.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

STARTERS: dict[str, tuple[tuple[str, ...], int | None]] = {
    "torchrun": (("--nproc-per-node", "--nproc_per_node"), 1),
    "torch.distributed.run": (("--nproc-per-node", "--nproc_per_node"), 1),
    "torch.distributed.launch": (("--nproc-per-node", "--nproc_per_node"), 1),
    "accelerate": (("--num_processes", "--num-processes"), None),
    "accelerate.commands.launch": (("--num_processes", "--num-processes"), None),
    "deepspeed": (("--num_gpus", "--num_accelerators"), None),
    "horovodrun": (("-np", "--num-proc"), None),
    "mpirun": (("-n", "-np", "--np", "-c"), None),
    "mpiexec": (("-n", "-np", "--np", "-c"), None),
    "mpiexec.hydra": (("-n", "-np", "--np"), None),
    "orterun": (("-n", "-np", "--np", "-c"), None),
    "prterun": (("-n", "-np", "--np", "-c"), None),
    "dask-worker": (("--nworkers",), None),
    "gunicorn": (("-w", "--workers"), 1),
    "uvicorn": (("--workers",), 1),
    "xargs": (("-P", "--max-procs"), 1),
    "parallel": (("-j", "--jobs", "-P", "--max-procs"), None),
    "make": (("-j", "--jobs"), 1),
    "pytest": (("-n", "--numprocesses"), 1),
}
"""Name of the program or module to its options with the number of processes, and the number without them; None: as it
finds the machine, or as its own settings say."""


WRAPPERS = frozenset({"env", "nice", "ionice", "chrt", "taskset", "numactl", "setsid", "stdbuf", "time", "timeout"})
"""Programs that become, or start, the one that stands among their arguments."""


def unwrapped(program: str, arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The starter of processes that a wrapper is given, and its arguments; what was given where there is none.

    Args:
        program: a path or a module's name.
        arguments: its own.
    """
    if program.rpartition("/")[2] in WRAPPERS:
        for i, argument in enumerate(arguments):
            if starter_of(argument):
                return argument, arguments[i + 1 :]
    return program, arguments


def starter_of(program: str) -> str:
    """The name in the table that a program, script or module has; "" for any other.

    Args:
        program: a path or a module's name.
    """
    name = program.rpartition("/")[2].removesuffix(".py")
    return name if name in STARTERS else ""


def processes_of(starter: str, arguments: Sequence[str]) -> int | None:
    """How many processes it starts; None where that cannot be told from its arguments.

    Args:
        starter: its name in the table.
        arguments: its own.
    """
    options, default = STARTERS[starter]
    for i, argument in enumerate(arguments):
        for option in options:
            is_short = not option.startswith("--") and len(option) == 2
            if argument == option:
                return _count(arguments[i + 1] if i + 1 < len(arguments) else "")
            if argument.startswith(f"{option}="):
                return _count(argument[len(option) + 1 :])
            if is_short and argument.startswith(option) and argument[2:].isdecimal():
                return _count(argument[2:])
    return default


def _count(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and 0 < int(text) < 1 << 20 else None


SIGNAL_NAMES = {
    1: "HUP",
    2: "INT",
    3: "QUIT",
    4: "ILL",
    6: "ABRT",
    7: "BUS",
    8: "FPE",
    9: "KILL",
    11: "SEGV",
    15: "TERM",
}
"""signal(7), the numbers that are the same on x86 and ARM."""

SIGNAL_MEANINGS = {
    4: "the program uses an instruction that this cpu does not have",
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
