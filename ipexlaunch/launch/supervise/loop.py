"""The supervisor's loop: waits for the kernel to say that something happened, feeds `lifecycle.step`, obeys it.

Nothing polls: output and messages come through descriptors, exits and requests to end through a signal's wake-up
descriptor, and a time limit is the wait's own.
"""

from __future__ import annotations

import os
import sched
import selectors
import signal
from collections.abc import Callable, Mapping, Sequence

from ipexlaunch.launch import lifecycle
from ipexlaunch.launch.background_writer import LAST_WORDS_S, WritingThread
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Command, Event, Limits
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.share_start import Sharing
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.descendants import LOOK_S, DescendantWatch, check_counts
from ipexlaunch.launch.supervise.handle_messages import FeederDriver, MessageHandler
from ipexlaunch.launch.supervise.hear_hosts import HostsDriver
from ipexlaunch.launch.supervise.interfaces import Feeder, Observer, OtherHosts, OutputOptions, SupervisorCallbacks
from ipexlaunch.launch.supervise.log_files import Log
from ipexlaunch.launch.supervise.message_protocol import command_line
from ipexlaunch.launch.supervise.reap import Guardian, Reaper
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.server_interfaces import ServerKeeper
from ipexlaunch.launch.supervise.shared_files import shared_files
from ipexlaunch.launch.supervise.side_process import SideProcess
from ipexlaunch.launch.supervise.start_workers import Starter
from ipexlaunch.launch.supervise.take_signals import EndRequests, SignalWakeup
from ipexlaunch.launch.supervise.template_process import TemplateProcess
from ipexlaunch.launch.supervise.tend_servers import ServersDriver
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.wording import counted

CLAIMS_INTERVAL_S = 5.0
"""So late is the rate that a worker has printed of itself."""


def supervise(
    launch: Launch,
    callbacks: SupervisorCallbacks,
    inherited: Mapping[str, str],
    limits: Limits,
    showing: OutputOptions | None = None,
    observers: Sequence[Observer] = (),
    proof_interval_s: float | None = None,
    feeder: Feeder | None = None,
    host_cpus: int = 0,
    sharing: Sharing | None = None,
    draining: frozenset[int] = frozenset(),
    others: OtherHosts | None = None,
    keeper: ServerKeeper | None = None,
) -> Run:
    """Run every worker of a launch to its end and return what happened; nothing that it started outlives it.

    Call it from the main thread: signals arrive there, and workers inherit that thread's binding.

    Args:
        launch: what to start.
        callbacks: acts that it needs.
        inherited: environment of the workers, before their own additions.
        limits: time limits and what a failure does.
        showing: what becomes of the workers' output.
        observers: told what happens, and how the run stands while it lasts.
        proof_interval_s: how often running workers are looked at; None: after warm-up and at the end only.
        feeder: gives the workers their items; `limits.fed` says so too.
        host_cpus: how many cpus the workers may use, where the plan names none.
        sharing: which workers share their start; None for none.
        draining: signals of which the first has the feeder give nothing more, and does not end the run.
        others: hosts that begin together with this one; `limits.across_hosts` says so too.
        keeper: decides about servers; `limits.serving` says so too.

    Raises:
        BindError: a worker could not be bound and the run may not go on without; what was started is stopped.
    """
    showing = showing or OutputOptions()
    with SignalWakeup() as wakeup, shared_files(launch) as launch:
        try:
            worker_set = WorkerSet(launch, callbacks, limits, inherited, observers, host_cpus, showing.logs)
            loop = _Loop(
                launch, worker_set, inherited, showing, observers, proof_interval_s, wakeup, feeder, sharing, draining,
                others, keeper,
            )  # fmt: skip
        except BaseException:  # the system refuses a thread, a pipe, the guardian: no worker was started
            for observer in observers:
                observer.close()
            raise
        return loop.run()


class _Loop:
    """The state of one call of `supervise`: what is waited for, and what starts and ends workers."""

    def __init__(
        self,
        launch: Launch,
        worker_set: WorkerSet,
        inherited: Mapping[str, str],
        showing: OutputOptions,
        observers: Sequence[Observer],
        proof_interval_s: float | None,
        wakeup: SignalWakeup,
        feeder: Feeder | None,
        sharing: Sharing | None,
        draining: frozenset[int],
        others: OtherHosts | None,
        keeper: ServerKeeper | None,
    ) -> None:
        self.callbacks = callbacks = worker_set.callbacks
        self.clock = callbacks.clock
        self.wakeup = wakeup
        self.feeder = feeder
        self.worker_set = worker_set
        slot = children.open_slot()  # first of all
        file_limit = children.make_room_for(len(worker_set.children))
        self.log_thread = WritingThread("ipexlaunch-logs")
        self.log_thread.start()
        largest = showing.largest_log_bytes
        self.logs = {i: Log(path, worker_set.note, largest, self.log_thread) for i, path in showing.logs.items()}
        self.listener = OutputReader(
            showing.outputs,
            lambda place, said, now: self.announcements.heard(place, said, now),
            self.clock,
            feeder.longest_message_bytes if feeder is not None else None,
        )
        self.listener.selector.register(wakeup, selectors.EVENT_READ, self.on_signals)
        if feeder is not None and feeder.disk is not None:
            self.listener.selector.register(feeder.disk, selectors.EVENT_READ, lambda _: None)  # it is minded anyway
        self.others = None if others is None else HostsDriver(others, worker_set, self.listener, observers, self.feed)
        self.done = False
        self.timers = sched.scheduler(self.clock)
        self.observers = observers
        for observer in observers:
            self.attend(observer)
        if proof_interval_s is not None:
            self.every(proof_interval_s, worker_set.look_at_all)
        by_lines = "--throughput-regex" if showing.line_rule is not None else ""
        self.asked_by = "--count-calls" if "--count-calls" in launch.job.runner else by_lines
        if self.asked_by:
            self.every(LOOK_S, DescendantWatch(worker_set).look)
            self.every(CLAIMS_INTERVAL_S, worker_set.add_claims)
        run_id = os.urandom(8).hex()
        self.guardian = Guardian(run_id, callbacks.confinement, () if keeper is None else keeper.leftovers)
        self.tended = None if feeder is None else FeederDriver(feeder, worker_set, self.listener, self.feed)
        self.announcements = MessageHandler(worker_set, self.listener, self.feed, self.tended, showing.long_phase_s)
        self.starter = Starter(
            launch, worker_set, self.listener, self.guardian, self.announcements, self.feed, showing, self.logs,
            inherited, run_id, sharing or Sharing(), slot, file_limit,
        )  # fmt: skip
        self.servers: ServersDriver | None = None
        beside: list[TemplateProcess | SideProcess] = [*self.starter.templates]
        if keeper is not None:
            self.servers = ServersDriver(keeper, worker_set, self.starter, self.announcements, self.feed)
            beside += filter(None, [self.servers.side])
        self.requests = EndRequests(worker_set, wakeup, self.tended, self.servers, draining, self.feed)
        self.listener.selector.register(wakeup.warning, selectors.EVENT_READ, lambda _: self.requests.warned())
        self.collector = Reaper(worker_set, self.listener, self.guardian, self.feed, self.tended, beside)

    def every(self, interval_s: float, act: Callable[[], None]) -> None:
        """Act at this interval, first after one; what was held up is not made up for."""

        def act_again() -> None:
            self.timers.enter(interval_s, 0, act_again)
            act()

        self.timers.enter(interval_s, 0, act_again)

    def attend(self, observer: Observer) -> None:
        """Serve an observer from now on."""
        if observer.interval_s is not None:
            self.every(observer.interval_s, lambda: observer.tick(self.worker_set.now))
        if (descriptor := observer.fileno()) is not None:
            self.listener.selector.register(
                descriptor, selectors.EVENT_READ, lambda _: observer.ready(self.worker_set.now)
            )

    def run(self) -> Run:
        """Start, watch, stop; see `supervise`."""
        try:
            self.feed(Event("tick", self.clock()))
            while not self.done:
                self.wait_once()
            self.starter.end()
            if self.servers is not None:
                self.servers.end()
            self.collector.end_leftovers()
            if self.asked_by:
                check_counts(self.worker_set, self.asked_by)
            if self.tended is not None:
                # Somebody may have asked for the end before every worker had ended, or since.
                worker_set, tell = self.worker_set, self.callbacks.tell
                patience = DiskPatience(
                    worker_set.limits.grace_s, lambda: worker_set.state.stopping or self.wakeup.is_asked(), tell
                )
                self.tended.end(patience.wait)
            for observer in self.observers:
                if observer.interval_s is not None:
                    observer.tick(self.worker_set.now)
        except BaseException:
            self.collector.abandon()
            raise
        finally:
            for observer in self.observers:
                observer.close()
            self.guardian.end()
            self.starter.close()
            for log in self.logs.values():
                log.close()
            for child in self.worker_set.children:
                children.close(child)
            self.listener.close()
        if not self.log_thread.wait(LAST_WORDS_S):
            self.worker_set.note(f"logs are not complete: their disk took nothing for {LAST_WORDS_S:g} s")
        return self.worker_set.end()

    def wait_once(self) -> None:
        """Wait for the next thing to happen and deal with it."""
        rest_s = self.timers.run(blocking=False)
        state, feeder = self.worker_set.state, self.feeder
        deadline, fed = lifecycle.next_deadline(state), feeder.due() if feeder is not None else None
        phases = self.announcements.long_phases
        phases_due = phases.next_due if phases is not None else None
        timer = None if rest_s is None else self.clock() + rest_s
        kept = self.servers.due() if self.servers is not None else None
        until = min((time for time in (deadline, timer, phases_due, fed, kept) if time is not None), default=None)
        if feeder is not None and not state.stopping and (pause_s := feeder.rest_s()):
            self.wakeup.wait(pause_s)
        self.listener.wait(None if until is None else max(0.0, until - self.clock()))
        now = self.clock()
        if deadline is not None and now >= deadline:
            self.feed(Event("tick", now))
        if phases is not None and phases_due is not None and now >= phases_due:
            phases.follow(self.worker_set, now)
        if self.tended is not None:
            self.tended.mind(now)
        if self.servers is not None and kept is not None and now >= kept:
            self.servers.mind(now)

    def on_signals(self, _: int) -> None:
        """Collect ended children and note requests to end."""
        self.requests.hear()
        self.collector.reap()

    def feed(self, event: Event) -> None:
        """Give an event to the pure step and carry out its commands."""
        worker_set, before = self.worker_set, self.worker_set.state
        worker_set.state, commands = lifecycle.step(before, event)
        for failure in worker_set.state.failures[len(before.failures) :]:
            others = " (stopping the others)" if any(command.kind == "terminate" for command in commands) else ""
            self.callbacks.tell(f"instance {worker_set.index(failure.index)} {failure.message}{others}")
        for failure in worker_set.state.recovered[len(before.recovered) :]:
            worker = worker_set.state.workers[failure.index]
            comes_back = worker.phase == "waiting" and not (self.feeder is not None and self.feeder.problem)
            again = f"; restart {worker.restarts} in {worker.start_at - failure.time:g} s" if comes_back else ""
            self.callbacks.tell(f"instance {worker_set.index(failure.index)} {failure.message}{again}")
        if self.others is not None:
            self.others.follow(before)
        if event.kind != "counted":
            worker_set.add_transition(before, event.index if event.kind == "exited" else None)
        for command in commands:
            self.obey(command, event.time)
        phases = self.announcements.long_phases
        if phases is not None and event.kind != "counted":
            phases.follow(worker_set, event.time)

    def obey(self, command: Command, now: float) -> None:
        """Carry out one command."""
        if command.kind == "start":
            for place in command.indices:
                self.starter.start(place)
        elif command.kind in ("go", "release"):
            line = command_line("go", time=now) if command.kind == "go" else command_line("exit")
            for place in command.indices:
                self.listener.send(place, self.worker_set.children[place], line)
        elif command.kind == "ready" and self.others is not None:
            self.others.ready()
        elif command.kind == "terminate":
            self.worker_set.glance_at(command.indices)
            self.worker_set.signal_all(command.indices, signal.SIGTERM)
            self.starter.cancel(command.indices, signal.SIGTERM)
        elif command.kind == "kill":
            did_not = "end" if self.worker_set.state.stopping else "get ready, or end, in time"
            self.callbacks.tell(f"killing {counted(len(command.indices), 'worker')} that did not {did_not}")
            self.worker_set.signal_all(command.indices, signal.SIGKILL)
            self.starter.cancel(command.indices, signal.SIGKILL)
        elif command.kind == "done":
            self.done = True
