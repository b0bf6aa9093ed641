"""What was tried, one row for each run, and what came of the search (schema ipexlaunch/tuning/1)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Annotated

from ipexlaunch.documents.codec import dump_json, read_value, to_plain
from ipexlaunch.documents.fields import LATER, Bounds, NonNegativeInt
from ipexlaunch.documents.text import parse_document, problem_at
from ipexlaunch.measure.rates import Rate
from ipexlaunch.tune.space import Setting

LARGEST_BYTES = 2**63 - 1

EXPLORING = 0
"""Round of the runs that look around; the race's rounds count from 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of one setting, whatever became of it."""

    setting: Setting
    seconds: float
    """How long it was to measure."""
    round: NonNegativeInt = EXPLORING
    """Of the race, from 1; EXPLORING for the runs before it and between its rounds."""
    rate: Rate | None = None
    """Items per second of all instances; None where nothing can be said."""
    trouble: str = ""
    """Why the run does not count: it was INVALID, a worker ended badly, its latency was above the limit; "" where it
    does."""
    latency_ms: float | None = None
    """p99 of a call; None where none was reported."""
    peak_bytes: Annotated[int, Bounds(ge=0, le=LARGEST_BYTES)] = 0
    """Largest peak memory of a worker; 0 where it is not known."""
    cost_s: float = 0.0
    """What the run took, loading included."""
    proposed: bool = False
    """The optimiser proposed the setting."""

    @property
    def counts(self) -> bool:
        """Whether it may be compared: it ran, was VALID, and counted something."""
        return not self.trouble and self.rate is not None and self.rate > 0


def by_setting(history: Iterable[Trial]) -> dict[Setting, list[Trial]]:
    """The runs of each setting, in their order."""
    found: dict[Setting, list[Trial]] = {}
    for each in history:
        found.setdefault(each.setting, []).append(each)
    return found


def failed_settings(history: Iterable[Trial]) -> frozenset[Setting]:
    """Those with a run that does not count: one takes a setting out for good."""
    return frozenset(run.setting for run in history if not run.counts)


def usable(history: Sequence[Trial]) -> dict[Setting, list[Trial]]:
    """The runs of each setting that may be picked."""
    failed = failed_settings(history)
    return by_setting(run for run in history if run.setting not in failed)


def estimates(history: Sequence[Trial]) -> dict[Setting, float]:
    """Natural logarithm of the rate of each usable setting: the median over its runs."""
    return {setting: median(log_rate(run) for run in runs) for setting, runs in usable(history).items()}


def log_rate(run: Trial) -> float:
    """Natural logarithm of the rate of a run that counts, so that differences are ratios."""
    return math.log(run.rate or math.nan)


def lasted(history: Iterable[Trial]) -> float:
    """Seconds that all runs took."""
    return sum(run.cost_s for run in history)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A search that is over, or was interrupted."""

    best: Setting | None
    """The pick; None where nothing ran."""
    why: str
    """It ended."""
    settings: int
    """That might have been tried."""
    runs: tuple[Trial, ...]
    """In their order."""
    left_out: tuple[str, ...] = field(default=(), metadata=LATER)
    """Engines and dtypes that could not be tried at all, and why, a line for each reason."""

    @property
    def rate(self) -> float | None:
        """Items per second of the pick; None where nothing ran."""
        return None if self.best is None else median_rate(by_setting(self.runs)[self.best])


def median_rate(runs: Sequence[Trial]) -> float:
    """Items per second of a setting: the median of its longest runs.

    Args:
        runs: of the setting; one at least.
    """
    longest = max(run.seconds for run in runs)
    return median(run.rate or 0.0 for run in runs if run.seconds == longest)


KIND = "tuning"
VERSIONS = (1,)
SCHEMA = f"ipexlaunch/{KIND}/{VERSIONS[-1]}"


def write_tuning(outcome: Outcome) -> str:
    """The outcome as JSON text; `read_tuning` gives the same value back."""
    data = to_plain(outcome)
    return dump_json({"schema": SCHEMA, "best": data.pop("best"), "rate": outcome.rate, **data})


def read_tuning(text: str, source: str) -> Outcome:
    """The outcome that the text holds.

    Args:
        text: JSON or YAML.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is not such a document; the message names the line and the place.
    """
    document = parse_document(text, source, {KIND: VERSIONS})
    told = {key: value for key, value in document.data.items() if key != "rate"}  # it follows from the runs
    outcome = read_value(replace(document, data=told), Outcome, complete=True)
    if outcome.best is not None and not any(run.setting == outcome.best for run in outcome.runs):
        raise problem_at(document, ("best",), "no run has this setting", "")
    if outcome.best is not None and outcome.best not in usable(outcome.runs):
        raise problem_at(document, ("best",), "a run of this setting does not count", "")
    return outcome
