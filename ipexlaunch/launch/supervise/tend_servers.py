"""Carry out what the keeper of servers decides, and tell it what it cannot see by itself."""

from __future__ import annotations

import selectors
import signal
from collections.abc import Callable

from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.run_events import ItemsCounted, WorkerRestated
from ipexlaunch.launch.run_record import Samples, Tally
from ipexlaunch.launch.supervise import worker_process as children
from ipexlaunch.launch.supervise.handle_messages import MessageHandler
from ipexlaunch.launch.supervise.interfaces import Count, Kill, Notice
from ipexlaunch.launch.supervise.server_interfaces import (
    Drain,
    Finish,
    InFlight,
    Ready,
    Recycle,
    Retire,
    Say,
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
                    self._thin(place)
            case Notice(text):
                worker_set.note(text)
            case Say(text):
                worker_set.callbacks.tell(text)
            case StartSide():
                if self.side is not None and not worker_set.state.stopping:
                    self.side.start()
            case SignalSide(number):
                if self.side is not None:
                    self.side.signal(number)
            case Drain():
                self._feed(Event("drained", now))
            case Finish():
                self._feed(Event("abandoned", now))

    def _thin(self, place: int) -> None:
        """Keep fewer counts of a server that has run for long: a run of months must not fill the memory."""
        worker_set, child = self._worker_set, self._worker_set.children[place]
        kept = worker_set.record(place).samples
        if len(kept.times) > COUNTS_KEPT:
            index, thinned = worker_set.index(place), thinned_counts(kept)
            worker_set.add(WorkerRestated(index, "counts"))
            worker_set.add(ItemsCounted(index, thinned))
            child.tally = Tally()


COUNTS_KEPT = 8192
"""Of one server: four and a half hours of one every two seconds; above, older ones are put together."""


def thinned_counts(samples: Samples) -> Samples:
    """The same counts, of the older three quarters two each put together at the time of the later one.

    Args:
        samples: in the order of time, without latencies.
    """
    thinned, old = Samples(), len(samples.times) * 3 // 4 // 2 * 2
    for i in range(0, old, 2):
        thinned.add(
            samples.times[i + 1],
            samples.items[i] + samples.items[i + 1],
            samples.tokens[i] + samples.tokens[i + 1],
            samples.latencies_s[i + 1],
        )
    thinned.extend(samples.since(old))
    return thinned
