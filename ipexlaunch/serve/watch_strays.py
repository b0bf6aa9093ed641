"""Say at once where a server was found outside of its slot, and count how often: a service may run for months."""

from __future__ import annotations

from collections.abc import Callable

from ipexlaunch.launch.placement.placement import Binding
from ipexlaunch.launch.placement.verify import misplacements_at_worst
from ipexlaunch.launch.run_events import RunEvent, WorkerInspected, WorkerStarted
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.plan.plan import Instance


class StrayObserver(Observer):
    """Looks at each look that the supervisor takes (--proof-interval)."""

    def __init__(self, local_share_required: float, tell: Callable[[str], None]) -> None:
        """Begin with nothing found.

        Args:
            local_share_required: share of a server's anonymous memory that must be on its nodes, 0 to 1.
            tell: says a line to the user, once for each kind of stray and server.
        """
        self._required, self._tell = local_share_required, tell
        self._slots: dict[int, tuple[Instance, Binding | None]] = {}
        self._told: set[tuple[int, str]] = set()
        self.found: dict[int, int] = {}
        """Instance to the looks that found it outside."""

    def on_event(self, event: RunEvent) -> None:
        """Judge a look."""
        if isinstance(event, WorkerStarted):
            self._slots[event.planned.index] = event.planned, event.bound
        elif isinstance(event, WorkerInspected):
            instance, binding = self._slots[event.index]
            if binding is None:
                return
            reasons = misplacements_at_worst(instance, [event.placement], binding, self._required)
            if reasons:
                self.found[event.index] = self.found.get(event.index, 0) + 1
            for reason in reasons:
                kind = event.index, " ".join(word for word in reason.split() if word.isalpha())
                if kind not in self._told:
                    self._told.add(kind)
                    self._tell(f"{reason}; the run is INVALID")
