"""What is known of one candidate: what is expected of it, what was measured, and whether its answers keep the bound."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.expectations import Expectation
from ipexlaunch.models.engines.measurement import LEAST, Measurement, bound_of, judge, side_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateResult:
    """A candidate with what is expected and, where it was tried, what was measured."""

    candidate: Candidate
    expectation: Expectation
    measurement: Measurement | None = None
    min_cosine: float | None = None
    """What its answers must keep instead of the cosine of its dtype's bound; None for that."""

    @property
    def speed(self) -> float | None:
        """Times eager fp32; None where it was not tried or did not run."""
        return None if self.measurement is None else self.measurement.speed

    @property
    def rate(self) -> float:
        """The same to compare with; 0 where there is none."""
        return self.speed or 0.0

    @property
    def right(self) -> bool:
        """It ran, and its answers keep the bound."""
        return self.speed is not None and not self.wrong

    @property
    def wrong(self) -> str:
        """What is wrong with its answers; "" where they keep the bound, or were not compared."""
        found = self.measurement
        if found is None or found.answers is None:
            return ""
        return judge(
            found.answers,
            self.candidate.dtype,
            random_weights=found.random_weights,
            min_cosine=self.min_cosine,
        )

    @property
    def coarse(self) -> str:
        """Why nobody gets it who did not ask for its dtype, though its answers keep the bound of that; else ""."""
        found = self.measurement
        if found is None or found.answers is None or self.wrong:
            return ""
        beyond = judge(
            found.answers, LEAST, random_weights=found.random_weights, min_cosine=self.min_cosine, asked_by="auto"
        )
        return beyond and f"{beyond} (--dtype {self.candidate.dtype} takes it, {self.rate:.2f} times eager fp32's rate)"

    @property
    def for_auto(self) -> bool:
        """It ran, and its answers are what anybody expects of the fastest."""
        return self.right and not self.coarse

    @property
    def kept(self) -> str:
        """Which bound its answers keep, and how near they are to it; "" where they do not, or were not compared."""
        found = self.measurement
        if found is None or found.answers is None or self.wrong:
            return ""
        bound = bound_of(self.candidate.dtype, self.min_cosine)
        asked = bound.applied(found.answers, random_weights=found.random_weights)
        limits = [f"{name.replace('_', ' ')} {limit} at {side_of(name)}" for name, limit in asked.items()]
        return f"its answers keep the bound ({', '.join(limits)}): {found.answers.words} with eager fp32"

    @property
    def trouble(self) -> str:
        """Why it cannot be chosen; "" where it can."""
        if self.measurement is None:
            fares = self.expectation.fares
            return self.expectation.reason if fares in ("unavailable", "slow") else "it was not measured"
        return self.measurement.problem or self.wrong

    @property
    def objection(self) -> str:
        """Why it cannot be chosen, or only by who asks for its dtype; "" where it can."""
        return self.trouble or self.coarse
