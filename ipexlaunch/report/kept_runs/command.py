"""What a run directory says of the run as it was asked for: enough to start it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ipexlaunch.launch.job import Job

REPLAYED_OPTIONS = (
    "multi_task_manager", "disable_numactl", "disable_taskset", "strict", "local_pages", "lost_time", "ready_timeout",
    "compile_timeout", "timeout", "grace", "stall_timeout", "stagger", "on_failure", "proof_interval",
    "throughput_regex",
    "baseline",
)  # fmt: skip
"""Options that decide what happens, by the names of the command line; those that only show or keep are not repeated."""

BATCH_OPTIONS = (
    "input_file", "input_format", "delimiter", "quote", "id_field", "text_field", "tokens_field", "max_line_mb",
    "batch_size", "batch_tokens",
    "look_ahead", "output_format", "keep_order", "on_bad_line", "attempts", "model",
)  # fmt: skip
"""Those of a batch job beside them; where its results go is said anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRun:
    """The command of a run."""

    command: str
    """ "run", "bench", "batch" or "loadgen", as it was typed."""
    directory: str
    """Where it was typed: relative paths of the program and its arguments begin there."""
    job: Job
    """Without its module_path, which is the place of the ipexlaunch that runs it."""
    options: Mapping[str, object] = field(default_factory=dict)
    """REPLAYED_OPTIONS, of a batch job BATCH_OPTIONS too, to their values."""
    written: str = ""
    """UTC, such as "2026-03-01T12:00:00Z"."""
    ipexlaunch: str = ""
    """Version."""
