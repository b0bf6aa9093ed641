"""Signals as something to wait for: handlers only note the number, every decision is made in the loop."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask the launcher to end."""


class Wakeup:
    """A socket that becomes readable when a signal arrives; handlers are in place within the context."""

    def __init__(self) -> None:
        """Make the socket; no handler is installed yet."""
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before: dict[int, object] = {}
        self._before_descriptor = -1

    def fileno(self) -> int:
        """The descriptor to wait for."""
        return self._reader.fileno()

    def __enter__(self) -> Wakeup:
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
        """Put back what was there."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal itself returned
        signal.set_wakeup_fd(self._before_descriptor)
        self._reader.close()
        self._writer.close()

    def wait(self, seconds: float) -> None:
        """Return when a signal has arrived, or the time is over."""
        poller = select.poll()
        poller.register(self._reader, select.POLLIN)
        poller.poll(seconds * 1000)

    def arrived(self) -> list[int]:
        """The signals since the last call, in order."""
        try:
            return list(self._reader.recv(4096))
        except BlockingIOError:
            return []


def _noted(number: int, frame: FrameType | None) -> None:
    """Do nothing: the wake-up descriptor carries the number."""
