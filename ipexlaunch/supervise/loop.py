"""The supervisor's loop: waits for the kernel to say that something happened, feeds `lifecycle.step`, obeys it.

Nothing polls: output and messages come through descriptors, exits and requests to end through a signal's wake-up
descriptor, and a time limit is the wait's own.
"""

from __future__ import annotations

import os
import secrets
import selectors
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from ipexlaunch import lifecycle
from ipexlaunch.launch import Launch
from ipexlaunch.lifecycle import Done, Exited, Finished, Go, Kill, Limits, Ready, Release, Signalled, Terminate, Tick
from ipexlaunch.placement import Binding, Placement
from ipexlaunch.record import Run, WorkerRecord
from ipexlaunch.supervise import child as children
from ipexlaunch.supervise.child import Child
from ipexlaunch.supervise.guardian import MARK, Guardian
from ipexlaunch.supervise.messages import command_line, read_messages
from ipexlaunch.supervise.output import Display, Log, Stream
from ipexlaunch.supervise.wakeup import ENDING, Wakeup

READ_BYTES = 1 << 16
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
    logs: Mapping[int, str] | None = None,
    tell: Callable[[str], None],
    stdout: int = 1,
    stderr: int = 2,
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
        logs: instance index to the path of its log file.
        tell: says a line to the user.
        stdout: descriptor for the workers' stdout.
        stderr: descriptor for the workers' stderr.
        clock: seconds, monotonic, the same as the workers'.

    Raises:
        BindError: a worker could not be bound and the run may not go on without; what was started is stopped.
    """
    loop = _Loop(launch, hold, inspect, descendants, limits, logs or {}, tell, (stdout, stderr), clock)
    with Wakeup() as wakeup:
        return loop.run(inherited, wakeup)


class _Loop:
    """The state of one call of `supervise`."""

    def __init__(
        self,
        launch: Launch,
        hold: Hold,
        inspect: Inspect,
        descendants: Callable[[int], list[int]],
        limits: Limits,
        logs: Mapping[int, str],
        tell: Callable[[str], None],
        outputs: tuple[int, int],
        clock: Callable[[], float],
    ) -> None:
        self.launch = launch
        self.hold = hold
        self.inspect = inspect
        self.descendants = descendants
        self.clock = clock
        self.tell = tell
        self.notes: list[str] = list(launch.notes)
        self.displays = [Display(descriptor) for descriptor in outputs]
        self.selector = selectors.DefaultSelector()
        self.selected_displays: set[int] = set()
        self.children = [Child(worker=worker) for worker in launch.workers]
        self.by_pid: dict[int, int] = {}
        self.logs = {index: Log(path, self.note) for index, path in logs.items()}
        self.limits = limits
        self.run_id = secrets.token_hex(8)
        self.state = lifecycle.begin(len(self.children), limits, clock())
        self.done = False
        self.guardian: Guardian | None = None

    def note(self, text: str) -> None:
        """Say it now and keep it for the report."""
        self.notes.append(text)
        self.tell(text)

    def run(self, inherited: Mapping[str, str], wakeup: Wakeup) -> Run:
        """Start, watch, stop; see `supervise`."""
        self.selector.register(wakeup, selectors.EVENT_READ, self.on_signals)
        self.wakeup = wakeup
        self.guardian = Guardian(self.run_id)
        try:
            self.start_all(inherited)
            while not self.done:
                self.wait_once()
            self.end_stragglers()
        except BaseException:
            self.abandon()
            raise
        finally:
            self.guardian.end()
            for log in self.logs.values():
                log.close()
        for display in self.displays:
            display.flush(LAST_WORDS_S)
        self.selector.close()
        return self.result()

    # --- starting

    def start_all(self, inherited: Mapping[str, str]) -> None:
        """Start every worker, or stop at the first that cannot be; its failure goes through the same step."""
        for index, child in enumerate(self.children):
            instance = child.worker.instance
            child.started = self.clock()
            if self.state.stopping:
                self.feed(Exited(index, -signal.SIGTERM, child.started))
                continue
            try:
                with self.hold(instance.cpus, instance.memory, instance.nodes) as child.binding:
                    children.start(child, inherited, {MARK: self.run_id})
            except OSError as error:
                detail = f"could not be started: {error.strerror}: {error.filename or child.worker.argv[0]}"
                self.feed(Exited(index, children.start_failure(error), child.started, detail))
                continue
            self.watch(index, child)

    def watch(self, index: int, child: Child) -> None:
        """Listen to a worker that has been started."""
        process, channel = child.process, child.channel
        if process is None or channel is None or process.stdout is None or process.stderr is None:
            return
        self.by_pid[process.pid] = index
        if self.guardian is not None:
            self.guardian.add(process.pid)
        prefix = f"[{index:>{len(str(len(self.children) - 1))}}] ".encode()
        log = self.logs.get(child.worker.instance.index)
        for pipe, display in zip((process.stdout, process.stderr), self.displays, strict=True):
            child.streams[pipe.fileno()] = Stream(prefix, display, log)
            self.selector.register(pipe, selectors.EVENT_READ, lambda fd, c=child: self.on_output(c, fd))
        self.selector.register(channel, selectors.EVENT_READ, lambda _, i=index: self.on_messages(i))
        if child.binding is not None and child.binding.refused:
            self.note(f"instance {index}: memory is not bound as planned: {child.binding.refused}")

    # --- waiting

    def wait_once(self) -> None:
        """Wait for the next thing to happen and deal with it."""
        deadline = lifecycle.next_deadline(self.state)
        timeout = None if deadline is None else max(0.0, deadline - self.clock())
        self.select_displays()
        for key, _ in self.selector.select(timeout):
            key.data(key.fd)
        now = self.clock()
        if deadline is not None and now >= deadline:
            self.feed(Tick(now))

    def select_displays(self) -> None:
        """Wait for an output only while there is something to write to it; a regular file takes it at once."""
        for display in self.displays:
            descriptor = display.descriptor
            if display.waiting and descriptor not in self.selected_displays:
                try:
                    self.selector.register(descriptor, selectors.EVENT_WRITE, lambda _, d=display: d.write())
                    self.selected_displays.add(descriptor)
                except (PermissionError, KeyError, ValueError):
                    # epoll refuses regular files (EPERM), and stdout and stderr may be one descriptor.
                    while display.waiting:
                        display.write()
            elif not display.waiting and descriptor in self.selected_displays:
                self.selector.unregister(descriptor)
                self.selected_displays.remove(descriptor)

    def on_signals(self, _: int) -> None:
        """Collect ended children and note requests to end."""
        for number in self.wakeup.arrived():
            if number in ENDING:
                if not self.state.stopping:
                    self.tell(f"{signal.Signals(number).name}: stopping {len(self.state.alive)} workers")
                self.feed(Signalled(number, self.clock()))
        self.reap()

    def on_output(self, child: Child, descriptor: int) -> None:
        """Take what a worker printed."""
        stream = child.streams.get(descriptor)
        if stream is None:
            return
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return
        if data:
            stream.add(data)
        else:
            stream.end()
            self.selector.unregister(descriptor)
            del child.streams[descriptor]

    def on_messages(self, index: int) -> None:
        """Take what a worker says on its channel."""
        child = self.children[index]
        if child.channel is None:
            return
        try:
            data = child.channel.recv(READ_BYTES)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data = b""
        if not data:
            self.selector.unregister(child.channel)
            child.channel.close()
            child.channel = None
            return
        child.buffer += data
        now = self.clock()
        for said in read_messages(child.buffer, child.samples, now):
            if said.problem and not child.warned:
                child.warned = True
                self.note(f"instance {index} said something that is not understood: {said.problem}")
            elif said.event == "ready" and child.ready is None:
                child.ready = now
                self.look_at(child)
                self.feed(Ready(index, now))
            elif said.event == "finished" and child.finished is None:
                child.finished = now
                self.look_at(child)
                self.feed(Finished(index, now))

    def look_at(self, child: Child) -> None:
        """Read back where the worker is."""
        if child.process is not None:
            placement = self.inspect(child.process.pid)
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
            if self.guardian is not None and pid == self.guardian.pid:
                self.guardian.reaped(status)
                continue
            index = self.by_pid.get(pid)
            if index is None:
                continue  # an adopted orphan
            child = self.children[index]
            code = os.waitstatus_to_exitcode(status)
            if child.process is not None:
                child.process.returncode = code
            child.cpu_s = usage.ru_utime + usage.ru_stime
            child.peak_memory_bytes = usage.ru_maxrss * 1024
            self.drain(index)
            if self.guardian is not None and children.group_is_gone(child):
                self.guardian.gone(pid)
            self.feed(Exited(index, code, self.clock()))

    def drain(self, index: int) -> None:
        """Take the last words of a worker that has exited; a grandchild may still hold its pipes, so never wait."""
        child = self.children[index]
        while child.channel is not None:
            size = len(child.buffer), len(child.samples.times)
            self.on_messages(index)
            if (len(child.buffer), len(child.samples.times)) == size:
                break
        for descriptor in list(child.streams):
            while descriptor in child.streams and _readable(descriptor):
                self.on_output(child, descriptor)

    # --- obeying

    def feed(self, event: Any) -> None:
        """Give an event to the pure step and carry out its commands."""
        before = len(self.state.failures)
        self.state, commands = lifecycle.step(self.state, event)
        for failure in self.state.failures[before:]:
            others = " (stopping the others)" if any(isinstance(c, Terminate) for c in commands) else ""
            self.tell(f"instance {failure.index} {failure.message}{others}")
        for command in commands:
            if isinstance(command, Go):
                line = command_line("go", time=event.time)
                for index in command.indices:
                    children.send(self.children[index], line)
            elif isinstance(command, Release):
                children.send(self.children[command.index], command_line("exit"))
            elif isinstance(command, Terminate):
                self.signal_all(command.indices, signal.SIGTERM)
            elif isinstance(command, Kill):
                self.tell(f"killing {len(command.indices)} workers that did not end")
                self.signal_all(command.indices, signal.SIGKILL)
            elif isinstance(command, Done):
                self.done = True

    def signal_all(self, indices: tuple[int, ...], number: signal.Signals) -> None:
        """Signal the process groups of these workers; a stopped one must run to be able to end."""
        for index in indices:
            children.signal_group(self.children[index], number)
            children.signal_group(self.children[index], signal.SIGCONT)

    def end_stragglers(self) -> None:
        """End what the workers left behind: members of their groups, and daemons that were adopted."""
        deadline = self.clock() + self.limits.grace_s
        asked: set[int] = set()
        while left := self.left_behind():
            late = self.clock() >= deadline
            for pid in left:
                if late or pid not in asked:
                    _signal_one(pid, signal.SIGKILL if late else signal.SIGTERM)
                    asked.add(pid)
            if late:
                deadline = self.clock() + 0.2  # again soon: a killed process may have had children of its own
            self.selector.select(max(0.0, deadline - self.clock()))
            self.wakeup.arrived()
            self.reap()
        if asked:
            self.note(f"ended {len(asked)} processes that the workers had left behind")
        for index, child in enumerate(self.children):
            self.drain(index)
            for stream in child.streams.values():
                stream.end()

    def left_behind(self) -> list[int]:
        """Processes below us that are neither the guardian nor a worker."""
        guardian = self.guardian.pid if self.guardian is not None else 0
        return [pid for pid in self.descendants(os.getpid()) if pid != guardian and pid not in self.by_pid]

    def abandon(self) -> None:
        """Kill everything at once: an error is on its way up."""
        for child in self.children:
            children.signal_group(child, signal.SIGKILL)
        for pid in self.left_behind():
            _signal_one(pid, signal.SIGKILL)
        for child in self.children:
            if child.process is not None and child.process.returncode is None:
                child.process.wait()

    def result(self) -> Run:
        """What happened, as a value."""
        records = [
            self.record(child, worker.exit_code or 0)
            for child, worker in zip(self.children, self.state.workers, strict=True)
        ]
        return Run(
            records=tuple(records),
            started=self.state.started,
            go=self.state.go,
            ended=self.clock(),
            failures=self.state.failures,
            signal=self.state.signal,
            exit_code=lifecycle.exit_code(self.state),
            notes=tuple(self.notes),
        )

    def record(self, child: Child, exit_code: int) -> WorkerRecord:
        """One worker's facts, and the end of its descriptors."""
        if child.channel is not None:
            child.channel.close()
        if child.process is not None:
            for pipe in (child.process.stdout, child.process.stderr):
                if pipe is not None:
                    pipe.close()
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


def _readable(descriptor: int) -> bool:
    poller = selectors.PollSelector()
    poller.register(descriptor, selectors.EVENT_READ)
    return bool(poller.select(0))


def _signal_one(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return  # it ended meanwhile
