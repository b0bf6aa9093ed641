"""A process that workers share their start with: started, asked for forks, ended. Its side is worker/template.py."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
from collections import deque
from dataclasses import replace
from functools import partial
from selectors import EVENT_READ
from typing import TYPE_CHECKING

from ipexlaunch.documents.secret_values import mask_text
from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.lifecycle.states import COMPILATION
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.launch.process_failures import describe_exit
from ipexlaunch.launch.run_record import Announced, Samples
from ipexlaunch.launch.share_start import Template, fork_request
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.ask_fork import AskedFork, ask_fork
from ipexlaunch.launch.supervise.message_protocol import LONGEST_NAME, WorkerMessage, read_messages
from ipexlaunch.launch.supervise.worker_process import WorkerProcess
from ipexlaunch.machine.cpulist import format_list

if TYPE_CHECKING:
    from ipexlaunch.launch.supervise.start_workers import Starter

SHARING = "sharing the start"
"""Phase of a worker that is to be forked and is not yet."""

REFUSED = 2
"""Exit code of a worker whose start cannot be shared where it must be."""

LONGEST_ANSWER_BYTES = 1 << 20
"""More than the kernel takes as one message (net.core.wmem_max)."""


class TemplateProcess:
    """One template, and the workers that wait for it."""

    def __init__(self, template: Template, starter: Starter) -> None:
        """Begin without a process.

        Args:
            template: what is to be started.
            starter: starts workers by themselves, and is told of those that are forked.
        """
        self._template, self._starter = template, starter
        self._worker_set = starter.worker_set
        self._child: WorkerProcess | None = None
        self._control: socket.socket | None = None
        self._serves = self._refused = False
        self._first = True
        self._waiting: deque[int] = deque()
        self._asked: AskedFork | None = None

    @property
    def pid(self) -> int | None:
        """Of its process; None while there is none."""
        return self._child.process.pid if self._child is not None and self._child.process is not None else None

    def forks(self, place: int) -> bool:
        """Whether a worker is to be forked from it."""
        return place in self._template.places and not self._refused

    def request(self, place: int) -> None:
        """Have a worker forked as soon as that can be done; the process is started where there is none."""
        self._waiting.append(place)
        self._phase_of(place, WorkerMessage(event="phase", text=SHARING, time=self._worker_set.clock()))
        if self._child is None:
            self._start()
        else:
            self._ask_next()

    def cancel(self, places: tuple[int, ...], number: signal.Signals) -> None:
        """Those of these workers that wait are not needed any more; nor is the process, where nobody waits."""
        gone = [place for place in self._waiting if place in places]
        self._waiting = deque(place for place in self._waiting if place not in places)
        asked = self._asked is not None and self._asked.place in places
        if self._child is not None and not self._serves and not self._waiting and (gone or asked):
            children.signal_group(self._child, number)
            children.signal_group(self._child, signal.SIGCONT)
        elif asked and number == signal.SIGKILL and self._child is not None:
            children.signal_group(self._child, number)  # it does not answer
        for place in gone:
            self._starter.feed(Event("exited", self._worker_set.clock(), place, -number))

    def hear(self) -> None:
        """Take what the process has answered."""
        while self._control is not None:
            data = children.receive(self._control, LONGEST_ANSWER_BYTES)
            if data is None:
                return
            if not data:
                self._hang_up()
                return
            self._answer(data)

    def ended(self, code: int, usage: resource.struct_rusage) -> None:
        """Its process has ended and was collected: who waits for it has failed with it.

        Args:
            code: as the operating system reports it to Python.
            usage: of the process.
        """
        child, worker_set = self._child, self._worker_set
        self.hear()  # its last words
        if child is None or child.process is None:
            return
        child.process.returncode = code
        child.cpu_s = usage.ru_utime + usage.ru_stime
        self._starter.guardian.gone(child.process.pid)
        self._forget(child)
        asked = self._drop_asked()
        left = [*([asked.place] if asked is not None else []), *self._waiting]
        self._waiting.clear()
        self._serves, self._first, self._child = False, True, None
        for place in self._template.places:
            self._worker_set.templates.pop(place, None)
        if not left:
            return
        detail = "" if code else "was to be forked from a process that ended without calling ipexlaunch.worker.split()"
        if code and not worker_set.state.stopping:
            worker_set.note(f"the process that {self._who()} share their start with: {describe_exit(code)}")
        for place in left:
            worker_set.add_start(place)
            self._starter.feed(Event("exited", worker_set.clock(), place, code or 1, detail))

    def end(self) -> None:
        """End the process; nobody waits for it."""
        if (child := self._child) is None or child.process is None:
            return
        self._hang_up()  # it ends by itself then, if it listens
        children.signal_group(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            _, status, usage = os.wait4(child.process.pid, 0)
            self.ended(os.waitstatus_to_exitcode(status), usage)

    def _start(self) -> None:
        template, starter = self._template, self._starter
        self._child = child = WorkerProcess(worker=self._worker_set.children[template.places[0]].worker)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs_too = starter.launch.workers[template.places[0]].environment  # the files of their nodes are among it
        common = {**starter.inherited, **starter.marks, **theirs_too, **template.environment}
        own = {name: template.environment[name] for name in template.own_names}
        own["IPEXLAUNCH_STATUS_FD"] = str(starter.slot)
        # In this order they stand in the process's memory: its own last.
        environment = {**{name: value for name, value in common.items() if name not in own}, **own}

        def start(binding: Binding) -> None:
            child.binding = binding
            child.process = children.spawn(template.argv, environment, theirs, starter.slot)

        try:
            with theirs:
                self._worker_set.callbacks.start_bound(template.instance, start)
        except OSError as error:
            ours.close()
            self._child = None
            waiting, self._waiting = list(self._waiting), deque()
            for place in waiting:
                starter.not_started(place, error)
            return
        ours.setblocking(False)
        self._control = ours
        if child.process is not None:
            starter.guardian.add(child.process.pid)
        logs = [starter.logs[index] for index in sorted(self._indices()) if index in starter.logs]
        prefix = f"[{format_list(self._indices())}] ".encode()
        starter.listener.listen(-1, child, prefix, logs, starter.showing.stamp)
        starter.listener.selector.register(ours, EVENT_READ, lambda _: self.hear())

    def _ask_next(self) -> None:
        """Ask for the next fork, once the one before is answered."""
        starter = self._starter
        while self._serves and self._asked is None and self._waiting and self._control is not None:
            place = self._waiting.popleft()
            words = (self._template, starter.launch, place, starter.inherited)
            request = partial(fork_request, *words, answers=self._first)
            if self._first and self.pid is not None:
                self._worker_set.templates[place] = self.pid
            self._first = False
            try:
                self._asked = ask_fork(self._control, place, starter.slot, request)
            except OSError as error:
                starter.not_started(place, error)

    def _answer(self, data: bytes) -> None:
        answer = json.loads(data)
        event = answer.get("event")
        if event == "serving":
            self._serves = True
        elif event == "refused":
            self._refuse(str(answer["reason"]))
        elif event == "reduced":
            reason = str(answer["reason"])
            if self._starter.sharing.strict:
                self._refuse(reason)
                self._hang_up()
            elif self._starter.sharing.asked:
                self._worker_set.note(f"{self._who()} share their imports alone: {mask_text(reason)}")
        elif event == "forked":
            self._forked(int(answer["pid"]))
        elif event == "failed":
            number, asked = int(answer["errno"]), self._drop_asked()
            if asked is not None:
                self._starter.not_started(asked.place, OSError(number, os.strerror(number)))
        else:
            for said in read_messages(bytearray(data + b"\n"), Samples(), Announced(), self._worker_set.clock()):
                if said.text not in COMPILATION:
                    said = replace(said, text=f"{SHARING}: {said.text}"[:LONGEST_NAME])
                for place in self._waiting if said.event == "phase" else ():
                    # Whoever is forked first answers for the cost.
                    self._phase_of(place, said if place == self._waiting[0] else replace(said, spent=None))
        self._ask_next()

    def _phase_of(self, place: int, said: WorkerMessage) -> None:
        self._starter.announcements.heard(place, said, self._worker_set.clock())

    def _refuse(self, reason: str) -> None:
        """Its workers are started one by one, where nothing says that they must not be."""
        self._refused = True
        reason = mask_text(reason)
        self._worker_set.note(f"the start of {self._who()} is not shared: {reason}")
        waiting, self._waiting = list(self._waiting), deque()
        for place in waiting:
            if self._starter.sharing.strict:
                detail = f"could not be started: its start cannot be shared (--share-start-strict): {reason}"
                self._worker_set.add_start(place)
                self._starter.feed(Event("exited", self._worker_set.clock(), place, REFUSED, detail))
            elif self._worker_set.state.stopping:
                self._starter.feed(Event("exited", self._worker_set.clock(), place, -signal.SIGTERM))
            else:
                self._starter.announcements.end_phase(place, self._worker_set.clock())
                self._starter.start_alone(place)

    def _forked(self, pid: int) -> None:
        asked, template = self._asked, self._child
        if asked is None:
            return
        self._asked = None
        child = self._worker_set.children[asked.place]
        child.process, child.channel = asked.process(pid), asked.channel
        if template is not None and template.binding is not None:
            child.binding = replace(template.binding, cpus=child.worker.instance.cpus or template.binding.cpus)
        self._starter.started(asked.place)
        self._starter.announcements.end_phase(asked.place, self._worker_set.clock())
        try:
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:  # it was killed before we knew of it, and collected
            self._worker_set.by_pid.pop(pid, None)
            child.exited = self._worker_set.clock()
            child.group_is_gone = children.group_is_gone(child)
            self._starter.feed(Event("exited", child.exited, asked.place, -signal.SIGKILL))
            return
        if self._worker_set.state.stopping:
            children.signal_group(child, signal.SIGTERM)

    def _drop_asked(self) -> AskedFork | None:
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.close()
        return asked

    def _hang_up(self) -> None:
        if self._control is not None:
            self._starter.listener.selector.unregister(self._control)
            self._control.close()
            self._control = None

    def _forget(self, child: WorkerProcess) -> None:
        self._starter.listener.take_printed(child)
        self._starter.listener.forget(child)
        children.close(child)
        self._hang_up()

    def _who(self) -> str:
        return f"instances {format_list(self._indices())}"

    def _indices(self) -> frozenset[int]:
        return frozenset(map(self._worker_set.index, self._template.places))
