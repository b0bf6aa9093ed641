"""How the launcher starts programs of its own in the workers' interpreter: by the place of their files.

Nothing there is looked up by name: not in the current folder, not on PYTHONPATH, not among what the interpreter has
installed. So workers run the code of the launcher that started them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import ipexlaunch
from ipexlaunch.cli.run.make_job import OWN_WORKERS, job_from_options
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.job import Job

_RUN_SCRIPT = os.path.join(os.path.dirname(os.path.abspath(ipexlaunch.__file__)), "models", "run_script.py")

_OWN_FORMERLY = "ipexlaunch.workers."
"""What the built-in workers were called in runs that were kept before version 0.1.0 was released."""


def run_script() -> str:
    """The program of ours that runs a script or a module with our options, by its path.

    Raises:
        LaunchError: this ipexlaunch lies in an archive, of which an interpreter cannot run a file.
    """
    if not os.path.isfile(_RUN_SCRIPT):
        raise LaunchError("start a worker of ipexlaunch", f"there is no file {_RUN_SCRIPT}", "pip install ipexlaunch")
    return _RUN_SCRIPT


def built_in_job(program: str, options: dict[str, Any]) -> Job:
    """The job of a worker of ours.

    Args:
        program: its module's name, e.g. ipexlaunch.models.run_model.
        options: of `run`.

    Raises:
        LaunchError: an interpreter or a library to preload is not there, or ipexlaunch lies in an archive.
    """
    return replace(job_from_options(program, (), {**options, "module": True}), runner=(run_script(),))


def program_here(job: Job) -> str:
    """The program of a job that was kept, as it is called now."""
    former = job.program.startswith(_OWN_FORMERLY)
    return OWN_WORKERS + job.program.removeprefix(_OWN_FORMERLY) if former else job.program


def runner_here(job: Job) -> tuple[str, ...]:
    """The runner of a job that was kept, for the ipexlaunch that runs it now.

    Args:
        job: as it was kept, maybe by an ipexlaunch that lay elsewhere, or one that started its workers by name.

    Raises:
        LaunchError: ipexlaunch lies in an archive.
    """
    if job.runner:
        return (run_script(), *job.runner[1:])
    ours = job.kind == "module" and program_here(job).startswith(OWN_WORKERS)
    return (run_script(),) if ours else ()
