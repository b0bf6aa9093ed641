"""A run's directory, made before its start and filled at its end, and the names of its files.

run.yaml          the command: program, arguments, environment additions, options (its schema is the directory's)
plan.yaml         the instances
topology.yaml     the machine
environment.json  versions, libraries really mapped, kernel, limits, variables
events.jsonl      the raw facts: every count, look, failure and signal, with its time
events-so-far.jsonl  the same while the run lasts; it is left where the launcher was killed
report.json       what was computed from them
baseline-events.jsonl  the raw facts of the instance that ran alone first, where that was asked for
logs/             what the workers printed
launcher.json     who keeps a run there, while it lasts

A run over several hosts has a directory of its own, in which each host's is one:
rendezvous.json   where the first host waits for the others
host-R-NAME/      of the host with rank R
group.json        what all did together; it comes last
first-host.json   who keeps it, while it lasts
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.hold_place import Hold, hold_place
from ipexlaunch.launch.run_record import Run
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import topology_to_yaml
from ipexlaunch.measure.report import Report, write_report
from ipexlaunch.plan import Plan
from ipexlaunch.plan.plan_file import write_plan
from ipexlaunch.report.kept_runs.events_file import write_events
from ipexlaunch.report.kept_runs.run_documents import RunCommand, write_run_command

RUN, PLAN, TOPOLOGY = "run.yaml", "plan.yaml", "topology.yaml"
ENVIRONMENT, EVENTS, REPORT = "environment.json", "events.jsonl", "report.json"
SO_FAR = "events-so-far.jsonl"
BASELINE_EVENTS = "baseline-events.jsonl"
LOGS = "logs"
HOLD = "launcher.json"
RENDEZVOUS, GROUP, GROUP_HOLD = "rendezvous.json", "group.json", "first-host.json"
RUN_FILES = (RUN, PLAN, TOPOLOGY, ENVIRONMENT, EVENTS, SO_FAR, REPORT, BASELINE_EVENTS)
"""Every file that may stand in a run's directory itself."""


PRIVATE = 0o600
"""Mode of every file: arguments, variables and output are nobody else's business."""

ANOTHER = "name a new directory"
WRITABLE = "name a place that can be written"


@contextlib.contextmanager
def keeping_in(path: str, hint: str = "") -> Iterator[None]:
    """Within, what cannot be written is said as that a run cannot be kept.

    Args:
        path: of the directory.
        hint: what would work.

    Raises:
        LaunchError: an OSError came.
    """
    try:
        yield
    except OSError as error:
        raise LaunchError(f"keep the run in {path}", str(error.strerror), hint) from None


def make_run_directory(path: str, recorded: RunCommand, plan: Plan, topology: Topology) -> RunDirectory:
    """Make the directory, hold it against other launches, and write what is known before the start.

    Args:
        path: where; it may exist, but holds no run yet.
        recorded: the command.
        plan: the instances.
        topology: the machine.

    Raises:
        HeldError: another launch keeps its run there.
        LaunchError: it holds a run already, or cannot be written.
    """
    wanted = f"keep the run in {path}"
    with keeping_in(path, WRITABLE):
        was_there = os.path.isdir(path)
        _make_private(path)
        hold = hold_place(os.path.join(path, HOLD), wanted, ANOTHER)
    made = RunDirectory(path, hold, was_there=was_there)
    if held := _held_in(path):
        hold.release()
        raise LaunchError(wanted, held, ANOTHER)
    try:
        with keeping_in(path, WRITABLE):
            _make_private(os.path.join(path, LOGS))
            for name, text in (
                (TOPOLOGY, topology_to_yaml(topology)),
                (PLAN, write_plan(plan)),
                (RUN, write_run_command(recorded)),
            ):
                _write(path, name, text)
    except BaseException:
        made.abandon()
        raise
    return made


class RunDirectory:
    """A run directory that is ours while the run lasts."""

    def __init__(self, path: str, hold: Hold, *, was_there: bool) -> None:
        """Take it over.

        Args:
            path: of the directory.
            hold: keeps others away.
            was_there: whether the user has made it.
        """
        self.path = path
        self._hold = hold
        self._was_there = was_there

    def release(self) -> None:
        """Let go of it: the run is over, or its launcher gives up."""
        self._hold.release()

    def abandon(self) -> None:
        """Leave no trace: the run has not begun, and the same command should work when it is corrected."""
        for name in (RUN, PLAN, TOPOLOGY):
            with contextlib.suppress(OSError):
                os.unlink(os.path.join(self.path, name))
        logs = os.path.join(self.path, LOGS)
        with contextlib.suppress(OSError):
            for each in () if self._was_there else os.scandir(logs):
                if not each.stat(follow_symlinks=False).st_size:  # a log that no worker was started for
                    os.unlink(each)
            os.rmdir(logs)
        self.release()
        if not self._was_there:
            with contextlib.suppress(OSError):  # another process has put something there since
                os.rmdir(self.path)


def _make_private(path: str) -> None:
    """Make a directory that only its owner may look into; one that is there and empty becomes one.

    Raises:
        OSError: it cannot be made, or is no directory.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        if not os.listdir(path):
            with contextlib.suppress(PermissionError):  # another user's, who lets us write there
                os.chmod(path, 0o700)


def check_holds_no_run(path: str) -> None:
    """Find out that a directory holds a run already, or a file of somebody's that would be replaced.

    Args:
        path: where a run is to be kept; it need not exist.

    Raises:
        HeldError: another launch keeps its run there.
        LaunchError: it does.
    """
    wanted, place = f"keep the run in {path}", os.path.join(path, HOLD)
    with contextlib.suppress(OSError):  # it is tried again when the directory is made
        if os.path.lexists(place):
            hold_place(place, wanted, ANOTHER).release()
    if held := _held_in(path):
        raise LaunchError(wanted, held, ANOTHER)


def _held_in(path: str) -> str:
    """What a directory holds that a run would replace; empty for nothing."""
    if any(os.path.lexists(os.path.join(path, name)) for name in (RENDEZVOUS, GROUP)):
        return "it holds a run over several hosts already"
    held = [name for name in RUN_FILES if os.path.lexists(os.path.join(path, name))]
    if RUN not in held:
        return f"it holds a file {held[0]} already" if held else ""
    return "it holds one already" if REPORT in held else "it holds a run already, which did not finish"


def append_events(path: str, data: bytes | memoryview) -> None:
    """Append lines to the events of a run that lasts.

    Args:
        path: the run's directory.
        data: whole lines.

    Raises:
        OSError: it cannot be written.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(os.path.join(path, SO_FAR), flags, PRIVATE), "ab") as file:
        file.write(data)


def keep_baseline(path: str, solo: Run) -> None:
    """Write what happened when one instance ran alone.

    Args:
        path: as `make_run_directory` made it.
        solo: what happened.

    Raises:
        LaunchError: it cannot be written.
    """
    with keeping_in(path):
        _write(path, BASELINE_EVENTS, write_events(solo))


def finish_run_directory(path: str, run: Run, report: Report, environment: Mapping[str, Any]) -> None:
    """Write what is known at the end; the report comes last, so that where it is the rest is.

    Args:
        path: as `make_run_directory` made it.
        run: what happened.
        report: what was computed from it.
        environment: see `read_host`.

    Raises:
        LaunchError: it cannot be written.
    """
    with keeping_in(path):
        _write(path, ENVIRONMENT, json.dumps(environment, indent=1) + "\n")
        _write(path, EVENTS, write_events(run))
        _write(path, REPORT, write_report(report))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(path, SO_FAR))


def keep_report(path: str, report: Report) -> None:
    """Rewrite the report of a finished run.

    Args:
        path: as `make_run_directory` made it.
        report: what was computed, and what came to be known since.

    Raises:
        LaunchError: it cannot be written.
    """
    with keeping_in(path):
        _write(path, REPORT, write_report(report))


def _write(directory: str, name: str, content: str | Iterable[str]) -> None:
    write_file(os.path.join(directory, name), content, mode=PRIVATE)
