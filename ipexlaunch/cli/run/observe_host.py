"""Has the host read while a run lasts: once all workers are started, at every look at one, every few seconds, and at
its end.
"""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.observer import Observer
from ipexlaunch.launch.read_host_counters import HostWatch
from ipexlaunch.launch.run_events import RunEvent, WorkerStarted
from ipexlaunch.launch.snapshot import Snapshot
from ipexlaunch.machine.topology import Topology

INTERVAL_S = 5.0


class HostObserver(Observer):
    """Adds the readings of the host's counters to the events of a run."""

    interval_s: float | None = INTERVAL_S

    def __init__(self, launch: Launch, topology: Topology) -> None:
        """Begin with nothing read.

        Args:
            launch: what is about to start.
            topology: the machine.
        """
        planned = {cpu for worker in launch.workers for cpu in worker.instance.cpus}
        self._host = HostWatch(topology, planned)
        self._missing = len(launch.workers)
        self._add: Callable[[RunEvent], None] | None = None

    @property
    def cpus(self) -> int:
        """How many cpus the readings are for."""
        return len(self._host.cpus)

    def begin(self, add: Callable[[RunEvent], None]) -> None:
        """Add readings there."""
        self._add = add

    def on_event(self, event: RunEvent) -> None:
        """Read once all workers are started."""
        if isinstance(event, WorkerStarted) and event.pid is not None:
            self._missing -= 1
            if not self._missing:
                self._host.look(must=True)

    def on_looked(self, pid: int, *, waits: bool) -> None:
        """Read what the worker has used while nothing moves."""
        if waits:
            self._host.look(pid)

    def on_ended(self, pid: int) -> None:
        """What its first thread has run and waited is known for a moment more: all there is of a short worker's."""
        self._host.look(pid)

    def tick(self, snapshot: Snapshot) -> None:
        """Read, as an interval has passed."""
        self._host.look(running=[worker.pid for worker in snapshot.workers if worker.pid is not None])
        self._add_news()

    def close(self) -> None:
        """Read a last time: every worker has ended."""
        self._host.look(must=True)
        self._add_news()

    def _add_news(self) -> None:
        if self._add is not None:
            for reading in self._host.news():
                self._add(reading)
