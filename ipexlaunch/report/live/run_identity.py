"""Which run it is: what `ipexlaunch top` and the metrics tell runs apart by, and what it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED


@dataclass(frozen=True, slots=True, kw_only=True)
class RunIdentity:
    """Which run it is, among all that run on this host."""

    pid: int
    """Of the launcher."""
    program: str
    """What the workers run, as it was typed."""
    started_at: float
    """Seconds since 1970."""
    local_share_required: float = LOCAL_SHARE_REQUIRED
    """Share of a worker's anonymous memory that must be on its nodes for a VALID run, 0 to 1."""
