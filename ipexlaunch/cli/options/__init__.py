"""What a command's options come to: frozen values, made once of what click has read and passed on from there.

The class in which an option stands says what becomes of it under --replay.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from ipexlaunch.launch.share_start import ShareStart
from ipexlaunch.launch.throughput_regex import LineRule
from ipexlaunch.plan.plan import Request

if TYPE_CHECKING:  # engines: a run of a script needs nothing of them
    from ipexlaunch.models.engines.choose import DtypeChoice, EngineChoice
    from ipexlaunch.models.engines.model_job import Task


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """What is started, and on which plan."""

    plan_file: str | None
    python: str | None
    module: bool
    no_python: bool
    env: tuple[str, ...]
    port: int
    memory_allocator: str
    omp_runtime: str
    benchmark: bool
    fix_pinning: bool
    enable_tcmalloc: bool
    enable_jemalloc: bool
    use_default_allocator: bool
    disable_iomp: bool


@dataclass(frozen=True, kw_only=True)
class SupervisionOptions:
    """What decides how a run goes and is judged."""

    multi_task_manager: str
    disable_numactl: bool
    disable_taskset: bool
    strict: bool
    confine: str
    share_start: ShareStart | None
    share_start_strict: bool
    local_pages: float
    lost_time: float
    ready_timeout: float | None
    compile_timeout: float | None
    timeout: float | None
    grace: float
    stall_timeout: float | None
    stagger: float
    on_failure: str
    proof_interval: float
    throughput_regex: LineRule | None
    baseline: bool = False
    """Of `run` and `bench` alone."""


@dataclass(frozen=True, kw_only=True)
class KeepingOptions:
    """What shows a run and keeps it."""

    report_file: str | None
    run_dir: str | None
    log_dir: str | None
    log_path: str | None
    log_file_prefix: str
    log_max_mb: float | None
    timestamps: bool
    live: bool
    metrics_port: int | None
    metrics_address: str
    metrics_file: str | None


@dataclass(frozen=True, kw_only=True)
class LaunchOptions(JobOptions, SupervisionOptions, KeepingOptions):
    """Those of every command that starts workers."""

    command: str
    """Its name."""
    request: Request
    """What the planner's options ask for."""
    any_machine: bool
    dry_run: bool
    topology: str | None
    cache_dir: str | None = None
    no_cache: bool = False
    """These two of commands that run models."""


@dataclass(frozen=True, kw_only=True)
class AcrossHostsOptions:
    """Which of several hosts this is, of `run` and `bench`."""

    across_hosts: bool
    host_rank: int | None
    host_count: int | None
    rendezvous: tuple[str, int] | None
    job_id: str | None
    rendezvous_ports: range | None
    join_timeout: float


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a model is run by the built-in worker."""

    model: str | None
    task: Task | None
    engine: EngineChoice
    dtype: DtypeChoice
    quantization: Literal["auto", "dynamic", "static", "weight-only"]
    group_size: int
    lowp_mode: str | None
    checkpoint: str
    force_dtype: bool
    input_tokens: int
    new_tokens: int
    seed: int | None
    no_check: bool
    min_cosine: float | None
    cache_dir: str | None
    cache_limit: int
    no_cache: bool


@dataclass(frozen=True, kw_only=True)
class ScriptOptions:
    """Of scripts that know nothing of ipexlaunch."""

    count_calls: bool
    warmup_calls: int | None
    auto_ipex: bool
    disable_ipex_graph_mode: bool
    auto_ipex_verbose: bool
    force_dtype: bool


@dataclass(frozen=True, kw_only=True)
class RunOptions(LaunchOptions, ScriptOptions, AcrossHostsOptions):
    """Those of `run`."""

    dtype: str | None
    profile: bool


def names_of(*kinds: type) -> tuple[str, ...]:
    """The options that stand in these classes."""
    return tuple(dict.fromkeys(each.name for kind in kinds for each in fields(kind)))


REPEATED = names_of(SupervisionOptions)
"""What is kept with a run and holds again unless it is typed."""
