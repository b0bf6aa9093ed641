"""Has the host read while a run lasts: once all workers are started, at every look at one, every few seconds, and at
its end. What reads is only imported then: no worker waits for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property

from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.placement.binding import Binding
from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.read_host_counters import HostWatch
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.snapshot import Snapshot
from ipexlaunch.launch.supervise import Means
from ipexlaunch.machine.topology import Topology

INTERVAL_S = 5.0


class RunWatch:
    """A watcher of the supervisor, and means whose acts have the host read."""

    interval_s: float | None = INTERVAL_S

    def __init__(self, launch: Launch, topology: Topology, means: Means) -> None:
        """Begin with nothing read.

        Args:
            launch: what is about to start.
            topology: the machine.
            means: of the supervisor.
        """
        self._launch = launch
        self._topology = topology
        self._given = means
        self._starts = 0
        note = None if means.note is None else self._note
        self.means = replace(means, hold=self._hold, inspect=self._inspect, note=note, ended=self._ended)

    @cached_property
    def _host(self) -> HostWatch:
        planned = {cpu for worker in self._launch.workers for cpu in worker.instance.cpus}
        return HostWatch(self._topology, planned, self._given.clock)

    @contextlib.contextmanager
    def _hold(self, cpus: frozenset[int], policy: str, nodes: frozenset[int]) -> Iterator[Binding]:
        with self._given.hold(cpus, policy, nodes) as binding:
            yield binding
        self._starts += 1
        if self._starts == len(self._launch.workers):
            self._host.look(must=True)

    def _inspect(self, pid: int) -> Placement | None:
        self._host.look(pid)
        return self._given.inspect(pid)

    def _ended(self, pid: int) -> None:
        """What its first thread has run and waited is known for a moment more: all there is of a short worker's."""
        self._host.look(pid)

    def _note(self, run: Run) -> None:
        if self._given.note is not None:
            self._given.note(self.with_readings(run))

    def with_readings(self, run: Run) -> Run:
        """The run with what was read of the host.

        Args:
            run: what happened.
        """
        return replace(run, host=tuple(self._host.readings), host_cpus=len(self._host.cpus))

    def fileno(self) -> int | None:
        """None: there is nothing to wait for."""
        return None

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Never called: there is no descriptor."""

    def tick(self, snapshot: Snapshot) -> None:
        """Read, as an interval has passed."""
        self._host.look(running=[worker.pid for worker in snapshot.workers if worker.pid is not None])

    def close(self) -> None:
        """Read a last time: every worker has ended."""
        self._host.look(must=True)
