"""The keys of a report document, version 1, for the validator."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ipexlaunch.machine.cpulist_schema import CpuList
from ipexlaunch.measure.rate_schema import Rate


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class LatencyModel(_Strict):
    """Percentiles in milliseconds."""

    p50: float
    p90: float
    p99: float


class DistributionModel(LatencyModel):
    """The same of durations of another kind, and how many there are."""

    count: int


class ThroughputModel(_Strict):
    """Rates of the whole run."""

    makespan: Rate | None
    steady: Rate | None
    naive_sum: Rate | None
    unit: str
    items: int
    tokens: int
    tokens_per_second: float | None
    seconds: float | None
    steady_seconds: float | None
    start: Literal["common", "first", "run"] | None = None


BytesByNode = dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], int]


class PlacementModel(_Strict):
    """What was read back of one worker."""

    looks: int
    page_looks: int
    cpus: CpuList
    last_cpus: CpuList
    main_thread_cpus: CpuList
    processes: int
    daemons: int
    threads: int
    pinned_threads: int
    anonymous_bytes: BytesByNode | None
    huge_bytes: BytesByNode
    transparent_huge_bytes: int | None
    shared_bytes: BytesByNode
    file_bytes: BytesByNode
    openmp: list[str]
    migrations: int | None
    crowded_looks: int


class InstanceModel(_Strict):
    """One worker."""

    index: int
    cpus: CpuList
    nodes: CpuList
    memory: str
    items: int
    tokens: int
    rate: Rate | None
    latency_ms: LatencyModel | dict[str, float]
    ready_s: float | None
    local_pages: float | None
    threads: int | None
    cpu_s: float
    peak_memory_bytes: int
    exit: int | None
    log: str
    placement: PlacementModel | None
    phases_s: dict[str, float] = {}
    distributions_ms: dict[str, DistributionModel] = {}
    facts: dict[str, Any] = {}
    interference: float | None = None
    accelerator: str = ""


class BaselineModel(_Strict):
    """What one instance did alone."""

    index: int
    rate: Rate
    items: int
    seconds: float
    measured: str = ""


class DisturbanceModel(_Strict):
    """What was taken from the run."""

    seconds: float
    cpu_seconds: float
    others_s: float | None
    stolen_s: float | None
    stopped_s: float | None
    stopped_periods: int | None
    periods: int | None
    swapped_in_pages: int | None
    swapped_out_pages: int | None
    hot_events: int | None
    first_mhz: float | None
    last_mhz: float | None
    waited_s: float | None = None
    pressure_s: float | None = None


class FailureModel(_Strict):
    """One thing that went wrong."""

    index: int
    stage: Literal["start", "load", "run", "limit"]
    code: int
    message: str
    time_s: float


class BatchModel(_Strict):
    """What a batch job cost beyond its items."""

    items_done: int
    items_dead: int
    items_now: int
    unreadable: int
    batches: int
    padding_waste: float | None
    requeued: int
    bisected: int
    tail_idle_s: float


class ReportModel(_Strict):
    """The whole document."""

    valid: bool
    reasons: list[str]
    warnings: list[str]
    throughput: ThroughputModel
    latency_ms: LatencyModel | dict[str, float]
    efficiency: float | None
    baseline: BaselineModel | None = None
    disturbance: DisturbanceModel | None = None
    instances: list[InstanceModel]
    failures: list[FailureModel]
    distributions_ms: dict[str, DistributionModel] = {}
    facts: dict[str, Any] = {}
    exit_code: int
    provenance: dict[str, Any]
    batch: BatchModel | None = None
