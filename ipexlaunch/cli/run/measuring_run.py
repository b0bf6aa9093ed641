"""Workers that measure candidates, shown as a bar where somebody looks on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial

from ipexlaunch.cli.run.watch_run import say_above
from ipexlaunch.cli.terminal import moves_cursor, wants_color
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.run_record import Run
from ipexlaunch.report.live.show import MeasuringBar
from ipexlaunch.report.live.status import RunIdentity
from ipexlaunch.tune.dtypes.quiet_run import run_quietly


def run_measuring(launch: Launch, inherited: Mapping[str, str], tell: Callable[[str], None], directory: str) -> Run:
    """Run every worker of a launch to its end, with a bar on a terminal, else with a line for what takes long.

    Args:
        launch: what to start.
        inherited: environment of the workers, before their own additions.
        tell: says a line to the user.
        directory: for the workers' output.

    Raises:
        EndedBySignal: the run was interrupted; its workers are gone.
        BindError: a worker could not be bound.
    """
    if not moves_cursor(sys.stderr):
        return run_quietly(launch, inherited, tell, directory)
    identity = RunIdentity(pid=os.getpid(), program=launch.job.program, started_at=time.time())
    bar = MeasuringBar(identity, len(launch.workers), sys.stderr, color=wants_color(sys.stderr))
    return run_quietly(launch, inherited, partial(say_above, bar), directory, observers=[bar])
