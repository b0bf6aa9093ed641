"""How far a batch job is, as its progress bar and the lines beside a log show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """One moment of a batch job."""

    done: int
    """Items that are durable, in this run and in those that it goes on with; given up or not."""
    before: int
    """Of these, when this run began."""
    dead: int
    """Of these, given up."""
    expected: int | None
    """Items of the whole input; None where that cannot be told, as for a pipe."""
    exact: bool
    """Whether `expected` is a count, not what the lines so far let expect."""

    @property
    def share(self) -> float | None:
        """Of the input, 0 to 1; below 1 while it is not known that nothing is left."""
        if self.expected is None:
            return None
        if not self.expected:
            return 1.0
        share = self.done / self.expected
        return min(share, 1.0 if self.exact else 0.999)

    def left_s(self, measured_s: float | None) -> float | None:
        """Seconds to the end at the rate of this run so far; None where nothing lets it be told.

        Args:
            measured_s: since its workers began.
        """
        now = self.done - self.before
        if self.expected is None or not measured_s or now <= 0:
            return None
        return max(0, self.expected - self.done) * measured_s / now
