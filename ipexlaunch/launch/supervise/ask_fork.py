"""Ask a template for the fork of a worker: what the worker finds open in it is made here, and sent along."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ipexlaunch.launch.supervise.worker_process import Process, channel_variables


@dataclass(frozen=True, slots=True)
class AskedFork:
    """Our ends of what a worker that is being forked will have."""

    place: int
    """Which worker it is."""
    stdout: int
    stderr: int
    channel: socket.socket

    def process(self, pid: int) -> Process:
        """The worker's process, which owns its output from here on.

        Args:
            pid: its number.
        """
        return Process(pid, os.fdopen(self.stdout, "rb", 0), os.fdopen(self.stderr, "rb", 0))

    def close(self) -> None:
        """It is not forked."""
        os.close(self.stdout)
        os.close(self.stderr)
        self.channel.close()


def ask_fork(
    control: socket.socket, place: int, slot: int, request: Callable[[Mapping[str, str]], Mapping[str, object]]
) -> AskedFork:
    """Ask a template for a worker; a template that is gone is noticed by its exit, not here.

    The request goes as a file: a message has room for less than a command line.

    Args:
        control: the line to the template.
        place: which worker it is.
        slot: number of its channel in the worker.
        request: makes it of the variables by which the worker finds its channel.

    Raises:
        OSError: there is no room for more open files.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        file = theirs.enter_context(os.fdopen(os.memfd_create("request"), "wb"))
        (stdout, out), (stderr, err) = _pipe(ours, theirs), _pipe(ours, theirs)
        channel, other = socket.socketpair()
        theirs.enter_context(other)
        file.write(json.dumps(request(channel_variables(slot, other))).encode())
        file.seek(0)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            socket.send_fds(control, [b"!"], [file.fileno(), out, err, other.fileno()])
        channel.setblocking(False)
        ours.pop_all()
        return AskedFork(place, stdout, stderr, channel)


def _pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """A pipe to read from without waiting."""
    reader, writer = os.pipe()
    ours.callback(os.close, reader)
    theirs.callback(os.close, writer)
    os.set_blocking(reader, False)
    return reader, writer
