"""The keys of a tuning document, version 1, for the validator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ipexlaunch.measure.rate_schema import Rate
from ipexlaunch.tune.profile_schema import SettingModel

LARGEST_BYTES = 2**63 - 1


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


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
