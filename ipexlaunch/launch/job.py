"""Job + Plan -> Launch: the command line and environment of every worker, decided before anything starts.

Pure: what the machine has (libraries, variables) comes in as values.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ipexlaunch.doctor.preloads import library_name, preloaded_in
from ipexlaunch.doctor.thread_pools import main_thread_pinning, mismatched_thread_counts
from ipexlaunch.documents import secret_values
from ipexlaunch.documents.fields import in_documents
from ipexlaunch.errors import RequestError
from ipexlaunch.launch.programs import processes_of, starter_of, unwrapped
from ipexlaunch.plan.devices import cache_variables, device_variables
from ipexlaunch.plan.export_scripts import numactl_argv
from ipexlaunch.plan.plan import FIRST_PORT, Instance, Plan, fill_template, names_in, values_of

ProgramKind = Literal["script", "module", "executable"]

JEMALLOC_SETTINGS = "oversize_threshold:1,background_thread:true,metadata_thp:auto"
JEMALLOC_BENCHMARK_SETTINGS = (
    "oversize_threshold:1,background_thread:false,metadata_thp:always,dirty_decay_ms:-1,muzzy_decay_ms:-1"
)
"""MALLOC_CONF that ipexrun documents for jemalloc, and for its --benchmark option."""

IOMP_AFFINITY = "granularity=fine,compact,1,0,reset"
"""KMP_AFFINITY that pins OpenMP's threads but, by "reset", gives the main thread its whole slice back.

Without it the main thread stays on one cpu, and every child (DataLoader worker, tokenizer) inherits that cpu.
"""

IOMP_BLOCKTIME_MS = "1"
"""KMP_BLOCKTIME: how long an idle thread spins; ipexrun's value, right where several instances share a machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to run on each instance."""

    program: str
    """Script path, module name or executable."""
    arguments: tuple[str, ...] = ()
    kind: ProgramKind = "script"
    python: str = "python3"
    """Interpreter of the workers (scripts and modules)."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables of --env, which win over everything; templates allowed. PYTHONPATH stands behind `module_path`."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Libraries to preload ("iomp5", "tcmalloc" or "jemalloc") to their paths."""
    benchmark: bool = False
    """Use the allocator settings of ipexrun's --benchmark."""
    runner: tuple[str, ...] = ()
    """Words between the interpreter and the program: our own program that runs it, with its options; () for none."""
    module_path: str = field(default="", metadata=in_documents(key=""))
    """Directory to put first on PYTHONPATH, so that `import ipexlaunch` in a worker is the launcher's ipexlaunch."""
    path_first: str = ""
    """Directory that PATH begins with, so that the program's children find its interpreter; "" leaves PATH."""
    remarks: tuple[str, ...] = ()
    """What was found out about it and the user should know, such as a library that is not preloaded."""
    first_port: int = FIRST_PORT
    kernel_cache: str = ""
    """Directory of the kernels that accelerators compile at their first run; "" leaves the runtimes' own places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """How one instance is started."""

    instance: Instance
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    """Additions to the launcher's environment."""
    path_first: str = ""
    """What its PATH has before the launcher's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Every worker of a run."""

    plan: Plan
    job: Job
    workers: tuple[Worker, ...]
    notes: tuple[str, ...] = ()
    """What the user should know about the environment: variables replaced or kept."""
    planned: Plan | None = None
    """The plan as it was made or read, where `plan` lacks binding that the user does not want; None where it is it."""


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


def _threads_of(instance: Instance, job: Job) -> int | None:
    """Threads of each process of an instance; None where its program finds that out by itself."""
    program, arguments = unwrapped(job.program, job.arguments)
    starter = starter_of(program)
    processes = processes_of(starter, arguments) if starter else 1
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
        own["PYTHONPATH"] = _python_path(job.module_path, theirs)
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
    settings: dict[str, str] = {}
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


def _python_path(ours: str, theirs: str) -> str:
    """Ours first, so that no other ipexlaunch takes its place; nothing else is in it that could hide what is theirs."""
    kept = [folder for folder in theirs.split(":") if folder != ours] if theirs else []
    return ":".join([ours, *kept])


def _preload(job: Job, inherited: Mapping[str, str]) -> str:
    present = preloaded_in(inherited)
    names = {library_name(path) for path in present}
    added = [path for path in job.libraries.values() if library_name(path) not in names]
    return ":".join([*added, *present]) if added else ""


def _notes(plan: Plan, job: Job, inherited: Mapping[str, str], replaced: Mapping[str, str]) -> list[str]:
    notes: list[str] = []
    threads = {instance: _threads_of(instance, job) for instance in plan.instances}
    counts = ", ".join(sorted({str(count) for count in threads.values()}, key=lambda text: (len(text), text)))
    program, arguments = unwrapped(job.program, job.arguments)
    starter = starter_of(program)
    processes = processes_of(starter, arguments) if starter else 1
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


def shell_line(worker: Worker) -> str:
    """A line that can be pasted into a shell and starts this worker alone, bound by numactl or taskset.

    Where a secret stands it names the shell's own variable, such as "$API_KEY".

    Args:
        worker: the worker.
    """
    own = {name: value for name, value in worker.environment.items() if name != "PATH" or not worker.path_first}
    words = [f"{name}={value}" for name, value in own.items()]
    if worker.instance.cpus:
        words += numactl_argv(worker.instance)
    path = f'PATH={shlex.quote(worker.path_first)}:"$PATH" ' if worker.path_first else ""
    return f"env {path}{secret_values.shell_line([*words, *worker.argv])}"
