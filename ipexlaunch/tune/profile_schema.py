"""The keys of a profile document, version 1, for the validator."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ipexlaunch.plan.request import MemoryPolicy


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)


class SettingModel(_Strict):
    """How the program is run."""

    split: str
    smt: bool
    batch_size: int = Field(ge=0)
    numbers: str
    allocator: Literal["default", "tcmalloc", "jemalloc"]
    runtime: Literal["default", "intel"]
    memory: MemoryPolicy


class SoloModel(_Strict):
    """What one instance did alone."""

    rate: float
    items: int
    seconds: float
    conditions: str
    measured: str


class ProfileModel(_Strict):
    """What was found, and for what."""

    topology: str
    program: str
    arguments: list[str]
    batch_size_option: str
    setting: SettingModel
    engine: str
    dtype: str
    quantization: str
    rate: float
    runs: int
    written: str
    solo: SoloModel | None = None
