"""Runs and searches to look at: from run directories of any version, from reports alone, from `tune --report`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ipexlaunch.documents.read_text import read_lines, read_text
from ipexlaunch.documents.secret_values import mask_words, masked
from ipexlaunch.documents.text import CORRECT
from ipexlaunch.documents.visible_text import visible_values
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED
from ipexlaunch.launch.run_record import Run
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import parse_topology
from ipexlaunch.measure.report import Report, aggregate, read_report
from ipexlaunch.measure.scaling import baseline_of
from ipexlaunch.measure.validity import LOST_TIME_ALLOWED
from ipexlaunch.plan import Plan
from ipexlaunch.plan.plan_file import read_plan
from ipexlaunch.report.kept_runs.events_file import WHOLE, read_events, read_events_so_far
from ipexlaunch.report.kept_runs.run_directory import (
    BASELINE_EVENTS,
    ENVIRONMENT,
    EVENTS,
    PLAN,
    REPORT,
    RUN,
    SO_FAR,
    TOPOLOGY,
)
from ipexlaunch.report.kept_runs.run_documents import RunCommand, read_environment_text, read_run_command
from ipexlaunch.tune.trial import SCHEMA, Outcome, read_tuning


@dataclass(frozen=True, kw_only=True)
class KeptRun:
    """Everything that a run directory holds."""

    path: str
    recorded: RunCommand
    plan: Plan
    topology: Topology
    environment: Mapping[str, Any]
    """Empty where the run did not finish."""
    run: Run | None
    """As far as it is known where the run did not finish; None where nothing is."""
    report: Report | None
    """None where the run did not finish."""
    solo: Run | None = None
    """Of the instance that ran alone first; None where that was not asked for."""


def is_run_directory(path: str) -> bool:
    """Whether a directory holds a run."""
    return os.path.lexists(os.path.join(path, RUN))


def read_kept_command(path: str) -> RunCommand:
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
    return read_run_command(*_read(path, RUN))


def read_run_directory(path: str) -> KeptRun:
    """Everything in a run directory of any version.

    Args:
        path: the directory.

    Raises:
        DocumentError: it holds no run, or a file of it does not follow its format; the message has the place.
    """
    recorded = read_kept_command(path)
    finished = os.path.lexists(os.path.join(path, REPORT))
    run = _events(path, EVENTS, read_events) or _events(path, SO_FAR, read_events_so_far)
    if finished and run is None:
        raise DocumentError(os.path.join(path, EVENTS), "", "no such file or directory", WHOLE)
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
    """What the environment of a kept run was; empty where the run did not finish.

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


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run, of which at least a part is known."""

    name: str
    """Short, and unlike those of the others."""
    report: Report
    kept: KeptRun | None
    """None where only the report is there."""


@dataclass(frozen=True, kw_only=True)
class OpenedSearch:
    """What came of `ipexlaunch tune`."""

    name: str
    """Short, and unlike those of the others."""
    outcome: Outcome


Opened = OpenedRun | OpenedSearch


def open_runs(paths: Sequence[str]) -> tuple[Opened, ...]:
    """The runs in run directories and report files, and the searches.

    Args:
        paths: directories that --run-dir made, or files that --report wrote.

    Raises:
        DocumentError: one is neither, does not follow its format, or did not finish.
    """
    return tuple(open_one(path, name) for path, name in zip(paths, names_of(paths), strict=True))


def open_one(path: str, name: str) -> Opened:
    """One of them.

    Args:
        path: a directory or a file.
        name: what to call it.

    Raises:
        DocumentError: see `open_runs`.
    """
    if os.path.isdir(path):
        kept = read_run_directory(path)
        report = _masked(kept.report or _report_so_far(kept))
        return OpenedRun(name=name, report=report, kept=kept)
    text = read_text(path, "give a run directory or the file of --report")
    if is_document(text, SCHEMA):
        return OpenedSearch(name=name, outcome=visible_values(read_tuning(text, path)))
    return OpenedRun(name=name, report=_masked(read_report(text, path)), kept=None)


def _masked(report: Report) -> Report:
    """A report without the secrets that older ones have kept, and without control characters: it will be shown."""
    provenance = {key: masked(value) for key, value in report.provenance.items()}
    return visible_values(replace(report, provenance=provenance))


def _report_so_far(kept: KeptRun) -> Report:
    """Of a run that did not finish, as far as it is known."""
    if kept.run is None:
        hint = "start it again" if kept.recorded.command == "serve" else "repeat it: run --replay"
        raise DocumentError(kept.path, "", "the run in it did not finish", hint)
    job = kept.recorded.job
    report = aggregate(
        kept.run,
        local_share_required=_share(kept, "local_pages", LOCAL_SHARE_REQUIRED),
        lost_time_allowed=_share(kept, "lost_time", LOST_TIME_ALLOWED),
        provenance={
            "ipexlaunch": kept.recorded.ipexlaunch,
            "topology": kept.topology.fingerprint,
            "program": list(mask_words([job.program, *job.arguments])),
            "python": job.python if job.kind != "executable" else None,
        },
        baseline=None if kept.solo is None else baseline_of(kept.solo),
    )
    return replace(report, host=kept.recorded.host)


def _share(kept: KeptRun, name: str, default: float) -> float:
    """An option of the kept run that is a share."""
    value = kept.recorded.options.get(name, default)
    if not isinstance(value, (int, float)) or not 0 <= value <= 1:
        source = os.path.join(kept.path, RUN)
        raise DocumentError(source, f"options.{name}", f"it should be a number from 0 to 1, not {value!r:.60}", CORRECT)
    return float(value)


LONGEST_HEAD = 200
"""Characters among which the schema is looked for: it is the first key."""


def is_document(text: str, schema: str) -> bool:
    """Whether a text says that it is a document of some kind, of any version.

    Args:
        text: the whole document, or its first LONGEST_HEAD characters.
        schema: of the kind.
    """
    return f'"{schema.rpartition("/")[0]}/' in text[:LONGEST_HEAD]


def names_of(paths: Sequence[str]) -> list[str]:
    """The last parts of paths, as many as tell them apart.

    Args:
        paths: any.
    """
    parts = [os.path.abspath(path).split(os.sep) for path in paths]
    names: list[str] = []
    for length in range(1, max(map(len, parts), default=0) + 1):
        names = [os.sep.join(part[-length:]) for part in parts]
        if len(set(names)) == len(set(map(tuple, parts))):
            break
    return names
