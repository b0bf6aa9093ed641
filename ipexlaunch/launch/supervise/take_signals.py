"""Signals to the launcher: what asks it to end, what warns it of the end, and who takes what comes too late for a run.

Handlers only note the number, every decision is made in the loop.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.machine.wording import counted

if TYPE_CHECKING:
    from ipexlaunch.launch.supervise.handle_messages import FeederDriver
    from ipexlaunch.launch.supervise.tend_servers import ServersDriver
    from ipexlaunch.launch.supervise.worker_set import WorkerSet

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the launcher to end."""

WARNING = signal.SIGUSR1
"""What a scheduler sends some time before it ends a job.

`ipexlaunch.__main__` has it ignored, so that whatever is started ignores it too, and blocked in every thread: then it
waits (sig_ignored in Linux's kernel/signal.c) until it is read from a signalfd(2). So none kills the launcher or a
worker, and none is lost while workers are started or before a run begins.
"""

SIGNAL_SET_BYTES = 128
"""A sigset_t of glibc and of musl."""


class SignalWakeup:
    """A socket that becomes readable when a signal arrives; handlers are in place within the context."""

    def __init__(self) -> None:
        """Make the socket; no handler is installed yet."""
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[int, object] = {}
        self._before_descriptor = -1
        self._kept: list[int] = []
        self.warning = _descriptor_of(WARNING)
        """Readable when a WARNING waits."""

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._reader.fileno()

    def __enter__(self) -> SignalWakeup:
        """Install the handlers."""
        self._before_descriptor = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        for number in (*ENDING, signal.SIGCHLD):
            # nohup asks that SIGHUP be ignored; that stays.
            if number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN:
                continue
            self._before[number] = signal.signal(number, _noted)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put back what was there, and give it the requests to end that came too late for the run."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned
        signal.set_wakeup_fd(self._before_descriptor)
        late = [number for number in (*self._kept, *self.arrived()) if number in ENDING]
        self._reader.close()
        self._writer.close()
        os.close(self.warning)
        for number in late:
            signal.raise_signal(number)

    def wait(self, seconds: float) -> None:
        """Return when a signal has arrived, or the time is over."""
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        poller.poll(seconds * 1000)

    def is_asked(self) -> bool:
        """Whether a request to end has arrived since the last call of `arrived`."""
        self._kept += self.arrived()
        return any(number in ENDING for number in self._kept)

    def arrived(self) -> list[int]:
        """The signals since the last call, in order."""
        try:
            return list(self._reader.recv(4096))
        except BlockingIOError:
            return []

    def is_warned(self) -> bool:
        """Whether a WARNING has come since the last call."""
        try:
            return bool(os.read(self.warning, 4096))
        except BlockingIOError:
            return False


def _descriptor_of(number: int) -> int:
    """A descriptor that gives this signal to whoever reads it, where it is blocked.

    Raises:
        OSError: the system has no room for one.
    """
    libc, numbers = ctypes.CDLL(None, use_errno=True), ctypes.create_string_buffer(SIGNAL_SET_BYTES)
    libc.sigaddset(numbers, number)
    descriptor: int = libc.signalfd(-1, numbers, os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return descriptor


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor carries the number."""


@contextlib.contextmanager
def signals_deferred(tell: Callable[[str], None]) -> Iterator[list[int]]:
    """Within, a request to end that finds no run any more does not keep the report from being written; a second does.

    What it gives lists the signals that came: a disk that hangs is not waited for any longer then.

    People press Ctrl-C twice. A terminal that closes may send SIGHUP often, from its shell and from the kernel.

    Args:
        tell: says a line to the user.
    """
    before = {number: signal.getsignal(number) for number in ENDING}
    came: list[int] = []

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def put_off(number: int, _frame: FrameType | None) -> None:
        came.append(number)
        if number == signal.SIGHUP:
            return
        restore()
        tell(
            f"{signal.Signals(number).name}: the run is over; its report is still to be written, once more ends at once"
        )

    for number, handler in before.items():
        if handler != signal.SIG_IGN:
            signal.signal(number, put_off)
    try:
        yield came
    finally:
        restore()


class EndRequests:
    """The signals of one run."""

    def __init__(
        self,
        worker_set: WorkerSet,
        wakeup: SignalWakeup,
        feeder: FeederDriver | None,
        servers: ServersDriver | None,
        draining: frozenset[int],
        feed: Callable[[Event], None],
    ) -> None:
        """Begin with none heard.

        Args:
            worker_set: the workers.
            wakeup: has the signals that came.
            feeder: gives the workers their items; None where they have their own.
            servers: looks after them; None where the workers are none.
            draining: signals of which the first has the feeder give nothing more.
            feed: tells the life of the run what happened.
        """
        self._worker_set, self._wakeup, self._feeder, self._servers = worker_set, wakeup, feeder, servers
        self._draining, self._is_warned, self._feed = draining, False, feed

    def hear(self) -> None:
        """Answer the signals that have come since the last call."""
        for number in self._wakeup.arrived():
            if number in ENDING:
                self._answer(number)

    def warned(self) -> None:
        """Drain, or end, because the scheduler is about to; that it says so again, or too late, changes nothing."""
        if self._wakeup.is_warned() and not self._is_warned and not self._worker_set.state.stopping:
            self._is_warned = True
            self._answer(WARNING)

    def _answer(self, number: int) -> None:
        """Drain where that is to be done at this signal, else end."""
        state, name = self._worker_set.state, signal.Signals(number).name
        alive, tell = counted(len(state.alive), "worker"), self._worker_set.callbacks.tell
        if self._feeder is not None and number in self._draining and not state.stopping:
            self._draining -= {number}
            if not state.drained:
                tell(f"{name}: nothing more is given, what is held is finished ({alive})")
                self._feeder.drain(self._worker_set.clock())
            return
        if self._servers is not None and not state.stopping and self._servers.signalled(number):
            return
        if not state.stopping:
            tell(f"{name}: stopping {alive}")
        self._feed(Event("signalled", self._worker_set.clock(), code=number))
