"""Tell the life of a run what the other hosts say, and them what they wait for."""

from __future__ import annotations

import selectors
import signal
from collections.abc import Callable, Sequence

from ipexlaunch.launch.lifecycle import Event, State
from ipexlaunch.launch.supervise.interfaces import Observer, OtherHosts
from ipexlaunch.launch.supervise.selector import OutputReader
from ipexlaunch.launch.supervise.worker_set import WorkerSet
from ipexlaunch.machine.wording import counted


class HostsDriver:
    """The other hosts, as the loop sees them."""

    def __init__(
        self,
        others: OtherHosts,
        worker_set: WorkerSet,
        listener: OutputReader,
        observers: Sequence[Observer],
        feed: Callable[[Event], None],
    ) -> None:
        """Begin with nothing said.

        Args:
            others: who they are.
            worker_set: the workers here.
            listener: waits for what they say.
            observers: told once the start has been given.
            feed: tells the life of the run what happened.
        """
        self.ready = others.ready
        """Tells them that every worker here waits for the start."""
        self._others = others
        self._worker_set = worker_set
        self._observers = observers
        self._feed = feed
        listener.selector.register(others, selectors.EVENT_READ, lambda _: self.hear())

    def hear(self) -> None:
        """Act on what they have said."""
        for said in self._others.take():
            state = self._worker_set.state
            if said.kind == "lost" and not state.stopping:
                self._worker_set.callbacks.tell(f"{said.text}: stopping {counted(len(state.alive), 'worker')}")
            self._feed(Event(said.kind, said.time, detail=said.text))
            if self._worker_set.state.go is not None and state.go is None:
                for observer in self._observers:
                    observer.on_released()

    def follow(self, before: State) -> None:
        """Tell them at once where the run here stops by itself, and why.

        Args:
            before: how it stood.
        """
        state = self._worker_set.state
        if not state.stopping or before.stopping or state.lost:
            return
        if state.failures:
            failure = state.failures[0]
            self._others.stopping(f"instance {self._worker_set.index(failure.index)} {failure.message}")
        elif state.signal is not None:
            self._others.stopping(f"it was interrupted by {signal.Signals(state.signal).name}")
