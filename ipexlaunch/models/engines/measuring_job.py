"""A measuring job: the model, the candidates to measure and how long, as one value that travels as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import ModelJob

SECONDS = 2.0
"""How long one candidate is timed, its reference aside."""

LARGEST_WHOLE_MODEL = 500_000_000
"""A model of more parameters is measured by its first layers: all are alike, and several copies must fit."""

FEW_LAYERS = 2

_ORDER = ("eager", "torch", "ipex")


def in_order(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates as they should be measured: IPEX changes torch when it is imported, so its own come last."""
    return tuple(sorted(candidates, key=lambda each: _ORDER.index(each.engine)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringJob:
    """What the measuring worker does."""

    job: ModelJob
    """The model, the task and its sizes; its own candidate and its seconds are not used."""
    candidates: tuple[Candidate, ...]
    """In the order in which they are measured (`in_order`)."""
    seconds: float = SECONDS
    layers: int | None = None
    """Measure so many of the first layers; None for all, or FEW_LAYERS of a large model."""
    one_stretch: bool = False
    """Time each candidate's calls one after the other, with the reference before and after them only."""
    barrier: str = ""
    """A directory in which the workers wait for each other, so that all measure the same at the same time."""
    workers: int = 1
    """How many wait there."""

    def to_json(self) -> str:
        """One line, which `from_json` reads back to the same value."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> MeasuringJob:
        """The job that `to_json` wrote; it is read by the version that wrote it, so a mismatch is a TypeError."""
        fields = json.loads(text)
        candidates = tuple(Candidate(**each) for each in fields["candidates"])
        return cls(**{**fields, "job": ModelJob.from_fields(fields["job"]), "candidates": candidates})
