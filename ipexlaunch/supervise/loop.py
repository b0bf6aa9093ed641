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
from typing import TYPE_CHECKING

from ipexlaunch import lifecycle
from ipexlaunch.lifecycle import Command, Event, Limits
from ipexlaunch.supervise import child as children
from ipexlaunch.supervise.child import Child
from ipexlaunch.supervise.guardian import MARK, Guardian
from ipexlaunch.supervise.listen import Listener
from ipexlaunch.supervise.means import Means, Showing
from ipexlaunch.supervise.output import Log
from ipexlaunch.supervise.timers import Timers
from ipexlaunch.supervise.wakeup import ENDING, Wakeup

if TYPE_CHECKING:
    from ipexlaunch.launch import Launch
    from ipexlaunch.record import Run
    from ipexlaunch.snapshot import Snapshot
    from ipexlaunch.supervise.feed import Feeder
    from ipexlaunch.supervise.long_phases import LongPhases
    from ipexlaunch.supervise.messages import Said
    from ipexlaunch.supervise.watch import Watcher
    from ipexlaunch.told import Told

# What is only needed once the workers run is imported in the functions below, while the workers start.

LAST_WORDS_S = 5.0
"""How long the display may take for what is left at the end."""


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
    with Wakeup() as wakeup:
        loop = _Loop(launch, means, inherited, limits, showing or Showing(), watchers, proof_interval_s, wakeup, feeder)
        return loop.run()


class _Loop:
    """The state of one call of `supervise`."""

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
        self.limits = limits
        self.showing = showing
        self.wakeup = wakeup
        self.feeder = feeder
        self.notes: list[str] = list(launch.notes)
        self.children = [Child(worker=worker) for worker in launch.workers]
        self.width = len(str(len(self.children) - 1))
        self.file_limit = children.make_room_for(len(self.children))
        self.by_pid: dict[int, int] = {}
        self.logs = {i: Log(path, self.note, showing.largest_log_bytes) for i, path in showing.logs.items()}
        self.listener = Listener(
            showing.outputs, self.on_said, self.clock, feeder.longest_message_bytes if feeder is not None else None
        )
        self.listener.selector.register(wakeup, selectors.EVENT_READ, self.on_signals)
        self.own_peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.oom_kills = means.oom_kills()
        self.state = lifecycle.begin(len(self.children), limits, self.clock())
        self.done = False
        self.timers = Timers()
        self.watchers = watchers
        for watcher in watchers:
            self.attend(watcher)
        if proof_interval_s is not None:
            self.timers.every(proof_interval_s, self.clock(), self.look_at_all)
        self.long_phases: LongPhases | None = None
        self.long_phase_due: float | None = None
        self.run_id = os.urandom(8).hex()
        self.guardian = Guardian(self.run_id)

    def attend(self, watcher: Watcher) -> None:
        """Serve a watcher from now on."""
        if watcher.interval_s is not None:
            self.timers.every(watcher.interval_s, self.clock(), lambda _: watcher.tick(self.now()))
        descriptor = watcher.fileno()
        if descriptor is not None:
            self.listener.selector.register(descriptor, selectors.EVENT_READ, lambda _: watcher.ready(self.now))

    def now(self) -> Snapshot:
        """How the run stands."""
        from ipexlaunch.supervise.account import snapshot

        return snapshot(self.children, self.state, self.clock())

    def note(self, text: str) -> None:
        """Say it now and keep it for the report."""
        self.notes.append(text)
        self.means.tell(text)

    def run(self) -> Run:
        """Start, watch, stop; see `supervise`."""
        try:
            self.feed(Event("tick", self.clock()))
            while not self.done:
                self.wait_once()
            self.end_what_is_left()
            self.end_feeding()
            for watcher in self.watchers:
                if watcher.interval_s is not None:
                    watcher.tick(self.now())
        except BaseException:
            self.abandon()
            raise
        finally:
            for watcher in self.watchers:
                watcher.close()
            self.guardian.end()
            os.close(self.slot)
            for log in self.logs.values():
                log.close()
            for child in self.children:
                children.close(child)
        self.listener.show_rest(LAST_WORDS_S)
        from ipexlaunch.supervise.account import account

        return account(self.children, self.state, self.clock(), self.notes, self.logs)

    def wait_once(self) -> None:
        """Wait for the next thing to happen and deal with it."""
        deadline = lifecycle.next_deadline(self.state)
        fed = self.feeder.due() if self.feeder is not None else None
        times = (deadline, self.timers.next_due(), self.long_phase_due, fed)
        until = min((time for time in times if time is not None), default=None)
        if self.feeder is not None and not self.state.stopping and (rest_s := self.feeder.rest_s()):
            self.wakeup.wait(rest_s)
        self.listener.wait(None if until is None else max(0.0, until - self.clock()))
        now = self.clock()
        if deadline is not None and now >= deadline:
            self.feed(Event("tick", now))
        if self.long_phase_due is not None and now >= self.long_phase_due:
            self.follow_phases(now)
        self.timers.run(now)
        if self.feeder is not None:
            self.mind_feeding(self.feeder, now)

    def start(self, index: int) -> None:
        """Start a worker; one that cannot be started is a failure like any other, and may stop the rest."""
        child, instance, now = self.children[index], self.children[index].worker.instance, self.clock()
        if self.state.stopping:
            # Another worker of the same round could not be started.
            self.feed(Event("exited", now, index, -signal.SIGTERM))
            return
        self.prepare(child)
        child.started = now
        try:
            with self.means.hold(instance.cpus, instance.memory, instance.nodes) as child.binding:
                children.start(child, self.inherited, {MARK: self.run_id}, self.slot, self.file_limit)
        except OSError as error:
            detail = f"could not be started: {error.strerror}: {error.filename or child.worker.argv[0]}"
            self.feed(Event("exited", now, index, children.start_failure(error), detail))
            return
        if child.process is not None:
            self.by_pid[child.process.pid] = index
            self.guardian.add(child.process.pid)
        if self.showing.line_rule is not None and child.printed is None:
            from ipexlaunch.supervise.printed_counts import PrintedCounts

            child.printed = PrintedCounts(
                self.showing.line_rule, self.clock, lambda: self.on_printed(index), lambda it: self.on_odd(index, it)
            )
        prefix = f"[{index:>{self.width}}] ".encode()
        self.listener.listen(index, child, prefix, self.logs.get(instance.index), self.showing.stamp)
        if child.binding.refused:
            self.note(f"instance {index}: memory is not bound as planned: {child.binding.refused}")

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
                if not self.state.stopping:
                    self.means.tell(f"{signal.Signals(number).name}: stopping {len(self.state.alive)} workers")
                self.feed(Event("signalled", self.clock(), code=number))
        self.reap()

    def on_said(self, index: int, said: Said, now: float) -> None:
        """Act on what a worker announced."""
        child = self.children[index]
        if said.problem and not child.warned:
            child.warned = True
            self.note(f"instance {index} said something that is not understood: {said.problem}")
        elif said.event == "progress" and self.limits.stall_timeout_s is not None:
            self.feed(Event("counted", now, index))
        elif said.event in ("phase", "invalid") and child.told is not None:
            self.keep_told(index, child.told, said, now)
        elif said.event == "ready" and child.ready is None:
            if child.printed is not None:
                self.listener.take_printed(child)  # what came before does not count
            children.begin_measurement(child, now)
            self.look_at(child)
            self.feed(Event("ready", now, index))
        elif said.event == "finished" and child.finished is None:
            child.finished = now
            self.look_at(child)
            self.feed(Event("finished", now, index))
        elif said.event in ("want", "done", "failed"):
            self.on_batches(index, said, now)

    def on_batches(self, index: int, said: Said, now: float) -> None:
        """Pass on what a worker says of its batches."""
        child = self.children[index]
        if self.feeder is not None:
            self.feeder.said(index, said, now)
            self.obey_feeder(self.feeder)
        elif not child.warned:
            child.warned = True
            self.note(f"instance {index} asks for items, but there are none: `ipexlaunch batch` gives them")

    def mind_feeding(self, feeder: Feeder, now: float) -> None:
        """Let the feeder do what is due, and tell the life of the run once nothing is left or it cannot go on."""
        due = feeder.due()
        if due is not None and now >= due:
            feeder.tick(now)
        self.obey_feeder(feeder)
        if feeder.problem and not self.state.stopping:
            self.note(feeder.problem)
            self.feed(Event("abandoned", now))
        elif feeder.over and not self.state.drained:
            self.feed(Event("drained", now))

    def obey_feeder(self, feeder: Feeder) -> None:
        """Do what the feeder wants done."""
        for index, line in feeder.take_lines():
            if not self.state.stopping:
                self.listener.send(index, self.children[index], line)
        for count in feeder.take_counts():
            self.children[count.worker].samples.add(count.time, count.items, 0, count.latency_s)
        for note in feeder.take_notes():
            self.note(note)
        for index, reason in feeder.take_stuck():
            self.note(f"instance {index} {reason} and is killed")
            children.signal_group(self.children[index], signal.SIGKILL)

    def end_feeding(self) -> None:
        """Everybody has ended: what was done and is not durable yet becomes so."""
        if self.feeder is not None:
            self.feeder.close(self.clock())
            self.obey_feeder(self.feeder)

    def on_printed(self, index: int) -> None:
        """A worker has printed what counts."""
        if self.limits.stall_timeout_s is not None:
            self.feed(Event("counted", self.clock(), index))

    def on_odd(self, index: int, problem: str) -> None:
        """A worker has printed what should count and does not."""
        self.note(f"instance {index} printed a line that --throughput-regex matches, but {problem}")

    def keep_told(self, place: int, told: Told, said: Said, now: float) -> None:
        """Keep a phase or a doubt that a worker announced."""
        child = self.children[place]
        index = child.worker.instance.index
        if said.event == "invalid":
            if told.add_invalid(said.text):
                self.means.tell(f"instance {index} is not to be believed: {told.invalid[-1]}")
        elif child.ready is None:
            # A clock of its own, such as that of a time namespace, would make phases longer than the run.
            begun = told.phases[-1].begin if told.phases else child.started
            told.begin_phase(said.text, said.time if begun <= said.time <= now else now)
            if self.long_phases is None and self.showing.long_phase_s is not None:
                from ipexlaunch.supervise.long_phases import LongPhases

                self.long_phases = LongPhases(self.showing.long_phase_s)
            self.feed(Event("phase", now, place, detail=said.text))
        elif not child.warned:
            child.warned = True
            self.note(f"instance {index} announced the phase {said.text!r} after it was ready; that is not reported")

    def follow_phases(self, now: float) -> None:
        """Say what workers have been busy with for long, and note when the next line is due."""
        if self.long_phases is None:
            return
        pairs = zip(self.children, self.state.workers, strict=True)
        busy = [(c.worker.instance.index, w.busy_with, w.busy_since) for c, w in pairs if w.busy_with]
        if self.state.stopping:
            busy.clear()
        line = self.long_phases.line(busy, now)
        if line:
            self.means.tell(line)
        self.long_phase_due = self.long_phases.due(busy)

    def look_at(self, child: Child) -> None:
        """Read back where the worker is; it waits for our answer meanwhile, so nothing moves."""
        if child.process is not None:
            children.keep(child, self.means.inspect(child.process.pid))

    def look_at_all(self, _: float) -> None:
        """Read back where every worker is that runs or never says a word, as far as that may cost."""
        for child, worker in zip(self.children, self.state.workers, strict=True):
            if worker.phase in ("starting", "running") and child.process is not None:
                children.keep(child, self.means.glance(child.process.pid))

    def reap(self) -> None:
        """Collect every child that has ended: workers, the guardian, and orphans that were adopted."""
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.guardian.pid:
                self.guardian.reaped(status)
            elif pid in self.by_pid:
                self.ended(self.by_pid.pop(pid), os.waitstatus_to_exitcode(status), usage)

    def ended(self, index: int, code: int, usage: resource.struct_rusage) -> None:
        """Note a worker's end, after its last words."""
        child = self.children[index]
        if child.process is not None:
            child.process.returncode = code
        child.cpu_s += usage.ru_utime + usage.ru_stime
        # Linux carries the launcher's own resident set over the exec (exec_mmap in fs/exec.c): only more is told.
        if usage.ru_maxrss > self.own_peak_kb:
            child.peak_memory_bytes = usage.ru_maxrss * 1024
        self.listener.drain(index, child)
        if child.told is not None:
            child.told.end_phase(self.clock())
        child.exited = self.clock()
        child.group_is_gone = children.group_is_gone(child)
        if child.process is not None and child.group_is_gone:
            self.guardian.gone(child.process.pid)
        if code == -signal.SIGKILL and not self.state.stopping:
            self.explain_kill(index)
        now = self.clock()
        if self.feeder is not None:
            from ipexlaunch.exit_words import describe_exit

            self.feeder.lost(index, describe_exit(code), now)
            self.obey_feeder(self.feeder)
        self.feed(Event("exited", now, index, code))

    def explain_kill(self, index: int) -> None:
        """Say so where the kernel has killed for want of memory meanwhile."""
        kills = self.means.oom_kills()
        if kills is not None and self.oom_kills is not None and kills > self.oom_kills:
            self.oom_kills = kills
            self.note(
                f"instance {index}: the kernel killed a process for want of memory (oom_kill in /proc/vmstat): its "
                "node's under bind, its cgroup's, or the host's; dmesg tells which"
            )

    def feed(self, event: Event) -> None:
        """Give an event to the pure step and carry out its commands."""
        before, recovered = len(self.state.failures), len(self.state.recovered)
        self.state, commands = lifecycle.step(self.state, event)
        if len(self.state.failures) > before:
            self.listener.show_now()  # a worker's last words stand before what we say of its end
        for failure in self.state.failures[before:]:
            others = " (stopping the others)" if any(command.kind == "terminate" for command in commands) else ""
            self.means.tell(f"instance {failure.index} {failure.message}{others}")
        for failure in self.state.recovered[recovered:]:
            worker = self.state.workers[failure.index]
            wait = worker.start_at - failure.time
            again = f"; restart {worker.restarts} in {wait:g} s" if worker.phase == "waiting" else ""
            self.note(f"instance {failure.index} {failure.message}{again}")
        for command in commands:
            self.obey(command, event.time)
        if event.kind != "counted":
            self.follow_phases(event.time)

    def obey(self, command: Command, now: float) -> None:
        """Carry out one command."""
        if command.kind == "start":
            for index in command.indices:
                self.start(index)
        elif command.kind == "go":
            self.say(command.indices, "go", time=now)
        elif command.kind == "release":
            self.say(command.indices, "exit")
        elif command.kind == "terminate":
            self.signal_all(command.indices, signal.SIGTERM)
        elif command.kind == "kill":
            did_not = "end" if self.state.stopping else "get ready, or end, in time"
            self.means.tell(f"killing {len(command.indices)} workers that did not {did_not}")
            self.signal_all(command.indices, signal.SIGKILL)
        elif command.kind == "done":
            self.done = True

    def say(self, indices: tuple[int, ...], command: str, **fields: object) -> None:
        """Send a command to these workers."""
        from ipexlaunch.supervise.messages import command_line

        for index in indices:
            self.listener.send(index, self.children[index], command_line(command, **fields))

    def signal_all(self, indices: tuple[int, ...], number: signal.Signals) -> None:
        """Signal the process groups of these workers; a stopped one must run to be able to end."""
        for index in indices:
            children.signal_group(self.children[index], number)
            children.signal_group(self.children[index], signal.SIGCONT)

    def end_what_is_left(self) -> None:
        """Leave no process behind."""
        from ipexlaunch.supervise.leftovers import end_leftovers

        def wait(seconds: float) -> None:
            self.listener.wait(seconds)
            self.reap()

        ours = {*self.by_pid, self.guardian.pid}
        ended = end_leftovers(self.means.descendants, ours, self.limits.grace_s, wait, self.clock)
        if ended:
            self.note(f"ended {ended} processes that the workers had left behind")
        for index, child in enumerate(self.children):
            self.listener.drain(index, child)
            self.listener.forget(child)

    def abandon(self) -> None:
        """Kill everything at once: an error is on its way up."""
        from ipexlaunch.supervise.leftovers import signal_process

        for child in self.children:
            children.signal_group(child, signal.SIGKILL)
        for pid in self.means.descendants(os.getpid()):
            if pid != self.guardian.pid and pid not in self.by_pid:
                signal_process(pid, signal.SIGKILL)
        for child in self.children:
            if child.process is not None and child.process.returncode is None:
                child.process.wait()
