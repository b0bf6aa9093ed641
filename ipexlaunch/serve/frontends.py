"""What the keeper of servers needs of a proxy, whichever it is, and the thread in which it is spoken to."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.supervise.server_interfaces import SideProgram
from ipexlaunch.serve.proxy_figures import EndpointFigures
from ipexlaunch.serve.slot_states import Traffic

FIGURES_S = 1.0
"""Between two looks at the proxy's figures."""

SILENT_S, START_S = 10.0, 60.0
"""A proxy that was not heard of for so long hangs; after its start it has longer."""

AGAIN_S = 0.1
"""Before a proxy that did not answer is spoken to again: it may have been started just now."""


class Frontend(Protocol):
    """A proxy; its acts may take a while, and are done in a thread."""

    side: SideProgram
    """How it is started."""
    has_figures: bool
    """Whether it tells how many requests are with each slot."""
    reload_signal: int
    """What it is sent once it was told something; 0 for nothing."""
    soft_stop_signal: int
    """The signal at which it takes nothing new, finishes what it has, and ends; 0: `stop_softly` does so, and it stays
    until everything is finished."""
    where: str
    """It listens there, as people write it."""

    def tell(self, traffic: Sequence[Traffic]) -> None:
        """Have it treat the slots so, in their order.

        Raises:
            IpexLaunchError: it does not answer.
        """

    def has_settled(self) -> bool:
        """Whether what it was told last holds for all that it does; asked where it has no figures, too."""

    def hindrance(self) -> str:
        """Why it cannot listen, as far as that can be seen; "" where it can."""

    def stop_softly(self) -> None:
        """Have it take nothing new.

        Raises:
            IpexLaunchError: it does not answer.
        """

    def figures(self) -> EndpointFigures:
        """What it has counted since its start.

        Raises:
            IpexLaunchError: it does not answer.
        """


class Counted(NamedTuple):
    """Figures of one proxy of those that a run has had."""

    life: int
    """Which one: it counts from 0 again with each start."""
    figures: EndpointFigures


class FrontendThread:
    """Speaks to the proxy; what it should know is said again until it is heard."""

    def __init__(
        self,
        frontend: Frontend,
        slots: int,
        written: Callable[[], None],
        told: Callable[[Sequence[Traffic]], None],
        counted: Callable[[Counted], None],
        silent: Callable[[str], None],
    ) -> None:
        """Begin with every slot out of traffic; make it before workers are started.

        Args:
            frontend: the proxy.
            slots: how many.
            written: called in the thread once it was told something, so that it may need its signal.
            told: called in the thread with what it knows now, and has settled.
            counted: called in the thread with its figures, which are newer than that.
            silent: called in the thread with "does not answer for 10 s (why)".
        """
        self._frontend, self._written, self._told = frontend, written, told
        self._counted, self._silent = counted, silent
        self._heard, self._patience_s = 0.0, START_S
        self._wanted: list[Traffic] = ["maint"] * slots
        self._changes: queue.SimpleQueue[tuple[int, Traffic] | None] = queue.SimpleQueue()
        self._runs = threading.Event()
        self._life = 0
        self._is_stopping = False
        threading.Thread(target=self._run, name="ipexlaunch-proxy", daemon=True).start()

    def want(self, slot: int, traffic: Traffic) -> None:
        """Have a slot treated so."""
        self._changes.put((slot, traffic))

    def stop(self) -> None:
        """Have the proxy take nothing new."""
        self._is_stopping = True
        self._changes.put(None)

    def started(self) -> None:
        """The proxy runs from now on, and knows nothing."""
        self._heard, self._patience_s = time.monotonic(), START_S
        self._runs.set()
        self._changes.put(None)

    def ended(self) -> None:
        """The proxy has ended: nothing can be said to it."""
        self._life += 1
        self._runs.clear()

    def _run(self) -> None:
        is_news = has_stopped = False
        unsettled: tuple[Traffic, ...] | None = None
        while True:
            self._runs.wait()
            is_news |= self._take(AGAIN_S if is_news or unsettled or self._is_stopping else FIGURES_S)
            try:
                if is_news:
                    if self._is_stopping and not has_stopped:
                        self._frontend.stop_softly()
                        has_stopped = True
                    unsettled = tuple(self._wanted)
                    self._frontend.tell(unsettled)
                    self._written()
                    is_news = False
                if unsettled and self._frontend.has_settled():
                    self._told(unsettled)
                    unsettled = None
                if self._frontend.has_figures:
                    counted = Counted(self._life, self._frontend.figures())
                    if counted.life == self._life:  # else nobody knows whose they are
                        self._counted(counted)
                self._heard, self._patience_s = time.monotonic(), SILENT_S
            except IpexLaunchError as error:
                # It has just been started, or is about to end: who supervises it says which.
                is_news = True
                if time.monotonic() - self._heard >= self._patience_s and self._runs.is_set():
                    self._heard = time.monotonic()
                    self._silent(f"does not answer for {self._patience_s:g} s ({error.available})")

    def _take(self, seconds: float) -> bool:
        """Take what has changed, within this time; whether anything has."""
        changed = False
        try:
            change = self._changes.get(timeout=seconds)
            while True:
                changed = True
                if change is not None:
                    self._wanted[change[0]] = change[1]
                change = self._changes.get_nowait()
        except queue.Empty:
            return changed
