"""Which announced phases last long enough for a line to the user, and when: few lines, however many workers."""

from __future__ import annotations

from collections.abc import Iterable

LINE_INTERVAL_S = 30.0
"""Between two lines about phases of one name, whoever is in them."""

Busy = tuple[int, str, float]
"""Instance index, what it is busy with, since when."""


class LongPhases:
    """Remembers what was told of which phase; it has no clock and tells nothing itself."""

    def __init__(self, long_s: float) -> None:
        """Begin with nothing told.

        Args:
            long_s: a phase that is over sooner is not worth a line.
        """
        self._long_s = long_s
        self._told: dict[str, float] = {}
        self._last: float | None = None

    def due(self, busy: Iterable[Busy]) -> float | None:
        """When the next line is due if nobody's phase changes; None where nobody is busy."""
        return min((self._due_of(name, group) for name, group in _by_name(busy).items()), default=None)

    def line(self, busy: Iterable[Busy], now: float) -> str:
        """What is to be told now, such as "[0] compiling, 10 s" or "compiling: 3 workers, 41 s"; "" where nothing is.

        A line that is due takes along the phases that are nearly long, so that all go on in step.
        """
        groups = _by_name(busy)
        if all(self._due_of(name, group) > now for name, group in groups.items()):
            return ""
        parts = []
        for name, group in groups.items():
            seconds = now - min(since for _, since in group)
            if seconds < self._long_s / 2:
                continue
            self._told[name] = self._last = now
            who = f"[{group[0][0]}] {name}" if len(group) == 1 else f"{name}: {len(group)} workers"
            parts.append(f"{who}, {seconds:.0f} s")
        return "; ".join(parts)

    def _due_of(self, name: str, group: list[tuple[int, float]]) -> float:
        due = min(since for _, since in group) + self._long_s
        if self._last is not None:
            due = max(due, self._last + self._long_s)
        return max(due, self._told[name] + LINE_INTERVAL_S) if name in self._told else due


def _by_name(busy: Iterable[Busy]) -> dict[str, list[tuple[int, float]]]:
    groups: dict[str, list[tuple[int, float]]] = {}
    for index, name, since in busy:
        groups.setdefault(name, []).append((index, since))
    return groups
