"""Job + Plan -> Launch: the command line and environment of every worker, decided before anything starts.

Pure: what the machine has (libraries, variables) comes in as values. Programs that start processes of their own are in
a table: each process inherits OMP_NUM_THREADS, so it must be divided.

Sources of the table: torch/distributed/run.py (OMP_NUM_THREADS is set to 1 where it is not set and there are several
processes), accelerate's and deepspeed's launchers, mpiexec(1) of Open MPI and MPICH, gunicorn, uvicorn, xargs(1),
parallel(1), make(1), pytest-xdist.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ipexlaunch.doctor.worker_variables import library_name, main_thread_pinning, mismatched_thread_counts, preloaded_in
from ipexlaunch.errors import RequestError
from ipexlaunch.launch.job import Job, Launch, Worker
from ipexlaunch.plan.devices import cache_variables, device_variables
from ipexlaunch.plan.plan import Instance, Plan, fill_template, names_in, values_of

JEMALLOC_SETTINGS = "oversize_threshold:1,background_thread:true,metadata_thp:auto"
JEMALLOC_BENCHMARK_SETTINGS = (
    "oversize_threshold:1,background_thread:false,metadata_thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1"
)
"""MALLOC_CONF that ipexrun documents for jemalloc, and for its --benchmark option."""

IOMP_AFFINITY = "granularity=fine,compact,1,0,reset"
"""KMP_AFFINITY that pins OpenMP's threads but, by "reset", gives the main thread its whole slice back.

Without it the main thread stays on one cpu, and every child (DataLoader worker, tokenizer) inherits that cpu.
"""

FIXES = "/fix_pinning"
"""Directory beside a job's module_path with the packages that stand before libraries of these names."""

IOMP_BLOCKTIME_MS = "1"
"""KMP_BLOCKTIME: how long an idle thread spins; ipexrun's value, right where several instances share a machine."""

NO_WARM_POOL = {"TORCH_WARM_POOL": "0"}
"""Keeps torch's inductor from starting its compile pool (up to 32 processes inside the slice) when it is imported, as
IPEX does; who compiles makes it then. Source: torch/_inductor/async_compile.py, maybe_warm_pool."""


def make_launch(plan: Plan, job: Job, inherited: Mapping[str, str]) -> Launch:
    """The command and environment of every worker; what the user set wins, except a thread count that is not theirs.

    Args:
        plan: the instances.
        job: the program.
        inherited: the launcher's own environment.

    Raises:
        RequestError: a variable name of --env is not one.
    """
    for name in job.environment:
        if not name or "=" in name or "\0" in name:
            raise RequestError(f"set the variable {name!r}", "that is not a name", "write --env NAME=VALUE")
    _check_ports(plan, job)
    replaced = _replaced(plan, job, inherited)
    notes = [*job.remarks, *_notes(plan, job, inherited, replaced)]
    workers = tuple(_worker(instance, len(plan.instances), job, inherited, replaced) for instance in plan.chosen)
    return Launch(plan=plan, job=job, workers=workers, notes=tuple(notes))


LARGEST_PORT = 65535


def _check_ports(plan: Plan, job: Job) -> None:
    """Refuse ports that there are not, where the program is told any."""
    last = job.first_port + max((instance.index for instance in plan.chosen), default=0)
    words = (*job.arguments, *job.environment.values())
    if last > LARGEST_PORT and any("port" in names_in(word) for word in words):
        raise RequestError(
            f"give every instance a port from {job.first_port} on",
            f"the last would have {last}, and ports end at {LARGEST_PORT}",
            f"give --port {LARGEST_PORT - (last - job.first_port)} at most",
        )


def _replaced(plan: Plan, job: Job, inherited: Mapping[str, str]) -> dict[str, str]:
    """Counts of threads of the caller's shell that are none of an instance's, and are replaced."""
    threads = [instance.threads for instance in plan.instances]
    return {k: v for k, v in mismatched_thread_counts(inherited, threads).items() if k not in job.environment}


def _starter_in(job: Job) -> tuple[str, int | None]:
    """The starter of processes that it is ("" for none), and how many; None where its program finds that out itself."""
    program, arguments = unwrapped(job.program, job.arguments)
    starter = starter_of(program)
    return starter, processes_of(starter, arguments) if starter else 1


def _threads_of(instance: Instance, job: Job) -> int | None:
    """Threads of each process of an instance; None where its program finds that out by itself."""
    _, processes = _starter_in(job)
    return None if processes is None else max(1, instance.threads // processes)


def _worker(
    instance: Instance, count: int, job: Job, inherited: Mapping[str, str], replaced: Mapping[str, str]
) -> Worker:
    values = values_of(instance, count, job.first_port)
    own = {
        "IPEXLAUNCH_INDEX": values["index"],
        "IPEXLAUNCH_COUNT": values["count"],
        "IPEXLAUNCH_CPUS": values["cpus"],
        "IPEXLAUNCH_NODES": values["nodes"],
    }
    threads = _threads_of(instance, job)
    if threads is not None:
        own |= dict.fromkeys(("OMP_NUM_THREADS", *replaced), str(threads))
    if "PYTHONUNBUFFERED" not in inherited:
        own["PYTHONUNBUFFERED"] = "1"  # what a child of the program prints is seen when it prints it, too
    first = job.path_first if "PATH" not in job.environment else ""
    if first:
        own["PATH"] = ":".join(filter(None, [first, inherited.get("PATH", "")]))
    own |= {name: value for name, value in _runtime_settings(job).items() if name not in inherited}
    if instance.accelerator:
        own |= _accelerator_settings(job, instance.accelerator, inherited)
    preload = _preload(job, inherited)
    if preload:
        own["LD_PRELOAD"] = preload
    own |= {name: fill_template(value, values) for name, value in job.environment.items()}
    if job.module_path and ":" not in job.module_path:
        theirs = own.get("PYTHONPATH", inherited.get("PYTHONPATH", ""))
        fixes = [job.module_path.rpartition("/")[0] + FIXES] if job.fix_pinning else []
        own["PYTHONPATH"] = _python_path([job.module_path, *fixes], theirs)
    arguments = [fill_template(argument, values) for argument in job.arguments]
    return Worker(instance=instance, argv=(*_command(job), *arguments), environment=own, path_first=first)


def _command(job: Job) -> tuple[str, ...]:
    # -u: what a worker prints is seen when it prints it, though its output is a pipe.
    if job.kind == "module":
        return (job.python, "-u", *job.runner, "-m", job.program)
    if job.kind == "script":
        return (job.python, "-u", *job.runner, job.program)
    return (job.program,)


def _runtime_settings(job: Job) -> dict[str, str]:
    settings = dict(NO_WARM_POOL)
    if "iomp5" in job.libraries:
        settings["KMP_AFFINITY"] = IOMP_AFFINITY
        settings["KMP_BLOCKTIME"] = IOMP_BLOCKTIME_MS
    # Without it (libgomp) nothing is set: the mask of the process holds the threads in its slice, and every setting
    # that binds single threads would leave the main thread on one cpu.
    if "jemalloc" in job.libraries:
        settings["MALLOC_CONF"] = JEMALLOC_BENCHMARK_SETTINGS if job.benchmark else JEMALLOC_SETTINGS
    return settings


def _accelerator_settings(job: Job, accelerator: str, inherited: Mapping[str, str]) -> dict[str, str]:
    """Which accelerator the worker sees; where kernels are kept stays what the user has said."""
    kept = {k: v for k, v in cache_variables(accelerator, job.kernel_cache).items() if k not in inherited}
    return {"IPEXLAUNCH_ACCELERATOR": accelerator, **device_variables(accelerator), **kept}


def _python_path(ours: Sequence[str], theirs: str) -> str:
    """Ours first, so that nothing takes its place; nothing else is in it that could hide what is theirs."""
    kept = [folder for folder in theirs.split(":") if folder not in ours] if theirs else []
    return ":".join([*ours, *kept])


def _preload(job: Job, inherited: Mapping[str, str]) -> str:
    present = preloaded_in(inherited)
    names = {library_name(path) for path in present}
    added = [path for path in job.libraries.values() if library_name(path) not in names]
    return ":".join([*added, *present]) if added else ""


def _notes(plan: Plan, job: Job, inherited: Mapping[str, str], replaced: Mapping[str, str]) -> list[str]:
    notes: list[str] = []
    threads = {instance: _threads_of(instance, job) for instance in plan.instances}
    counts = ", ".join(sorted({str(count) for count in threads.values()}, key=lambda text: (len(text), text)))
    starter, processes = _starter_in(job)
    if "OMP_NUM_THREADS" in job.environment:
        pass  # the user has said it
    elif processes is None:
        notes.append(
            f"{starter} starts processes of its own: OMP_NUM_THREADS is left to it and to the environment; to set it: "
            "--env OMP_NUM_THREADS=N, the cores of an instance divided by its processes"
        )
    elif processes > 1:
        notes.append(
            f"{starter} starts {processes} processes in each instance: OMP_NUM_THREADS is {counts} in each of them, "
            "not that of the instance; for another count: --env OMP_NUM_THREADS=N"
        )
    if replaced and processes is not None:
        words = " and ".join(f"{name}={value}" for name, value in replaced.items())
        keep = " ".join(f"--env {name}={value}" for name, value in replaced.items())
        share = "the cores of each instance" if processes == 1 else "its processes' share of the cores"
        is_or_are = "is" if len(replaced) == 1 else "are"
        notes.append(f"{words} of the environment {is_or_are} replaced by {share} ({counts}); to keep: {keep}")
    settings = {**inherited, **job.environment}
    if ":" in job.module_path:
        notes.append(
            f"scripts cannot import ipexlaunch.worker: PYTHONPATH cannot name {job.module_path}, which has a colon; "
            "install ipexlaunch into another folder"
        )
    for name in main_thread_pinning(settings):
        notes.append(
            f"{name}={settings[name]} of the environment leaves the main thread and its children on one cpu; "
            + ('add ",reset" to it' if name == "KMP_AFFINITY" else "leave it unset: the slice is pinned anyway")
        )
    return notes


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
