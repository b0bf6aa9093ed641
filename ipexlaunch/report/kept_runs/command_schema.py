"""The keys of run.yaml in a run directory, version 1, for the validator."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ipexlaunch.launch.job import ProgramKind
from ipexlaunch.plan.templates import FIRST_PORT


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class JobModel(_Strict):
    """What is run on each instance; what is the default may be left out."""

    program: str
    arguments: list[str] = []
    kind: ProgramKind = "script"
    python: str = "python3"
    environment: dict[str, str] = {}
    libraries: dict[str, str] = {}
    benchmark: bool = False
    runner: list[str] = []
    path_first: str = ""
    remarks: list[str] = []
    first_port: int = FIRST_PORT
    kernel_cache: str = ""


class RecordedRunModel(_Strict):
    """The whole document."""

    command: str
    directory: str
    job: JobModel
    options: dict[str, Any] = {}
    written: str = ""
    ipexlaunch: str = ""
