"""How the launcher starts programs of its own in the workers' interpreter: by the place of their files.

Nothing there is looked up by name: not in the current folder, not on PYTHONPATH, not among what the interpreter has
installed. So workers run the code of the launcher that started them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from ipexlaunch.cli.make_job import job_from_options
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch import Job

_WORKERS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "workers")

_RUN_SCRIPT = os.path.join(_WORKERS, "run_script.py")


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
        program: its module's name, e.g. ipexlaunch.workers.run_model.
        options: of `run`.

    Raises:
        LaunchError: an interpreter or a library to preload is not there, or ipexlaunch lies in an archive.
    """
    return replace(job_from_options(program, (), {**options, "module": True}), runner=(run_script(),))


def runner_here(job: Job) -> tuple[str, ...]:
    """The runner of a job that was kept, for the ipexlaunch that runs it now.

    Args:
        job: as it was kept, maybe by an ipexlaunch that lay elsewhere, or one that started its workers by name.

    Raises:
        LaunchError: ipexlaunch lies in an archive.
    """
    if job.runner:
        return (run_script(), *job.runner[1:])
    ours = job.kind == "module" and job.program.startswith("ipexlaunch.workers.")
    return (run_script(),) if ours else ()
