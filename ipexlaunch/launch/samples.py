"""What a worker has counted, as it comes in: raw facts in columns."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

UNKNOWN = float("nan")
"""A latency that was not reported."""


@dataclass(slots=True)
class Samples:
    """Every count of one worker, in columns of 8 bytes, so that an hour of ten counts a second is 1 MB."""

    times: array[float] = field(default_factory=lambda: array("d"))
    """When the items were done, seconds of the monotonic clock."""
    items: array[int] = field(default_factory=lambda: array("q"))
    tokens: array[int] = field(default_factory=lambda: array("q"))
    latencies_s: array[float] = field(default_factory=lambda: array("d"))
    """How long the call took; NaN where it was not reported."""

    def add(self, time: float, items: int, tokens: int = 0, latency_s: float = UNKNOWN) -> None:
        """Append one count."""
        self.times.append(time)
        self.items.append(items)
        self.tokens.append(tokens)
        self.latencies_s.append(latency_s)

    def extend(self, more: Samples) -> None:
        """Append every count of others."""
        self.times.extend(more.times)
        self.items.extend(more.items)
        self.tokens.extend(more.tokens)
        self.latencies_s.extend(more.latencies_s)

    def since(self, begin: int) -> Samples:
        """The counts from the one with this number on."""
        return Samples(self.times[begin:], self.items[begin:], self.tokens[begin:], self.latencies_s[begin:])


@dataclass(slots=True)
class Tally:
    """Running totals of samples, so that a look at a long run does not add them all up again."""

    items: int = 0
    tokens: int = 0
    seen: int = 0
    """How many samples are in the totals."""

    def update(self, samples: Samples) -> None:
        """Add what has come since the last call."""
        self.items += sum(samples.items[self.seen :])
        self.tokens += sum(samples.tokens[self.seen :])
        self.seen = len(samples.items)
