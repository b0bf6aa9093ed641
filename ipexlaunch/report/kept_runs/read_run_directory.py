"""A run's directory as any later ipexlaunch reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ipexlaunch.documents.read_text import read_lines, read_text
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.run_record import Run
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import parse_topology
from ipexlaunch.measure.report import Report
from ipexlaunch.measure.report_file import read_report
from ipexlaunch.plan import Plan
from ipexlaunch.plan.plan_file import read_plan
from ipexlaunch.report.kept_runs.command import RecordedRun
from ipexlaunch.report.kept_runs.command_file import read_recorded_run
from ipexlaunch.report.kept_runs.environment_file import read_environment_text
from ipexlaunch.report.kept_runs.events_file import read_events, read_events_so_far
from ipexlaunch.report.kept_runs.run_files import (
    BASELINE_EVENTS,
    ENVIRONMENT,
    EVENTS,
    PLAN,
    REPORT,
    RUN,
    SO_FAR,
    TOPOLOGY,
)


@dataclass(frozen=True, kw_only=True)
class KeptRun:
    """Everything that a run directory holds."""

    path: str
    recorded: RecordedRun
    plan: Plan
    topology: Topology
    environment: Mapping[str, Any]
    """Empty where the run did not come to its end."""
    run: Run | None
    """As far as it is known where the run did not come to its end; None where nothing is."""
    report: Report | None
    """None where the run did not come to its end."""
    solo: Run | None = None
    """Of the instance that ran alone first; None where that was not asked for."""


def is_run_directory(path: str) -> bool:
    """Whether a directory holds a run."""
    return os.path.lexists(os.path.join(path, RUN))


def read_recorded(path: str) -> RecordedRun:
    """The command of the run that a directory holds.

    Args:
        path: the directory.

    Raises:
        DocumentError: it holds none, or its file does not follow the format.
    """
    if not is_run_directory(path):
        problem = f"there is no {RUN} in it" if os.path.isdir(path) else "no such directory"
        if os.path.isdir(path) and not os.access(path, os.X_OK):
            problem = "it may not be looked into: it is another user's"
        raise DocumentError(path, "", problem, "name a directory that --run-dir has made")
    return read_recorded_run(*_read(path, RUN))


def read_run_directory(path: str) -> KeptRun:
    """Everything in a run directory of any version.

    Args:
        path: the directory.

    Raises:
        DocumentError: it holds no run, or a file of it does not follow its format; the message has the place.
    """
    recorded = read_recorded(path)
    finished = os.path.lexists(os.path.join(path, REPORT))
    run = _events(path, EVENTS, read_events) or _events(path, SO_FAR, read_events_so_far)
    if finished and run is None:
        raise DocumentError(os.path.join(path, EVENTS), "", "no such file or directory")
    return KeptRun(
        path=path,
        recorded=recorded,
        plan=read_plan(*_read(path, PLAN)),
        topology=parse_topology(*_read(path, TOPOLOGY)),
        environment=read_environment(path) if finished else {},
        run=run,
        solo=_events(path, BASELINE_EVENTS, read_events),
        report=read_report(*_read(path, REPORT)) if finished else None,
    )


def read_environment(path: str) -> Mapping[str, Any]:
    """What the environment of a kept run was; empty where the run did not come to its end.

    Args:
        path: the directory.

    Raises:
        DocumentError: the file does not follow its format.
    """
    if not os.path.lexists(os.path.join(path, ENVIRONMENT)):
        return {}
    return read_environment_text(*_read(path, ENVIRONMENT))


def _events(path: str, name: str, read: Callable[[Iterable[str], str], Run]) -> Run | None:
    """What the events in one of the files tell; None where it is not there."""
    full = os.path.join(path, name)
    return read(read_lines(full), full) if os.path.lexists(full) else None


def _read(path: str, name: str) -> tuple[str, str]:
    """A file's text, and its name for messages."""
    full = os.path.join(path, name)
    return read_text(full), full
