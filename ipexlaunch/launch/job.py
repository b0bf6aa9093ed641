"""What to run on each instance, and how each worker of it is started: values, decided before anything starts."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ipexlaunch.doctor.job_engine import JobHost
from ipexlaunch.documents import secret_values
from ipexlaunch.documents.fields import in_documents
from ipexlaunch.plan.export_scripts import numactl_argv
from ipexlaunch.plan.plan import FIRST_PORT, Instance, Plan

ProgramKind = Literal["script", "module", "executable"]


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
    fix_pinning: bool = False
    """Have libraries that would leave the slice stay in it: worker/fix_pinning/ on PYTHONPATH."""
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
    host: JobHost | None = None
    """Where it runs; None where nobody has looked."""
    planned: Plan | None = None
    """The plan as it was made or read, where `plan` lacks binding that the user does not want; None where it is it."""


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
