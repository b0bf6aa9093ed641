"""A look at a worker as a row of a run's events, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from ipexlaunch.documents.codec import from_plain, to_plain
from ipexlaunch.launch.placement.placement import Placement


def placement_row(placement: Placement) -> dict[str, Any]:
    """Everything that the look saw; `placement_of` gives the same value back."""
    return cast(dict[str, Any], to_plain(placement))


def placement_of(row: Mapping[str, Any]) -> Placement:
    """The look that a row holds.

    Args:
        row: as `placement_row` made it.

    Raises:
        ValueError: it is no such row.
    """
    return from_plain(dict(row), Placement, complete=True)
