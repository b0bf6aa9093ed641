"""What came of a search: every run of it, the pick, and why it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from ipexlaunch.documents.fields import LATER
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import Tried, by_setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A search that is over, or was interrupted."""

    best: Setting | None
    """The pick; None where nothing ran."""
    why: str
    """It ended."""
    settings: int
    """That might have been tried."""
    runs: tuple[Tried, ...]
    """In their order."""
    left_out: tuple[str, ...] = field(default=(), metadata=LATER)
    """Engines and dtypes that could not be tried at all, and why, a line for each reason."""

    @property
    def rate(self) -> float | None:
        """Items per second of the pick; None where nothing ran."""
        return None if self.best is None else median_rate(by_setting(self.runs)[self.best])


def median_rate(runs: Sequence[Tried]) -> float:
    """Items per second of a setting: the median of its longest runs.

    Args:
        runs: of the setting; one at least.
    """
    longest = max(run.seconds for run in runs)
    return median(run.rate or 0.0 for run in runs if run.seconds == longest)
