"""A program that runs beside the workers (a proxy): started in its place, listened to, and ended with them."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from ipexlaunch.launch.job import Worker
from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.launch.process_failures import describe_exit, remedy_of
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.server_interfaces import SideProgram
from ipexlaunch.launch.supervise.worker_process import WorkerProcess

if TYPE_CHECKING:
    from ipexlaunch.launch.supervise.start_workers import Starter


class SideProcess:
    """The process of one such program; the guardian takes it along where the launcher is killed."""

    def __init__(self, program: SideProgram, starter: Starter, ended: Callable[[str], None]) -> None:
        """Begin without a process.

        Args:
            program: what is to be started.
            starter: has what the processes of the run share.
            ended: told how it ended, or why it could not be started.
        """
        self._program, self._starter, self._told = program, starter, ended
        worker = Worker(instance=program.instance, argv=program.argv, environment=program.environment)
        self._child = WorkerProcess(worker=worker)

    @property
    def pid(self) -> int | None:
        """Of its process; None while there is none."""
        return self._child.process.pid if self._child.process is not None else None

    def start(self) -> None:
        """Start it, where it does not run."""
        child, starter = self._child, self._starter
        if child.process is not None:
            return
        # Whatever carries the index of a worker is taken for its own.
        inherited = {name: value for name, value in starter.inherited.items() if not name.startswith("IPEXLAUNCH_")}
        environment = {**inherited, **starter.marks, **self._program.environment}
        ours, theirs = socket.socketpair()

        def start(binding: Binding) -> None:
            child.binding = binding
            child.process = children.spawn(self._program.argv, environment, theirs, starter.slot)

        place = self._program.instance
        try:
            with (
                ours,
                theirs,  # it has nothing to say to us
                # Cgroups of --confine are the workers'.
                starter.worker_set.callbacks.bind_thread(place.cpus, place.memory, place.nodes) as binding,
            ):
                start(binding)
        except OSError as error:
            remedy = remedy_of(error)
            self._told(
                f"could not be started: {error.strerror}: {self._program.argv[0]}" + f"; {remedy}" * bool(remedy)
            )
            return
        if child.process is not None:
            starter.guardian.add(child.process.pid)
        starter.listener.listen(-1, child, f"[{self._program.name}] ".encode(), (), starter.showing.stamp)

    def signal(self, number: int) -> None:
        """Send it a signal, where it runs."""
        children.signal_group(self._child, signal.Signals(number))

    def hear(self) -> None:
        """It says nothing that we would have to take."""

    def ended(self, code: int, usage: resource.struct_rusage) -> None:
        """Its process has ended and was collected.

        Args:
            code: as the operating system reports it to Python.
            usage: of the process.
        """
        child, starter = self._child, self._starter
        if child.process is None:
            return
        child.process.returncode = code
        child.cpu_s += usage.ru_utime + usage.ru_stime
        starter.guardian.gone(child.process.pid)
        children.signal_group(child, signal.SIGKILL)  # its own workers, if it has any
        starter.listener.take_printed(child)
        starter.listener.forget(child)
        children.close(child)
        child.process = None
        self._told(describe_exit(code))

    def end(self) -> None:
        """End it: the servers are gone."""
        if (process := self._child.process) is None:
            return
        children.signal_group(self._child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            _, status, usage = os.wait4(process.pid, 0)
            self.ended(os.waitstatus_to_exitcode(status), usage)
