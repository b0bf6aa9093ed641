"""Carry out what the keeper of servers decides, and tell it what it cannot see by itself."""

from __future__ import annotations

import selectors
import signal
from collections.abc import Callable

from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.run_events import ItemsCounted
from ipexlaunch.launch.run_record import Samples
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.handle_messages import MessageHandler
from ipexlaunch.launch.supervise.interfaces import Count, Kill, Notice
from ipexlaunch.launch.supervise.server_interfaces import (
    Finish,
    InFlight,
    Ready,
    Recycle,
    Retire,
    ServerCommand,
    ServerKeeper,
    SignalSide,
    StartSide,
)
from ipexlaunch.launch.supervise.side_process import SideProcess
from ipexlaunch.launch.supervise.start_workers import Starter
from ipexlaunch.launch.supervise.worker_set import WorkerSet


class ServersDriver:
    """The keeper of the servers, as the loop sees it."""

    def __init__(
        self,
        keeper: ServerKeeper,
        worker_set: WorkerSet,
        starter: Starter,
        announcements: MessageHandler,
        feed: Callable[[Event], None],
    ) -> None:
        """Begin with nothing decided.

        Args:
            keeper: decides.
            worker_set: the servers.
            starter: has what the processes of the run share.
            announcements: told that a server is ready.
            feed: tells the life of the run what happened.
        """
        self._keeper, self._worker_set, self._announcements, self._feed = keeper, worker_set, announcements, feed
        self.signalled = keeper.signalled
        self.due = keeper.due
        clock = worker_set.clock
        self.side: SideProcess | None = None
        """What runs beside them."""
        if keeper.side is not None:
            self.side = SideProcess(keeper.side, starter, lambda text: keeper.side_ended(text, clock()))
        starter.listener.selector.register(keeper.descriptor, selectors.EVENT_READ, lambda _: self.mind(clock()))

    def mind(self, now: float) -> None:
        """Carry out what is decided."""
        for command in self._keeper.take(now):
            self._obey(command, now)

    def end(self) -> None:
        """Every server has ended."""
        if self.side is not None:
            self.side.end()

    def _obey(self, command: ServerCommand, now: float) -> None:
        worker_set = self._worker_set
        match command:
            case Ready(place):
                self._announcements.is_ready(place)
            case Recycle(place):
                self._feed(Event("recycled", now, place))
            case Retire(place):
                self._feed(Event("retired", now, place))
            case Kill(place, reason):
                self._feed(Event("stuck", now, place, detail=reason))
                children.signal_group(worker_set.children[place], signal.SIGKILL)
            case InFlight(place, requests):
                worker_set.children[place].in_flight = requests
            case Count(place, time, items, latency_s):
                if not worker_set.children[place].counts_itself:
                    samples = Samples()
                    samples.add(time, items, 0, latency_s)
                    worker_set.add(ItemsCounted(worker_set.index(place), samples))
            case Notice(text):
                worker_set.note(text)
            case StartSide():
                if self.side is not None and not worker_set.state.stopping:
                    self.side.start()
            case SignalSide(number):
                if self.side is not None:
                    self.side.signal(number)
            case Finish():
                self._feed(Event("abandoned", now))
