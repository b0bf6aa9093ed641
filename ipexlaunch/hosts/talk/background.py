"""The thread in which a host talks with the others, and how the main thread and it leave each other word."""

from __future__ import annotations

import contextlib
import math
import os
import select
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ipexlaunch.hosts.messages import Message
from ipexlaunch.launch.supervise.interfaces import HostsSaid

LOOK_S = 0.1
"""Between two looks at who is asked to end, while the others are waited for."""

LET_GO_S = 5.0
"""How long the last words may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long hosts wait for each other, in seconds."""

    join_s: float
    """For all to join, from the beginning."""
    silent_s: float
    """A host that is not heard of for so long is lost; each says something four times as often."""


class Part(Protocol):
    """What one host has to say and to hear; everything but the first call is made in the thread."""

    def due(self) -> float | None:
        """When `mind` is wanted at the latest; None for not before something comes."""

    def mind(self, now: float) -> None:
        """Do what is due."""

    def ready(self) -> None:
        """Every worker here waits for the start."""

    def stopping(self, text: str) -> None:
        """This host fails, and why."""

    def result(self, message: Message) -> None:
        """What this host did."""

    def verdict(self, message: Message) -> None:
        """How it went for all; of the first host."""

    def close(self) -> None:
        """Leave no connection."""


class Talk:
    """The other hosts, for the main thread: an `OtherHosts` that is told a result at the end."""

    def __init__(self, begin: Callable[[Talk], Part]) -> None:
        """Begin to talk; call it before workers are started (see `BackgroundThread`).

        Args:
            begin: makes this host's part, which registers what it waits for.
        """
        self.selector = selectors.DefaultSelector()
        self.over: Message | None = None
        """Once all is known: what the part says of it."""
        self.is_in = False
        """Whether this host is one of the group."""
        self._ended = False
        self._error: Exception | None = None
        self._notes: deque[Callable[[], None]] = deque()
        self._said: deque[HostsSaid] = deque()
        self._hears, self._rings = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakes, self._pokes = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.selector.register(self._wakes, selectors.EVENT_READ, self._take_notes)
        self._part = begin(self)
        self._thread = threading.Thread(target=self._run, name="ipexlaunch-hosts", daemon=True)
        self._thread.start()

    def fileno(self) -> int:
        """Readable when `take` has something to give."""
        return self._hears

    def take(self) -> Sequence[HostsSaid]:
        """What has come since the last call."""
        _empty(self._hears)
        return [self._said.popleft() for _ in range(len(self._said))]

    def ready(self) -> None:
        """Every worker here waits for the start."""
        self._note(self._part.ready)

    def stopping(self, text: str) -> None:
        """This host fails, and why: the others need not wait for its end."""
        self._note(lambda: self._part.stopping(text))

    def wait_until_in(self, within_s: float = math.inf) -> bool:
        """Wait until this host is one of the group, or will never be; whether it is.

        Args:
            within_s: how long.
        """
        until = time.monotonic() + within_s
        self._wait(lambda: self.is_in or time.monotonic() >= until)
        return self.is_in

    def result(self, message: Message, is_asked: Callable[[], bool]) -> Message | None:
        """Say what this host did, and wait until all is known; None where somebody asks for the end before.

        Args:
            message: its part.
            is_asked: whether somebody does.
        """
        self._note(lambda: self._part.result(message))
        self._wait(is_asked)
        return self.over

    def _wait(self, is_enough: Callable[[], bool]) -> None:
        poller = select.poll()
        poller.register(self._hears, select.POLLIN)
        while self.over is None and not is_enough():
            if self._error is not None:
                raise self._error
            poller.poll(LOOK_S * 1000)
            _empty(self._hears)

    def verdict(self, message: Message) -> None:
        """Tell all how it went; of the first host."""
        self._note(lambda: self._part.verdict(message))

    def close(self, within_s: float = LET_GO_S) -> None:
        """Leave the others; what was said last is still heard where that takes no longer.

        Args:
            within_s: how long.
        """
        if not self.over:
            self._note(self.end)  # the others see at once that nothing more comes
        self._thread.join(within_s)

    def say(self, kind: Literal["released", "lost"], text: str = "") -> float:
        """Of the thread: have the main thread told; when that was.

        Args:
            kind: what has happened just now.
            text: of what is lost.
        """
        now = time.monotonic()
        self._said.append(HostsSaid(kind, now, text))
        _ring(self._rings)
        return now

    def let_in(self) -> None:
        """Of the thread: this host is one of the group."""
        self.is_in = True
        _ring(self._rings)

    def conclude(self, message: Message) -> None:
        """Of the thread: all is known."""
        self.over = message
        _ring(self._rings)

    def end(self) -> None:
        """Of the thread: nothing is to be said or heard any more."""
        self._ended = True

    def _note(self, act: Callable[[], None]) -> None:
        self._notes.append(act)
        _ring(self._pokes)

    def _take_notes(self) -> None:
        _empty(self._wakes)
        while self._notes:
            self._notes.popleft()()

    def _run(self) -> None:
        try:
            while not self._ended:
                due = self._part.due()
                for key, _ in self.selector.select(None if due is None else max(0.0, due - time.monotonic())):
                    key.data()
                self._part.mind(time.monotonic())
        except Exception as error:  # the thread's boundary: the main thread raises it
            self._error = error
            self.say("lost", "the line to the other hosts broke")
        finally:
            self._part.close()
            self.selector.close()


def _ring(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):  # it rings already
        os.write(descriptor, b"\0")


def _empty(descriptor: int) -> None:
    with contextlib.suppress(BlockingIOError):
        while os.read(descriptor, 4096):
            pass
