"""The keys of a tuning document, version 1, for the validator."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ipexlaunch.tune.profile_schema import SettingModel

LEAST_RATE, LARGEST_RATE = 1e-9, 1e30
"""Items per second. What was measured lies between, and so no ratio of two rates leaves what a float can hold."""

LARGEST_BYTES = 2**63 - 1


def _measured(rate: float) -> float:
    if 0 < rate < LEAST_RATE:
        raise ValueError(f"a rate is 0 or at least {LEAST_RATE:g}")
    return rate


Rate = Annotated[float, Field(ge=0, le=LARGEST_RATE), AfterValidator(_measured)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TriedModel(_Strict):
    """One run of one setting."""

    setting: SettingModel
    seconds: float
    round: int = Field(ge=0)
    rate: Rate | None
    trouble: str
    latency_ms: float | None
    peak_bytes: int = Field(ge=0, le=LARGEST_BYTES)
    cost_s: float
    proposed: bool


class TuningModel(_Strict):
    """A search."""

    best: SettingModel | None
    rate: Rate | None
    why: str
    settings: int
    runs: list[TriedModel]
    left_out: list[str] = []
