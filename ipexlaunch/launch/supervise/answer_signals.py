"""What is done at a signal that asks the launcher to end, or warns it: drain, leave it to who keeps servers, or end."""

from __future__ import annotations

import signal
from collections.abc import Callable

from ipexlaunch.launch.lifecycle import Event
from ipexlaunch.launch.supervise.handle_messages import FeederDriver
from ipexlaunch.launch.supervise.take_signals import ENDING, WARNING, SignalWakeup
from ipexlaunch.launch.supervise.tend_servers import ServersDriver
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.machine.wording import counted


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
