"""The keys of a tuning document, version 1, for the validator."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ipexlaunch.documents.profile_model import SettingModel


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TriedModel(_Strict):
    """One run of one setting."""

    setting: SettingModel
    seconds: float
    round: int = Field(ge=0)
    rate: float | None
    trouble: str
    latency_ms: float | None
    peak_bytes: int
    cost_s: float
    proposed: bool


class TuningModel(_Strict):
    """A search."""

    best: SettingModel | None
    rate: float | None
    why: str
    settings: int
    runs: list[TriedModel]
    left_out: list[str] = []
