"""What is known of a run and of each of its workers at one moment, and the limits that hold for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ipexlaunch.documents.fields import in_documents

Phase = Literal["waiting", "starting", "ready", "running", "finished", "exited"]
"""waiting: to be started (again); starting: loads, warms up, or never says a word; ready: waits for the common start;
running: counts; finished: said so."""

Stage = Literal["start", "load", "run", "limit"]

TIMED_OUT = 124
"""Exit code of a run that hit a time limit, as timeout(1) has it."""

LONGEST_RESTART_WAIT_S = 60.0
"""Back-off ends here."""

NEVER_RESTARTED = ("start",)
"""Stages of a failure that a new attempt cannot mend: the program is not there."""

SIGNAL_BASE = 128
"""Exit code of what a signal ended is 128 + its number, as a shell has it."""

SIGTERM = 15
SIGKILL = 9

COMPILATION = ("compiling", "waiting for compilation")
"""Announced phases that have a time limit of their own and do not count against that of being ready."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits in seconds; None means no limit."""

    grace_s: float = 10.0
    """Between TERM and KILL."""
    ready_timeout_s: float | None = None
    """From the start until every worker that speaks the protocol is ready; compilation does not count."""
    compile_timeout_s: float | None = None
    """Of each attempt of a worker, in the phases of COMPILATION."""
    timeout_s: float | None = None
    """From the start of the run to its end."""
    stall_timeout_s: float | None = None
    """Without a count from a worker that was given the start."""
    measured_s: float | None = None
    """After the common start: then all workers are asked to end, and that is no failure; for trials."""
    stagger_s: float = 0.0
    """Between the start of one worker and that of the next."""
    on_failure: Literal["stop", "continue", "restart"] = "stop"
    restarts: int = 3
    """Of each worker, with on_failure="restart"; then its failure counts like any other."""
    first_restart_s: float = 1.0
    """Wait before the first restart of a worker; it doubles with each, up to LONGEST_RESTART_WAIT_S."""
    fed: bool = False
    """Whether workers take their items from a queue: none waits for the others, and what one had that died goes to the
    others. One that was ready is then restarted for as long as items are left, and its death is no failure; one that
    dies before is tried again `restarts` times in a row, and then the others go on without it."""
    fed_together: bool = False
    """Whether workers that are fed begin together all the same, because they are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One thing that went wrong, as the report shows it."""

    index: int
    """The worker's place in the run; in the record of a run and in its report the index of its instance."""
    stage: Stage
    code: int
    """Exit code in the shell's sense: 128 + signal for a signal."""
    message: str
    time: float = field(metadata=in_documents(key="time_s"))


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """One worker, as the supervisor knows it."""

    index: int
    """Its place in the run, from 0."""
    phase: Phase = "waiting"
    start_at: float = 0.0
    """When it is to be started, while it waits for that."""
    busy_with: str = ""
    """The phase that it has announced, until it is ready; "" for none."""
    busy_since: float = 0.0
    compiled_s: float = 0.0
    """Seconds in phases of COMPILATION that are over, in all attempts."""
    compiled_before_s: float = 0.0
    """What former attempts have of them."""
    was_ready: bool = False
    counted: float | None = None
    """When it last counted something, or was given the start."""
    restarts: int = 0
    """Times that it was started again, or is to be."""
    failed_loads: int = 0
    """Attempts in a row that ended before it was ready."""
    kill_at: float | None = None
    """When it alone is killed, where workers are fed: not ready in time, or not gone."""
    killed_for: str = ""
    """Why we have killed it, in words that follow "instance 3"; "" where we have not."""
    not_needed: bool = False
    """Whether it was asked to end while it loaded, because nothing was left to be done."""
    exit_code: int | None = None
    """Once exited; 128 + signal for a signal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """The whole run."""

    workers: tuple[WorkerState, ...]
    limits: Limits
    started: float
    go: float | None = None
    """When the common start was given."""
    deadline: float | None = None
    """When those that were asked to end are killed; set once the run is stopping."""
    killed: bool = False
    drained: bool = False
    """Whether no item is left to be given to workers."""
    signal: int | None = None
    """The first signal that asked the launcher to end."""
    signalled: float | None = None
    """When it came."""
    failures: tuple[Failure, ...] = field(default=())
    recovered: tuple[Failure, ...] = field(default=())
    """Failures that a restart answered, or that came when nothing was left to be done."""

    @property
    def stopping(self) -> bool:
        """Whether the workers have been asked to end."""
        return self.deadline is not None

    @property
    def alive(self) -> tuple[int, ...]:
        """Indices of the workers that have not exited."""
        return tuple(worker.index for worker in self.workers if worker.phase != "exited")


def exit_code(state: State) -> int:
    """The launcher's exit code as far as processes decide it: the first failure's, a signal's, or 0."""
    if state.failures:
        return state.failures[0].code
    return 0 if state.signal is None else SIGNAL_BASE + state.signal


def shell_code(code: int) -> int:
    """A process's return code as a shell would say it: 128 + signal for a signal."""
    return SIGNAL_BASE - code if code < 0 else code
