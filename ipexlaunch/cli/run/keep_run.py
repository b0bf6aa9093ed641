"""What --run-dir does around a launch: the directory before it, notes while it lasts, the rest at its end."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ipexlaunch import __version__
from ipexlaunch.cli.options import REPEATED, LaunchOptions
from ipexlaunch.documents.secret_values import mask_text, mask_variables, mask_words
from ipexlaunch.launch.background_writer import LAST_WORDS_S, WritingThread
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.run_events import RunEvent, WorkerStarted
from ipexlaunch.launch.run_record import Run, Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.report import Report
from ipexlaunch.report.kept_runs.describe_host import read_host
from ipexlaunch.report.kept_runs.events_file import EventLines
from ipexlaunch.report.kept_runs.run_directory import (
    RunDirectory,
    append_events,
    finish_run_directory,
    keep_baseline,
    keep_report,
    make_run_directory,
)
from ipexlaunch.report.kept_runs.run_documents import MappedLibraries, RunCommand

INTERVAL_S = 5.0
"""What a launcher that is killed had not noted is lost."""


def begin_keeping(launch: Launch, topology: Topology, path: str, options: LaunchOptions) -> RunKeeper:
    """Make the run's directory.

    Args:
        launch: what is about to start.
        topology: the machine.
        path: of the directory.
        options: of the command.

    Raises:
        HeldError: another launch keeps its run there.
        LaunchError: the directory holds a run already, or cannot be written.
    """
    names = list(REPEATED)
    if options.command == "batch":
        from ipexlaunch.cli.options.batch_options import REPEATED_BY_BATCH  # no other command needs them

        names += REPEATED_BY_BATCH
    values = {name: getattr(options, name) for name in names}
    recorded = RunCommand(
        command=options.command,
        directory=os.getcwd(),
        job=_masked(launch.job),
        options={name: _plain(value) for name, value in values.items() if value is not None},
        written=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        ipexlaunch=__version__,
        host=launch.host,
    )
    made = make_run_directory(os.path.abspath(path), recorded, launch.planned or launch.plan, topology)
    return RunKeeper(made, launch, topology)


def _masked(job: Job) -> Job:
    """The job as it is kept: without secrets, and without the place of the ipexlaunch that runs it."""
    return replace(
        job,
        program=mask_text(job.program),
        arguments=mask_words(job.arguments),
        environment=mask_variables(job.environment),
        module_path="",
    )


def _plain(value: Any) -> Any:
    """An option as YAML can hold it: a rule is its expression, one input its path."""
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    return value.pattern.pattern if hasattr(value, "pattern") else value


class EventsObserver(Observer):
    """Has the events of a run appended to a file, at most INTERVAL_S late; a full disk does not end the run."""

    interval_s: float | None = INTERVAL_S

    def __init__(
        self, path: str, thread: WritingThread, begun: Callable[[], None], tell: Callable[[str], None]
    ) -> None:
        """Begin with no file.

        Args:
            path: the run's directory.
            thread: writes them.
            begun: called once a worker is started.
            tell: says a line to the user.
        """
        self._path = path
        self._lines = EventLines()
        self._thread = thread
        self._begun = begun
        self._tell = tell
        self._full = False

    def on_event(self, event: RunEvent) -> None:
        """Keep it for the next line."""
        if isinstance(event, WorkerStarted) and event.time:
            self._begun()
        if not self._full:
            self._lines.add(event)

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """Write, as an interval has passed."""
        self.write()

    def write(self) -> None:
        """Have written what is new; a disk that hangs gets all of it later."""
        if not self._full and not self._thread.waiting_bytes:
            self._thread.add(self._append, "".join(self._lines.take()).encode())

    def _append(self, data: memoryview) -> None:
        if self._full:
            return
        try:
            append_events(self._path, data)
        except OSError as error:
            self._full = True
            self._tell(f"the events are not kept any further in {self._path}: {error.strerror}")


class RunKeeper:
    """Notes what only running workers can tell, and writes everything at the end."""

    def __init__(self, made: RunDirectory, launch: Launch, topology: Topology) -> None:
        """Begin with nothing noted.

        Args:
            made: the run's directory.
            launch: what is started.
            topology: the machine.
        """
        self._made = made
        self._path = made.path
        self._begun = False
        self._launch = launch
        self._topology = topology
        self.libraries = MappedLibraries()
        self._events_thread = WritingThread("ipexlaunch-events")

    def begin(self) -> None:
        """Note that workers are about to be started: from now on the directory stays, whatever happens."""
        self._begun = True

    def events(self, tell: Callable[[str], None]) -> EventsObserver:
        """What has the events of the run written down while they happen.

        Args:
            tell: says a line to the user.
        """
        return EventsObserver(self._path, self._events_thread, self.begin, tell)

    def keep_baseline(self, solo: Run) -> None:
        """Write what happened when one instance ran alone.

        Args:
            solo: the raw facts.

        Raises:
            LaunchError: it cannot be written.
        """
        keep_baseline(self._path, solo)

    def close(self) -> None:
        """Let go of the directory; where no worker was started, nothing of it is left."""
        if self._begun:
            self._made.release()
        else:
            self._made.abandon()

    def finish(self, run: Run, report: Report) -> None:
        """Write what happened.

        Args:
            run: the raw facts.
            report: what was computed from them.

        Raises:
            LaunchError: it cannot be written.
        """
        self._events_thread.wait(LAST_WORDS_S)
        job = self._launch.job
        environment = read_host(self._topology, None if job.kind == "executable" else job.python, os.environ)
        environment["workers"] = [
            {
                "index": record.instance.index,
                "pid": record.pid,
                "environment": mask_variables(worker.environment),
                "libraries": list(self.libraries.by_pid.get(record.pid or 0, ())),
            }
            for record, worker in zip(run.records, self._launch.workers, strict=False)  # one, where only it ran
        ]
        finish_run_directory(self._path, run, report, environment)

    def keep_report(self, report: Report) -> None:
        """Write the report once more, with what came to be known after `finish`.

        Args:
            report: what holds.

        Raises:
            LaunchError: it cannot be written.
        """
        keep_report(self._path, report)
