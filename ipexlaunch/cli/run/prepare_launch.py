"""What a launch is given before it starts: where it takes place, what is wrong there, how workers share their start."""

from __future__ import annotations

import os
import time
from dataclasses import replace

from ipexlaunch import __version__
from ipexlaunch.cli.options import LaunchOptions
from ipexlaunch.cli.options.plan_options import this_host
from ipexlaunch.cli.run.make_job import OLDEST_PYTHON, OWN_WORKERS
from ipexlaunch.doctor.job_engine import troubles_of
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.preload_libraries import python_version
from ipexlaunch.launch.share_start import NOBODY, ShareStart, Sharing, share_start
from ipexlaunch.machine.topology import Topology

OPENMP = "iomp5"


def shared_mode(program: str, options: LaunchOptions) -> ShareStart:
    """What workers share: as it is asked for, else the model where the program is a worker of ours.

    Args:
        program: of the job.
        options: of the command.
    """
    return options.share_start or ("model" if program.startswith(OWN_WORKERS) else "no")


def with_shared_start(launch: Launch, options: LaunchOptions) -> tuple[Launch, Sharing]:
    """The launch, with a note where its workers cannot share their start, and how they do.

    Workers of ours share the model where nothing else is asked for, a program shares nothing then. libiomp5, which
    `--omp-runtime auto` preloads where it is found, is left out for that: docs/running.md has the measurement.

    Args:
        launch: what is to be started.
        options: of the command.

    Raises:
        LaunchError: they do not, and --share-start-strict was given.
    """
    mode = shared_mode(launch.job.program, options)
    if mode == "no":
        return launch, Sharing()
    notes = launch.notes
    confined = "each worker gets a cgroup of its own (--confine)" if options.confine != "no" else ""
    why = confined or _old_python(launch.job)
    if not why and OPENMP in launch.job.libraries and options.omp_runtime == "auto":
        libraries = {name: path for name, path in launch.job.libraries.items() if name != OPENMP}
        without = make_launch(launch.plan, replace(launch.job, libraries=libraries), os.environ)
        if share_start(without, mode, os.environ)[0]:
            launch = replace(launch, job=without.job, workers=without.workers)
            notes = (
                *notes,
                "libiomp5 is not preloaded: workers share their start; --omp-runtime intel for the other way",
            )
    templates, refused = share_start(launch, mode, os.environ)
    why = why or refused
    if why and options.share_start_strict:
        aim = f"share the start of the workers (--share-start {mode})"
        raise LaunchError(aim, why, "leave out --share-start-strict")
    if why and (options.share_start or why not in NOBODY):
        notes = (*notes, f"the start is not shared: {why}")
    asked, strict = bool(options.share_start), options.share_start_strict
    sharing = Sharing(asked=asked, strict=strict, templates=() if why else templates)
    return replace(launch, notes=notes), sharing


def _old_python(job: Job) -> str:
    version = python_version(job.python, {**os.environ, **job.environment}) or (0, 0)
    if version >= OLDEST_PYTHON:
        return ""
    return f"{job.python} is Python {version[0]}.{version[1]}, and {OLDEST_PYTHON[0]}.{OLDEST_PYTHON[1]} is needed"


def on_this_host(launch: Launch, topology: Topology, *, together: bool = False) -> Launch:
    """The launch, with where it is started, and notes on what is wrong with that.

    Args:
        launch: what is about to start.
        topology: the machine.
        together: whether it begins together with other hosts.
    """
    here = replace(this_host(topology), across_hosts=together)
    return replace(launch, host=here, notes=(*launch.notes, *map(str, troubles_of(here))))


def provenance(launch: Launch, topology: Topology) -> dict[str, object]:
    """What a report says of the host and the program, beside what was measured.

    Args:
        launch: what was started.
        topology: the machine.
    """
    return {
        "ipexlaunch": __version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "topology": topology.fingerprint,
        "program": list(mask_words([launch.job.program, *launch.job.arguments])),
        "python": launch.job.python if launch.job.kind != "executable" else None,
        "preloaded": list(launch.job.libraries.values()),
    }
