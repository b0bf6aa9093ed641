"""How a run stands at one moment: what the live view, `ipexlaunch top` and the metrics show."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.launch.lifecycle import Phase
from ipexlaunch.machine.cpulist import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSnapshot:
    """One worker now."""

    index: int
    pid: int | None
    phase: Phase
    cpus: Ids
    """Planned."""
    nodes: Ids
    """Planned nodes of its memory."""
    memory: str
    """Policy as the kernel accepted it."""
    items: int
    """Counted so far."""
    tokens: int
    rate: float | None
    """Items per second over the last RATE_WINDOW_S; None before the first count."""
    local_pages: float | None
    """Share of local anonymous memory at the last look, 0 to 1."""
    last_line: str
    """What it printed last, without its end: a whole line, or what stands after it, such as a progress bar."""
    exit_code: int | None
    restarts: int = 0
    stopped: bool = False
    """Whether it exited because it was asked to, so that its exit code is no failure of its own."""
    busy_with: str = ""
    """What it has announced to be busy with before it is ready, e.g. "compiling"; "" for nothing."""
    busy_s: float | None = None
    """For how long."""

    @property
    def failed(self) -> bool:
        """Whether it exited with a code other than 0 of its own accord, or by a limit that it broke."""
        return bool(self.exit_code) and not self.stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The whole run now."""

    elapsed_s: float
    """Since the start of the run."""
    measured_s: float | None
    """Since the common start; None before it."""
    rate: float | None
    """Sum of the workers' present rates, items per second."""
    failures: tuple[str, ...] = ()
    """Messages, earliest first."""
    workers: tuple[WorkerSnapshot, ...]


RATE_WINDOW_S = 5.0
"""Present rates are averages over the last five seconds."""
