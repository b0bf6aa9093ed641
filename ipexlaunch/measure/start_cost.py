"""What starts cost, by what workers were busy with: processor time and memory, from what their processes told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipexlaunch.documents.fields import AnyInt, Seconds
from ipexlaunch.launch.run_record import Announced, Spent

STARTING = "starting"
"""What comes before the first phase that a worker announces."""

IMPORTS = "imports"
"""The phase that our own workers announce first: what comes before it, the interpreter's start, is part of it."""


@dataclass(frozen=True, slots=True)
class PhaseCost:
    """What was spent while workers were busy with one thing."""

    cpu_s: Seconds
    """Processor time, of children too as far as they had ended."""
    anonymous_bytes: AnyInt
    """By how much memory that is in no file grew; below 0 where it was given back."""


@dataclass(frozen=True, slots=True)
class StartCost:
    """What was spent until a worker was ready, or until it told so last."""

    cpu_s: Seconds
    anonymous_bytes: AnyInt
    phases: Mapping[str, PhaseCost]
    """In the order in which they began."""


def start_cost_of(told: Announced) -> StartCost | None:
    """What one worker's start cost; None where it told nothing of that.

    Args:
        told: all that it announced.
    """
    readings = [*((span.name, span.spent) for span in told.phases), ("", told.ready_spent)]
    name = IMPORTS if told.phases and told.phases[0].name == IMPORTS else STARTING
    before = Spent(0.0)
    costs: list[tuple[str, PhaseCost]] = []
    for following, spent in readings:
        if spent is not None:
            grown = spent.anonymous_bytes - before.anonymous_bytes
            costs.append((name, PhaseCost(spent.cpu_s - before.cpu_s, grown)))
            name, before = following, spent
    return _added(costs)


def total_of(costs: Iterable[StartCost]) -> StartCost | None:
    """What several starts cost together; None where there is none.

    Args:
        costs: of each worker.
    """
    return _added(phase for cost in costs for phase in cost.phases.items())


def _added(costs: Iterable[tuple[str, PhaseCost]]) -> StartCost | None:
    phases: dict[str, PhaseCost] = {}
    for name, cost in costs:
        known = phases.get(name, PhaseCost(0.0, 0))
        phases[name] = PhaseCost(known.cpu_s + cost.cpu_s, known.anonymous_bytes + cost.anonymous_bytes)
    if not phases:
        return None
    cpu_s, anonymous = (
        sum(cost.cpu_s for cost in phases.values()),
        sum(cost.anonymous_bytes for cost in phases.values()),
    )
    return StartCost(cpu_s, anonymous, phases)
