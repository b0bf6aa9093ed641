"""How many requests each slot has answered and has now, from what the proxy counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ipexlaunch.launch.supervise.interfaces import Count
from ipexlaunch.launch.supervise.server_interfaces import InFlight, ServerCommand
from ipexlaunch.serve.proxy_figures import EndpointFigures

COUNT_S = 2.0
"""Between two counts of a slot's requests in the record of the run."""


class Totals(NamedTuple):
    """What a proxy counts of all slots together."""

    refused: int = 0
    """Requests that it has answered itself, for want of a slot or of an answer."""
    retries: int = 0
    moved: int = 0
    """Tries at another slot than the one before."""

    def plus(self, other: Totals) -> Totals:
        """The sums.

        Args:
            other: what is added.
        """
        return Totals(*(one + two for one, two in zip(self, other, strict=True)))


class RequestCounts:
    """What is known of the requests of a run, over all proxies that it has had."""

    def __init__(self, places: Mapping[int, int], now: float) -> None:
        """Begin with none.

        Args:
            places: index of an instance to the worker's place.
            now: seconds of the supervisor's clock.
        """
        self._places, self._count_at = places, now
        self._done: dict[int, int] = {}
        self._uncounted: dict[int, int] = {}
        self.in_flight: dict[int, int] = {}
        """Place to the requests that are with its server now."""
        self._before = self._total = Totals()

    @property
    def totals(self) -> Totals:
        """What the proxies have counted beside the slots."""
        return self._before.plus(self._total)

    def begin_anew(self) -> None:
        """Another proxy begins to count."""
        self._done.clear()
        self._before, self._total = self.totals, Totals()

    def take(self, figures: EndpointFigures, now: float, *, at_once: bool) -> list[ServerCommand]:
        """What the run is to be told.

        Args:
            figures: of the proxy, since its start.
            now: seconds of the supervisor's clock.
            at_once: whether to count what there is though COUNT_S have not passed.
        """
        commands: list[ServerCommand] = []
        self._total = Totals(figures.refused, figures.retries, figures.moved)
        for each in figures.slots:
            place, before = self._places[each.index], self._done.get(each.index, 0)
            self._uncounted[place] = self._uncounted.get(place, 0) + max(0, each.done - before)
            self._done[each.index] = each.done
            if self.in_flight.get(place) != each.in_flight:
                self.in_flight[place] = each.in_flight
                commands.append(InFlight(place, each.in_flight))
        if now >= self._count_at or at_once:
            self._count_at = now + COUNT_S
            commands += [Count(place, now, items, math.nan) for place, items in self._uncounted.items() if items]
            self._uncounted.clear()
        return commands
