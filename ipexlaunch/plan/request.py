"""Request: what the user asks of the planner."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for; None means not asked."""

    ninstances: int | None = None
    ncores_per_instance: int | None = None
    cores_list: frozenset[int] | None = None
    """Cpus to use, as ids."""
    nodes_list: frozenset[int] | None = None
    """Nodes whose cpus to use."""
