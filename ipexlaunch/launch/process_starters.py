"""Programs that start processes of their own, and how many: each inherits OMP_NUM_THREADS, so it must be divided.

Sources: torch/distributed/run.py (OMP_NUM_THREADS is set to 1 where it is not set and there are several processes),
accelerate's and deepspeed's launchers, mpiexec(1) of Open MPI and MPICH, gunicorn, uvicorn, xargs(1), parallel(1),
make(1), pytest-xdist.
"""

from __future__ import annotations

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
