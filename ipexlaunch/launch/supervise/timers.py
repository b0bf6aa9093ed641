"""Things to do at intervals, without a thread and without polling: the loop waits until the next is due."""

from __future__ import annotations

from collections.abc import Callable


class Timers:
    """Functions with an interval each; one that was held up is not made up for."""

    def __init__(self) -> None:
        """Begin with none."""
        self._jobs: list[tuple[float, Callable[[float], None]]] = []
        self._due: list[float] = []

    def every(self, interval_s: float, now: float, function: Callable[[float], None]) -> None:
        """Call the function at this interval, first after one interval; it is given the time."""
        self._jobs.append((interval_s, function))
        self._due.append(now + interval_s)

    def next_due(self) -> float | None:
        """When the next call is due."""
        return min(self._due, default=None)

    def run(self, now: float) -> None:
        """Make the calls that are due."""
        for place, (interval_s, function) in enumerate(self._jobs):
            if self._due[place] <= now:
                self._due[place] = now + interval_s
                function(now)
