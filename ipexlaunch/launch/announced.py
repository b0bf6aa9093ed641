"""What a worker has told of itself beyond its counts, as it comes in: phases, durations, facts, doubts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

REASONS_KEPT = 10
"""Of one worker; more of them say nothing new."""

COUNTED_NOTHING = "counted nothing"
"""Words of the reason that a rate was asked for and nothing was counted, from whoever gives it."""

MORE_REASONS = "... and more reasons of that worker"


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """What a worker was busy with before it was ready, and how long; times are seconds of the monotonic clock."""

    name: str
    begin: float
    end: float | None = None
    """None while it lasts."""


@dataclass(slots=True)
class Told:
    """All of one worker's announcements that are kept."""

    phases: list[PhaseSpan] = field(default_factory=list)
    """Of the present attempt, in order, one after the other; the last has no end while it lasts."""
    durations_s: dict[str, array[float]] = field(default_factory=dict)
    """Kind, such as "first_token", to seconds each."""
    facts: dict[str, object] = field(default_factory=dict)
    """Of the present attempt; values are what JSON can hold."""
    invalid: list[str] = field(default_factory=list)
    """Why its results must not be believed, each reason once."""
    sent_items: int = 0
    """Counted by the present attempt itself, not by children that it forked; it tells its own total at its end."""
    sent_tokens: int = 0

    def begin_phase(self, name: str, time: float) -> None:
        """The worker is busy with something else from now on; the same name again changes nothing."""
        if self.phases and self.phases[-1].end is None and self.phases[-1].name == name:
            return
        self.end_phase(time)
        self.phases.append(PhaseSpan(name, time))

    def end_phase(self, time: float) -> None:
        """The present phase, if there is one, is over: the worker is ready, or has exited."""
        if self.phases and self.phases[-1].end is None:
            last = self.phases[-1]
            self.phases[-1] = PhaseSpan(last.name, last.begin, max(time, last.begin))

    def phase_seconds(self) -> dict[str, float]:
        """Seconds of each phase that is over, by name; one that was entered several times has its sum."""
        seconds: dict[str, float] = {}
        for span in self.phases:
            if span.end is not None:
                seconds[span.name] = seconds.get(span.name, 0.0) + span.end - span.begin
        return seconds

    def add_durations(self, name: str, values_s: Iterable[float]) -> None:
        """Append durations of one kind."""
        self.durations_s.setdefault(name, array("d")).extend(values_s)

    def kept_reason(self, reason: str) -> str:
        """How a reason is kept; "" where it is not new, or there are enough."""
        if reason in self.invalid or len(self.invalid) > REASONS_KEPT:
            return ""
        return reason if len(self.invalid) < REASONS_KEPT else MORE_REASONS

    def add_invalid(self, reason: str) -> bool:
        """Keep a reason; False where it is not new, or there are enough."""
        if kept := self.kept_reason(reason):
            self.invalid.append(kept)
        return bool(kept)

    def begin_attempt(self) -> None:
        """The worker is started again: its phases and facts begin anew; what it counted and doubted stays."""
        self.sent_items = self.sent_tokens = 0
        self.phases.clear()
        self.facts.clear()
