"""The seam for what shows, serves, keeps or measures a run while it lasts: the live view, the status socket, the
metrics, the run's directory, the host's counters.
"""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.launch.run_events import RunEvent
from ipexlaunch.launch.snapshot import Snapshot


class Observer:
    """Something that is told how the run stands; it must not fail the run and must not take long.

    Whoever needs only some of it leaves the other methods as they are.
    """

    interval_s: float | None = None
    """How often `tick` is wanted; None for never."""

    def begin(self, add: Callable[[RunEvent], None]) -> None:
        """The run is about to begin; `add` adds to its events what the observer itself finds out."""

    def on_event(self, event: RunEvent) -> None:
        """Something has happened; each event once."""

    def on_looked(self, pid: int, *, waits: bool) -> None:
        """A worker is looked at; `waits`: until we are done, so that nothing moves."""

    def on_ended(self, pid: int) -> None:
        """A worker's process has ended and is not forgotten by the kernel yet."""

    def fileno(self) -> int | None:
        """A descriptor that the loop waits for on its behalf; None for none."""
        return None

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Its descriptor is readable; `now` makes a snapshot."""

    def tick(self, snapshot: Snapshot) -> None:
        """An interval has passed, or the run is over."""

    def close(self) -> None:
        """The run is over; leave nothing behind."""
