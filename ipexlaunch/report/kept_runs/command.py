"""What a run directory says of the run as it was asked for: enough to start it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ipexlaunch.launch.job import Job


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
    """Those that decide what happens, to their values; those that only show or keep are not repeated."""
    written: str = ""
    """UTC, such as "2026-03-01T12:00:00Z"."""
    ipexlaunch: str = ""
    """Version."""
