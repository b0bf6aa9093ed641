"""Start workers, each by itself in its place, or as the fork of a process that they share their start with."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
from collections.abc import Callable, Mapping

from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.process_failures import remedy_of
from ipexlaunch.launch.share_start import Sharing
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.counts_in_output import LineWatch
from ipexlaunch.launch.supervise.descendants import signal_process
from ipexlaunch.launch.supervise.handle_messages import MessageHandler
from ipexlaunch.launch.supervise.interfaces import OutputOptions
from ipexlaunch.launch.supervise.log_files import Log
from ipexlaunch.launch.supervise.reap import MARK, Guardian
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.template_process import TemplateProcess
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.machine.proc_files import text_of


class Starter:
    """Starts the workers of one run."""

    def __init__(
        self,
        launch: Launch,
        worker_set: WorkerSet,
        listener: OutputReader,
        guardian: Guardian,
        announcements: MessageHandler,
        feed: Callable[[Event], None],
        showing: OutputOptions,
        logs: Mapping[int, Log],
        inherited: Mapping[str, str],
        run_id: str,
        sharing: Sharing,
        slot: int,
        file_limit: children.FileLimit | None,
    ) -> None:
        """Begin with none started.

        Args:
            launch: what is to be started.
            worker_set: the workers.
            listener: takes their output.
            guardian: watches over them.
            announcements: counts what they print, where a rule for that was given, and is told phases.
            feed: tells the life of the run what happened.
            showing: what becomes of their output.
            logs: by the index of the instance.
            inherited: their environment beside their own.
            run_id: value of MARK.
            sharing: which of them share their start.
            slot: number of every worker's channel; closed at the end.
            file_limit: of open files, for each, where the launcher has raised its own.
        """
        self.slot = slot
        self.worker_set, self.listener, self.guardian, self.feed = worker_set, listener, guardian, feed
        self.launch, self.inherited, self.marks = launch, inherited, {MARK: run_id}
        self.announcements, self.showing, self.logs, self.sharing = announcements, showing, logs, sharing
        self.width = max((len(str(worker.instance.index)) for worker in launch.workers), default=1)
        self._file_limit = file_limit
        self.templates = [TemplateProcess(template, self) for template in sharing.templates]

    def start(self, place: int) -> None:
        """Start a worker; one that cannot be started is a failure like any other, and may stop the rest."""
        worker_set, child, now = self.worker_set, self.worker_set.children[place], self.worker_set.clock()
        if worker_set.state.stopping:
            # Another worker of the same round could not be started.
            self.feed(Event("exited", now, place, -signal.SIGTERM))
            return
        self._prepare(place)
        child.started = now
        template = next((each for each in self.templates if each.forks(place)), None)
        if template is None:
            self.start_alone(place)
        else:
            template.request(place)

    def start_alone(self, place: int) -> None:
        """Start a worker by itself."""
        child = self.worker_set.children[place]
        try:
            words = (child, self.inherited, self.marks, self.slot)
            self.worker_set.callbacks.start_bound(
                child.worker.instance, lambda binding: children.start(*words, binding)
            )
        except OSError as error:
            self.not_started(place, error)
        else:
            self.started(place)

    def not_started(self, place: int, error: OSError) -> None:
        """A worker could not be started."""
        remedy = remedy_of(error)
        program = error.filename or self.worker_set.children[place].worker.argv[0]
        detail = f"could not be started: {error.strerror}: {program}" + f"; {remedy}" * bool(remedy)
        self.worker_set.add_start(place)
        code = children.start_failure(error)
        self.feed(Event("exited", self.worker_set.clock(), place, code, mask_text(detail)))

    def started(self, place: int) -> None:
        """A worker's process is there: watch over it and listen to it."""
        worker_set, child = self.worker_set, self.worker_set.children[place]
        worker_set.add_start(place)
        if child.process is not None:
            worker_set.by_pid[child.process.pid] = place
            self.guardian.add(child.process.pid)
            if self._file_limit is not None:
                # Programs that use select(2) rely on the low limit.
                with contextlib.suppress(ProcessLookupError):
                    resource.prlimit(child.process.pid, resource.RLIMIT_NOFILE, self._file_limit)
        if self.showing.line_rule is not None and child.printed is None:
            self.announcements.count_lines(place, self.showing.line_rule)
        if self.showing.ready_line is not None:
            child.awaited = LineWatch(self.showing.ready_line, lambda: self.announcements.is_ready(place))
        index = child.worker.instance.index
        log = self.logs.get(index)
        prefix = f"[{index:>{self.width}}] ".encode()
        self.listener.listen(place, child, prefix, [] if log is None else [log], self.showing.stamp)
        for shortfall in child.binding.shortfalls() if child.binding is not None else ():
            worker_set.note(f"instance {index}: {shortfall}")

    def cancel(self, places: tuple[int, ...], number: signal.Signals) -> None:
        """Those of these workers that are not forked yet need not be."""
        for template in self.templates:
            template.cancel(places, number)

    def end(self) -> None:
        """Every worker has ended: end the processes that they were forked from."""
        for template in self.templates:
            template.end()

    def close(self) -> None:
        """Give back the number of the channels."""
        os.close(self.slot)

    def _prepare(self, place: int) -> None:
        """End and close what a former attempt of this worker has left."""
        child = self.worker_set.children[place]
        if child.process is not None:
            if not child.group_is_gone:
                children.signal_group(child, signal.SIGKILL)
            self.listener.forget(child)
            children.close(child)
            child.process = None
            self.worker_set.begin_attempt(place)
            if self.worker_set.limits.serving:
                self._end_orphans_of(child.worker.instance.index)

    def _end_orphans_of(self, index: int) -> None:
        """End what a server that has ended left in sessions of its own: it may still hold the port."""
        worker_set, mark = self.worker_set, f"IPEXLAUNCH_INDEX={index}"
        for pid in worker_set.callbacks.descendants(os.getpid()):
            words = (text_of(f"/proc/{pid}/environ") or "").split("\0")
            if pid not in worker_set.by_pid and mark in words:
                signal_process(pid, signal.SIGKILL)
