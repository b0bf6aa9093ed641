"""The supervisor's loop: waits for the kernel to say that something happened, feeds `lifecycle.step`, obeys it.

Nothing polls: output and messages come through descriptors, exits and requests to end through a signal's wake-up
descriptor, and a time limit is the wait's own.
"""

from __future__ import annotations

import os
import resource
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

from ipexlaunch import lifecycle
from ipexlaunch.launch import Launch
from ipexlaunch.lifecycle import Command, Event, Limits
from ipexlaunch.placement import Binding, Placement
from ipexlaunch.record import Run, WorkerRecord
from ipexlaunch.supervise import child as children
from ipexlaunch.supervise.child import Child
from ipexlaunch.supervise.guardian import MARK, Guardian
from ipexlaunch.supervise.leftovers import end_leftovers, signal_process
from ipexlaunch.supervise.listen import Listener, open_logs
from ipexlaunch.supervise.messages import Said, command_line
from ipexlaunch.supervise.wakeup import ENDING, Wakeup

LAST_WORDS_S = 5.0
"""How long the display may take for what is left at the end."""

Hold = Callable[[frozenset[int], str, frozenset[int]], AbstractContextManager[Binding]]
Inspect = Callable[[int], Placement | None]


def supervise(
    launch: Launch,
    *,
    hold: Hold,
    inspect: Inspect,
    descendants: Callable[[int], list[int]],
    inherited: Mapping[str, str],
    limits: Limits,
    tell: Callable[[str], None],
    logs: Mapping[int, str] | None = None,
    outputs: tuple[int, int] = (1, 2),
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Run every worker of a launch to its end and return what happened; nothing that it started outlives it.

    Call it from the main thread: signals arrive there, and workers inherit that thread's binding.

    Args:
        launch: what to start.
        hold: binds the calling thread to (cpus, memory policy, nodes) within a context.
        inspect: reads back where a process is.
        descendants: the processes below a process.
        inherited: environment of the workers, before their own additions.
        limits: time limits and what a failure does.
        tell: says a line to the user.
        logs: instance index to the path of its log file.
        outputs: descriptors that the workers' stdout and stderr are shown on.
        clock: seconds, monotonic, the same as the workers'.

    Raises:
        BindError: a worker could not be bound and the run may not go on without; what was started is stopped.
    """
    with Wakeup() as wakeup:
        loop = _Loop(launch, hold, inspect, descendants, limits, tell, logs or {}, outputs, clock, wakeup)
        return loop.run(inherited)


class _Loop:
    """The state of one call of `supervise`."""

    def __init__(
        self,
        launch: Launch,
        hold: Hold,
        inspect: Inspect,
        descendants: Callable[[int], list[int]],
        limits: Limits,
        tell: Callable[[str], None],
        logs: Mapping[int, str],
        outputs: tuple[int, int],
        clock: Callable[[], float],
        wakeup: Wakeup,
    ) -> None:
        # Every worker's channel gets this number, the lowest that was free: a POSIX shell can only redirect to the
        # descriptors 0 to 9.
        self.slot = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.hold = hold
        self.inspect = inspect
        self.descendants = descendants
        self.limits = limits
        self.tell = tell
        self.clock = clock
        self.wakeup = wakeup
        self.notes: list[str] = list(launch.notes)
        self.children = [Child(worker=worker) for worker in launch.workers]
        self.by_pid: dict[int, int] = {}
        self.logs = open_logs(logs, self.note)
        self.listener = Listener(outputs, self.on_said, clock)
        self.listener.selector.register(wakeup, selectors.EVENT_READ, self.on_signals)
        self.own_peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self.state = lifecycle.begin(len(self.children), limits, clock())
        self.done = False
        self.run_id = os.urandom(8).hex()
        self.guardian = Guardian(self.run_id)

    def note(self, text: str) -> None:
        """Say it now and keep it for the report."""
        self.notes.append(text)
        self.tell(text)

    def run(self, inherited: Mapping[str, str]) -> Run:
        """Start, watch, stop; see `supervise`."""
        try:
            self.start_all(inherited)
            while not self.done:
                self.wait_once()
            self.end_what_is_left()
        except BaseException:
            self.abandon()
            raise
        finally:
            self.guardian.end()
            os.close(self.slot)
            for log in self.logs.values():
                log.close()
        self.listener.show_rest(LAST_WORDS_S)
        return self.result()

    def start_all(self, inherited: Mapping[str, str]) -> None:
        """Start every worker; one that cannot be started is a failure like any other, and may stop the rest."""
        width = len(str(len(self.children) - 1))
        for index, child in enumerate(self.children):
            instance = child.worker.instance
            child.started = self.clock()
            if self.state.stopping:
                self.feed(Event("exited", child.started, index, -signal.SIGTERM))
                continue
            try:
                with self.hold(instance.cpus, instance.memory, instance.nodes) as child.binding:
                    children.start(child, inherited, {MARK: self.run_id}, self.slot)
            except OSError as error:
                detail = f"could not be started: {error.strerror}: {error.filename or child.worker.argv[0]}"
                self.feed(Event("exited", child.started, index, children.start_failure(error), detail))
                continue
            if child.process is not None:
                self.by_pid[child.process.pid] = index
                self.guardian.add(child.process.pid)
            self.listener.listen(index, child, f"[{index:>{width}}] ".encode(), self.logs.get(instance.index))
            if child.binding.refused:
                self.note(f"instance {index}: memory is not bound as planned: {child.binding.refused}")

    def wait_once(self) -> None:
        """Wait for the next thing to happen and deal with it."""
        deadline = lifecycle.next_deadline(self.state)
        self.listener.wait(None if deadline is None else max(0.0, deadline - self.clock()))
        now = self.clock()
        if deadline is not None and now >= deadline:
            self.feed(Event("tick", now))

    def on_signals(self, _: int) -> None:
        """Collect ended children and note requests to end."""
        for number in self.wakeup.arrived():
            if number in ENDING:
                if not self.state.stopping:
                    self.tell(f"{signal.Signals(number).name}: stopping {len(self.state.alive)} workers")
                self.feed(Event("signalled", self.clock(), code=number))
        self.reap()

    def on_said(self, index: int, said: Said, now: float) -> None:
        """Act on what a worker announced."""
        child = self.children[index]
        if said.problem and not child.warned:
            child.warned = True
            self.note(f"instance {index} said something that is not understood: {said.problem}")
        elif said.event == "ready" and child.ready is None:
            child.ready = now
            self.look_at(child)
            self.feed(Event("ready", now, index))
        elif said.event == "finished" and child.finished is None:
            child.finished = now
            self.look_at(child)
            self.feed(Event("finished", now, index))

    def look_at(self, child: Child) -> None:
        """Read back where the worker is; it waits for our answer meanwhile, so nothing moves."""
        placement = self.inspect(child.process.pid) if child.process is not None else None
        if placement is not None:
            child.placements.append(placement)

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
                self.ended(self.by_pid[pid], os.waitstatus_to_exitcode(status), usage)

    def ended(self, index: int, code: int, usage: resource.struct_rusage) -> None:
        """Note a worker's end, after its last words."""
        child = self.children[index]
        if child.process is not None:
            child.process.returncode = code
        child.cpu_s = usage.ru_utime + usage.ru_stime
        # Linux carries the launcher's own resident set over the exec (exec_mmap in fs/exec.c): only more is told.
        if usage.ru_maxrss > self.own_peak_kb:
            child.peak_memory_bytes = usage.ru_maxrss * 1024
        self.listener.drain(index, child)
        if child.process is not None and children.group_is_gone(child):
            self.guardian.gone(child.process.pid)
        self.feed(Event("exited", self.clock(), index, code))

    def feed(self, event: Event) -> None:
        """Give an event to the pure step and carry out its commands."""
        before = len(self.state.failures)
        self.state, commands = lifecycle.step(self.state, event)
        for failure in self.state.failures[before:]:
            others = " (stopping the others)" if any(command.kind == "terminate" for command in commands) else ""
            self.tell(f"instance {failure.index} {failure.message}{others}")
        for command in commands:
            self.obey(command, event.time)

    def obey(self, command: Command, now: float) -> None:
        """Carry out one command."""
        if command.kind == "go":
            for index in command.indices:
                children.send(self.children[index], command_line("go", time=now))
        elif command.kind == "release":
            for index in command.indices:
                children.send(self.children[index], command_line("exit"))
        elif command.kind == "terminate":
            self.signal_all(command.indices, signal.SIGTERM)
        elif command.kind == "kill":
            self.tell(f"killing {len(command.indices)} workers that did not end")
            self.signal_all(command.indices, signal.SIGKILL)
        elif command.kind == "done":
            self.done = True

    def signal_all(self, indices: tuple[int, ...], number: signal.Signals) -> None:
        """Signal the process groups of these workers; a stopped one must run to be able to end."""
        for index in indices:
            children.signal_group(self.children[index], number)
            children.signal_group(self.children[index], signal.SIGCONT)

    def end_what_is_left(self) -> None:
        """Leave no process behind."""

        def wait(seconds: float) -> None:
            self.listener.wait(seconds)
            self.reap()

        ours = {*self.by_pid, self.guardian.pid}
        ended = end_leftovers(self.descendants, ours, self.limits.grace_s, wait, self.clock)
        if ended:
            self.note(f"ended {ended} processes that the workers had left behind")
        for index, child in enumerate(self.children):
            self.listener.drain(index, child)
            for stream in child.streams.values():
                stream.end()

    def abandon(self) -> None:
        """Kill everything at once: an error is on its way up."""
        for child in self.children:
            children.signal_group(child, signal.SIGKILL)
        for pid in self.descendants(os.getpid()):
            if pid != self.guardian.pid and pid not in self.by_pid:
                signal_process(pid, signal.SIGKILL)
        for child in self.children:
            if child.process is not None and child.process.returncode is None:
                child.process.wait()

    def result(self) -> Run:
        """What happened, as a value."""
        pairs = zip(self.children, self.state.workers, strict=True)
        return Run(
            records=tuple(self.record(child, worker.exit_code or 0) for child, worker in pairs),
            started=self.state.started,
            go=self.state.go,
            ended=self.clock(),
            failures=self.state.failures,
            signal=self.state.signal,
            exit_code=lifecycle.exit_code(self.state),
            notes=tuple(self.notes),
        )

    def record(self, child: Child, exit_code: int) -> WorkerRecord:
        """One worker's facts; its descriptors are closed."""
        children.close(child)
        log = self.logs.get(child.worker.instance.index)
        return WorkerRecord(
            instance=child.worker.instance,
            pid=child.process.pid if child.process is not None else None,
            started=child.started,
            ready=child.ready,
            finished=child.finished,
            exit_code=exit_code,
            samples=child.samples,
            binding=child.binding,
            placements=tuple(child.placements),
            cpu_s=child.cpu_s,
            peak_memory_bytes=child.peak_memory_bytes,
            log=log.path if log is not None else "",
        )
