"""The keys of a status document, version 1, for the validator; it may come from a launcher of another version."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ipexlaunch.launch.lifecycle import Phase
from ipexlaunch.launch.placement.verify import LOCAL_SHARE_REQUIRED
from ipexlaunch.machine.cpulist_schema import CpuList


class _Tolerant(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class WorkerModel(_Tolerant):
    """One worker."""

    index: int
    pid: int | None
    phase: Phase
    cpus: CpuList
    nodes: CpuList
    memory: str
    items: int
    tokens: int
    rate: float | None
    local_pages: float | None
    last_line: str
    exit_code: int | None
    restarts: int = 0
    stopped: bool = False
    busy_with: str = ""
    busy_s: float | None = None


class StatusModel(_Tolerant):
    """The whole document."""

    pid: int
    program: str
    started_at: float
    local_share_required: float = LOCAL_SHARE_REQUIRED
    elapsed_s: float
    measured_s: float | None
    rate: float | None
    failures: list[str] = []
    workers: list[WorkerModel]
