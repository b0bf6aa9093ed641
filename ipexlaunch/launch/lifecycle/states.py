"""What is known of a run and its workers at one moment, what can happen to it, and how one worker changes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ipexlaunch.documents.fields import in_documents
from ipexlaunch.errors import TRY_AGAIN
from ipexlaunch.launch.process_failures import describe_exit

EventKind = Literal[
    "phase", "ready", "asked", "counted", "finished", "stuck", "exited", "signalled", "drained", "abandoned",
    "released", "lost", "recycled", "retired", "tick",
]  # fmt: skip
"""phase: a worker that is not ready says what it is busy with; ready: it has loaded, warmed up, and waits for the
start; asked: it wants items that it is fed with; counted: it counted something; finished: it has counted its last item;
stuck: it is killed for that; exited: its process ended; signalled: the launcher was asked to end; drained: no item is
left for workers that are fed; abandoned: no more of them can be done; released: every other host is ready too; lost:
another host has failed, or is not heard of; recycled: a server is to end and to be started again at once; retired: it
is to end until it is recycled; tick: time passed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: EventKind
    time: float
    index: int = -1
    """The worker, for phase, ready, asked, counted, finished, stuck, exited, recycled and retired."""
    code: int = 0
    """exited: as the operating system reports it to Python, negative for a signal; signalled: the signal."""
    detail: str = ""
    """phase: its name; stuck: what it did, in words that follow "instance 3"; exited: what is known beyond the code,
    e.g. why it could not be started; lost: which host, and what is known of it."""


CommandKind = Literal["start", "ready", "go", "release", "terminate", "kill", "done"]
"""start: start the process; ready: tell the other hosts that all are ready here; go: start the measurement now;
release: let a finished worker leave; terminate, kill: TERM or KILL to the process groups; done: every worker has
exited."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do."""

    kind: CommandKind
    indices: tuple[int, ...] = ()
    """The workers to do it to."""


Phase = Literal["waiting", "starting", "ready", "running", "finished", "exited"]
"""waiting: to be started (again); starting: loads, warms up, or never reports; ready: waits for the common start;
running: counts; finished: said so."""

Stage = Literal["start", "load", "run", "limit"]

TIMED_OUT = 124
"""Exit code of a run that hit a time limit, as timeout(1) has it."""

LONGEST_RESTART_WAIT_S = 60.0
"""Back-off ends here."""

NEVER_RESTARTED = ("start",)
"""Stages of a failure that a new attempt cannot repair: the program is not there."""

SIGNAL_BASE = 128
"""Exit code of what a signal ended is 128 + its number, as a shell has it."""

SIGUSR1 = 10
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
    serving: bool = False
    """Whether workers are servers: none waits for the others, each is restarted whenever it ends, and one that was
    never ready after `restarts` further attempts ends the run."""
    across_hosts: bool = False
    """Whether workers on other hosts begin together with these: the common start waits for the event "released"."""

    @property
    def each_alone(self) -> bool:
        """Whether a worker that is late is killed alone, and the others go on."""
        return self.fed or self.serving


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
    """Attempts in a row that ended before it was ready; of a server also those that ended soon after."""
    served: bool = False
    """Whether this server was ready in any attempt."""
    ending: Literal["", "again", "away"] = ""
    """Why this server was asked to end alone: to be started again, or to stay away; "" where it was not."""
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
    ready_told: bool = False
    """Whether the other hosts have been told that all are ready here."""
    released: bool = False
    """Whether the other hosts are ready too."""
    lost: str = ""
    """Which other host has failed, and how; "" for none."""
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
    """The launcher's exit code as far as processes decide it: the first failure's, a signal's, or 0.

    An engine that has seen another host fail sends a signal to the others, and that is not why they end.
    """
    if state.failures:
        return state.failures[0].code
    return 0 if state.signal is None or state.lost else signal_code(state.signal)


def signal_code(number: int) -> int:
    """The launcher's exit code where a signal has ended it; a scheduler's warning is no end."""
    return TRY_AGAIN if number == SIGUSR1 else SIGNAL_BASE + number


def shell_code(code: int) -> int:
    """A process's return code as a shell would say it: 128 + signal for a signal."""
    return SIGNAL_BASE - code if code < 0 else code


def change(state: State, index: int, **changes: Any) -> State:
    """The state with these fields of one worker changed."""
    workers = tuple(replace(worker, **changes) if worker.index == index else worker for worker in state.workers)
    return replace(state, workers=workers)


def with_phase(state: State, index: int, phase: Phase) -> State:
    """The worker in another phase; one that has exited stays so, whatever it still said."""
    worker = state.workers[index]
    if worker.phase == "exited":
        return state
    is_ready = phase == "ready"
    return change(state, index, phase=phase, was_ready=worker.was_ready or is_ready, served=worker.served or is_ready)


def never_started(state: State, worker: WorkerState, code: int) -> State:
    """The worker waited to be started, and is not needed any more; a restart that never came does not count."""
    return change(state, worker.index, phase="exited", exit_code=code, restarts=max(0, worker.restarts - 1))


def failure_of(worker: WorkerState, event: Event) -> Failure:
    """What it means that a worker's process has ended, where that is a failure.

    Args:
        worker: before its end.
        event: of kind "exited".
    """
    stage: Stage = "start" if event.detail else "run" if worker.was_ready else "load"
    over = worker.killed_for and event.code == -SIGKILL  # by us: it did not do something in time
    code = TIMED_OUT if over else shell_code(event.code)
    message = event.detail or end_text(worker, event.code)
    return Failure(index=event.index, stage=stage, code=code, message=message, time=event.time)


def end_text(worker: WorkerState, code: int) -> str:
    """How a worker's process ended; why, where that was our doing.

    Args:
        worker: before its end.
        code: as the operating system reports it to Python.
    """
    return worker.killed_for if worker.killed_for and code == -SIGKILL else describe_exit(code)
