"""The supervisor's loop: waits for the kernel to say that something happened, feeds `lifecycle.step`, obeys it.

Nothing polls: output and messages come through descriptors, exits and requests to end through a signal's wake-up
descriptor, and a time limit is the wait's own.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
from collections.abc import Mapping, Sequence
from functools import cached_property

from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch import lifecycle
from ipexlaunch.launch.background_writer import LAST_WORDS_S, WritingThread
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Command, Event, Limits
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.shortages import remedy_of
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.counts_in_output import PrintedCounts
from ipexlaunch.launch.supervise.drive_feeder import TendedFeeder
from ipexlaunch.launch.supervise.feeder_protocol import Feeder
from ipexlaunch.launch.supervise.guardian import MARK, Guardian
from ipexlaunch.launch.supervise.handle_messages import Announcements
from ipexlaunch.launch.supervise.interfaces import Means, Showing
from ipexlaunch.launch.supervise.message_protocol import Said, command_line
from ipexlaunch.launch.supervise.observer import Watcher
from ipexlaunch.launch.supervise.output_streams import Log
from ipexlaunch.launch.supervise.read_output import Listener
from ipexlaunch.launch.supervise.reap import Collector
from ipexlaunch.launch.supervise.run_record_so_far import account
from ipexlaunch.launch.supervise.signal_wakeup import ENDING, Wakeup
from ipexlaunch.launch.supervise.timers import Timers
from ipexlaunch.launch.supervise.uncounted import LOOK_S, Below, doubt_uncounted
from ipexlaunch.launch.supervise.worker_process import Child
from ipexlaunch.launch.supervise.worker_set import Crew
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.wording import counted

# What is only needed once the workers run is imported in the functions below, while the workers start.

NOTE_INTERVAL_S = 5.0
"""What a launcher that is killed had not noted is lost."""


def supervise(
    launch: Launch,
    means: Means,
    inherited: Mapping[str, str],
    limits: Limits,
    showing: Showing | None = None,
    watchers: Sequence[Watcher] = (),
    proof_interval_s: float | None = None,
    feeder: Feeder | None = None,
) -> Run:
    """Run every worker of a launch to its end and return what happened; nothing that it started outlives it.

    Call it from the main thread: signals arrive there, and workers inherit that thread's binding.

    Args:
        launch: what to start.
        means: acts that it needs.
        inherited: environment of the workers, before their own additions.
        limits: time limits and what a failure does.
        showing: what becomes of the workers' output.
        watchers: told how the run stands while it lasts.
        proof_interval_s: how often running workers are looked at; None: after warm-up and at the end only.
        feeder: gives the workers their items; `limits.fed` says so too.

    Raises:
        BindError: a worker could not be bound and the run may not go on without; what was started is stopped.
    """
    showing = showing or Showing()
    with Wakeup() as wakeup:
        try:
            loop = _Loop(launch, means, inherited, limits, showing, watchers, proof_interval_s, wakeup, feeder)
        except BaseException:  # the system refuses a thread, a pipe, the guardian: no worker was started
            for watcher in watchers:
                watcher.close()
            raise
        return loop.run()


class _Loop:
    """The state of one call of `supervise`: what is waited for, and what starts and ends workers."""

    def __init__(
        self,
        launch: Launch,
        means: Means,
        inherited: Mapping[str, str],
        limits: Limits,
        showing: Showing,
        watchers: Sequence[Watcher],
        proof_interval_s: float | None,
        wakeup: Wakeup,
        feeder: Feeder | None,
    ) -> None:
        # Every worker's channel gets this number, the lowest that was free: a POSIX shell can only redirect to the
        # descriptors 0 to 9.
        self.slot = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.means = means
        self.clock = means.clock
        self.inherited = inherited
        self.showing = showing
        self.wakeup = wakeup
        self.feeder = feeder
        self.crew = crew = Crew(launch, means, limits, inherited)
        self.width = max((len(str(worker.instance.index)) for worker in launch.workers), default=1)
        self.file_limit = children.make_room_for(len(crew.children))
        self.log_thread = WritingThread("ipexlaunch-logs")
        self.log_thread.start()
        largest = showing.largest_log_bytes
        self.logs = {i: Log(path, crew.note, largest, self.log_thread) for i, path in showing.logs.items()}
        self.listener = Listener(
            showing.outputs, self.heard, self.clock, feeder.longest_message_bytes if feeder is not None else None
        )
        self.listener.selector.register(wakeup, selectors.EVENT_READ, self.on_signals)
        if feeder is not None and feeder.disk is not None:
            self.listener.selector.register(feeder.disk, selectors.EVENT_READ, lambda _: None)  # it is minded anyway
        self.own_peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.oom_kills = means.oom_kills()
        self.done = False
        self.timers = Timers()
        self.watchers = watchers
        for watcher in watchers:
            self.attend(watcher)
        if proof_interval_s is not None:
            self.timers.every(proof_interval_s, self.clock(), crew.look_at_all)
        self.asked_by = "--throughput-regex" if showing.line_rule is not None else ""
        if "--count-calls" in launch.job.runner:
            self.asked_by = "--count-calls"
        if self.asked_by:
            self.timers.every(LOOK_S, self.clock(), Below(crew.children, means.descendants, self.clock).look)
        if (note := means.note) is not None:
            self.timers.every(NOTE_INTERVAL_S, self.clock(), lambda _: note(self.account(over=False)))
        self.run_id = os.urandom(8).hex()
        self.guardian = Guardian(self.run_id)

    # The parts are made when they are first needed, and imported then: while the workers start.

    @cached_property
    def tended(self) -> TendedFeeder | None:
        """What does as the feeder wants; None where there is none."""
        if self.feeder is None:
            return None

        return TendedFeeder(self.feeder, self.crew, self.listener, self.feed)

    @cached_property
    def announcements(self) -> Announcements:
        """What acts on messages."""
        return Announcements(self.crew, self.listener, self.feed, self.tended, self.showing.long_phase_s)

    @cached_property
    def collector(self) -> Collector:
        """What collects processes that have ended."""
        return Collector(
            self.crew, self.listener, self.guardian, self.feed, self.tended, self.own_peak_kb, self.oom_kills
        )

    def heard(self, place: int, said: Said, now: float) -> None:
        """Act on what a worker announced."""
        self.announcements.heard(place, said, now)

    def attend(self, watcher: Watcher) -> None:
        """Serve a watcher from now on."""
        if watcher.interval_s is not None:
            self.timers.every(watcher.interval_s, self.clock(), lambda _: watcher.tick(self.crew.now()))
        descriptor = watcher.fileno()
        if descriptor is not None:
            self.listener.selector.register(descriptor, selectors.EVENT_READ, lambda _: watcher.ready(self.crew.now))

    def run(self) -> Run:
        """Start, watch, stop; see `supervise`."""
        try:
            self.feed(Event("tick", self.clock()))
            while not self.done:
                self.wait_once()
            self.collector.end_leftovers()
            for child, worker in zip(self.crew.children, self.crew.state.workers, strict=True):
                if self.asked_by and worker.exit_code == 0:
                    doubt_uncounted(child, self.asked_by)
            if self.tended is not None:
                self.tended.end(DiskPatience(self.crew.limits.grace_s, self.asked_to_end, self.means.tell).wait)
            for watcher in self.watchers:
                if watcher.interval_s is not None:
                    watcher.tick(self.crew.now())
        except BaseException:
            self.collector.abandon()
            raise
        finally:
            for watcher in self.watchers:
                watcher.close()
            self.guardian.end()
            os.close(self.slot)
            for log in self.logs.values():
                log.close()
            for child in self.crew.children:
                children.close(child)
            self.listener.close()
        if not self.log_thread.wait(LAST_WORDS_S):
            self.crew.note(f"logs are not complete: their disk took nothing for {LAST_WORDS_S:g} s")
        return self.account(over=True)

    def account(self, *, over: bool) -> Run:
        """What happened, at the end or so far."""
        return account(self.crew.children, self.crew.state, self.clock(), self.crew.notes, self.logs, over=over)

    def wait_once(self) -> None:
        """Wait for the next thing to happen and deal with it."""
        state, feeder = self.crew.state, self.feeder
        deadline = lifecycle.next_deadline(state)
        fed = feeder.due() if feeder is not None else None
        phases = self.announcements.long_phase_due
        until = min(
            (time for time in (deadline, self.timers.next_due(), phases, fed) if time is not None), default=None
        )
        if feeder is not None and not state.stopping and (rest_s := feeder.rest_s()):
            self.wakeup.wait(rest_s)
        self.listener.wait(None if until is None else max(0.0, until - self.clock()))
        now = self.clock()
        if deadline is not None and now >= deadline:
            self.feed(Event("tick", now))
        if phases is not None and now >= phases:
            self.announcements.follow_phases(now)
        self.timers.run(now)
        if self.tended is not None:
            self.tended.mind(now)

    def start(self, place: int) -> None:
        """Start a worker; one that cannot be started is a failure like any other, and may stop the rest."""
        crew, child, now = self.crew, self.crew.children[place], self.clock()
        instance = child.worker.instance
        if crew.state.stopping:
            # Another worker of the same round could not be started.
            self.feed(Event("exited", now, place, -signal.SIGTERM))
            return
        self.prepare(child)
        child.started = now
        try:
            with self.means.hold(instance.cpus, instance.memory, instance.nodes) as child.binding:
                children.start(child, self.inherited, {MARK: self.run_id}, self.slot, self.file_limit)
        except OSError as error:
            remedy = remedy_of(error)
            detail = f"could not be started: {error.strerror}: {error.filename or child.worker.argv[0]}"
            detail += f"; {remedy}" * bool(remedy)
            self.feed(Event("exited", now, place, children.start_failure(error), mask_text(detail)))
            return
        if child.process is not None:
            crew.by_pid[child.process.pid] = place
            self.guardian.add(child.process.pid)
        if self.showing.line_rule is not None and child.printed is None:
            child.printed = PrintedCounts(
                self.showing.line_rule,
                self.clock,
                lambda: self.announcements.printed(place),
                lambda problem: self.announcements.printed_oddly(place, problem),
            )
        prefix = f"[{instance.index:>{self.width}}] ".encode()
        self.listener.listen(place, child, prefix, self.logs.get(instance.index), self.showing.stamp)
        if child.binding.refused:
            crew.note(f"instance {instance.index}: memory is not bound as planned: {child.binding.refused}")

    def prepare(self, child: Child) -> None:
        """End and close what a former attempt of this worker has left."""
        if child.process is not None:
            if not child.group_is_gone:
                children.signal_group(child, signal.SIGKILL)
            self.listener.forget(child)
            children.close(child)
            children.begin_attempt(child)

    def on_signals(self, _: int) -> None:
        """Collect ended children and note requests to end."""
        for number in self.wakeup.arrived():
            if number in ENDING:
                if not self.crew.state.stopping:
                    alive = counted(len(self.crew.state.alive), "worker")
                    self.means.tell(f"{signal.Signals(number).name}: stopping {alive}")
                self.feed(Event("signalled", self.clock(), code=number))
        self.collector.reap()

    def asked_to_end(self) -> bool:
        """Whether somebody has asked for the end, before every worker had ended or since."""
        return self.crew.state.stopping or self.wakeup.is_asked()

    def feed(self, event: Event) -> None:
        """Give an event to the pure step and carry out its commands."""
        crew = self.crew
        before, recovered = len(crew.state.failures), len(crew.state.recovered)
        crew.state, commands = lifecycle.step(crew.state, event)
        for failure in crew.state.failures[before:]:
            others = " (stopping the others)" if any(command.kind == "terminate" for command in commands) else ""
            self.means.tell(f"instance {crew.index(failure.index)} {failure.message}{others}")
        for failure in crew.state.recovered[recovered:]:
            worker = crew.state.workers[failure.index]
            comes_back = worker.phase == "waiting" and not (self.feeder is not None and self.feeder.problem)
            again = f"; restart {worker.restarts} in {worker.start_at - failure.time:g} s" if comes_back else ""
            self.means.tell(f"instance {crew.index(failure.index)} {failure.message}{again}")
        for command in commands:
            self.obey(command, event.time)
        if event.kind != "counted":
            self.announcements.follow_phases(event.time)

    def obey(self, command: Command, now: float) -> None:
        """Carry out one command."""
        if command.kind == "start":
            for place in command.indices:
                self.start(place)
        elif command.kind == "go":
            self.say(command.indices, "go", time=now)
        elif command.kind == "release":
            self.say(command.indices, "exit")
        elif command.kind == "terminate":
            self.crew.look_before_end(command.indices)
            self.crew.signal_all(command.indices, signal.SIGTERM)
        elif command.kind == "kill":
            did_not = "end" if self.crew.state.stopping else "get ready, or end, in time"
            self.means.tell(f"killing {counted(len(command.indices), 'worker')} that did not {did_not}")
            self.crew.signal_all(command.indices, signal.SIGKILL)
        elif command.kind == "done":
            self.done = True

    def say(self, places: tuple[int, ...], command: str, **fields: object) -> None:
        """Send a command to these workers."""
        for place in places:
            self.listener.send(place, self.crew.children[place], command_line(command, **fields))
