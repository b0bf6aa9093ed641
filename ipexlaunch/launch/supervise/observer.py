"""The seam for what shows or serves a run while it lasts: the live view, the status socket, the metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ipexlaunch.launch.snapshot import Snapshot


class Watcher(Protocol):
    """Something that is told how the run stands; it must not fail the run and must not take long."""

    interval_s: float | None
    """How often `tick` is wanted; None for never."""

    def fileno(self) -> int | None:
        """A descriptor that the loop waits for on its behalf; None for none."""

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Its descriptor is readable; `now` makes a snapshot."""

    def tick(self, snapshot: Snapshot) -> None:
        """An interval has passed, or the run is over."""

    def close(self) -> None:
        """The run is over; leave nothing behind."""
