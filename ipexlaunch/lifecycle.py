"""The life of a run as a pure function: `step(state, event)` gives the next state and the commands to carry out.

No clock, no processes, no signals: each event carries the time it happened, so every history can be tested as a table.
Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import field, replace
from typing import Any, Literal

from ipexlaunch.quick_dataclass import dataclass

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
    stage: Stage
    code: int
    """Exit code in the shell's sense: 128 + signal for a signal."""
    message: str
    time: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """One worker, as the supervisor knows it."""

    index: int
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
    failed_loads: int = 0
    """Attempts in a row that ended before it was ready."""
    kill_at: float | None = None
    """When it alone is killed, where workers are fed: not ready in time, or not gone."""
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
    """Failures that a restart answered."""

    @property
    def stopping(self) -> bool:
        """Whether the workers have been asked to end."""
        return self.deadline is not None

    @property
    def alive(self) -> tuple[int, ...]:
        """Indices of the workers that have not exited."""
        return tuple(worker.index for worker in self.workers if worker.phase != "exited")


EventKind = Literal["phase", "ready", "counted", "finished", "exited", "signalled", "drained", "abandoned", "tick"]
"""phase: a worker that is not ready says what it is busy with; ready: it has loaded, warmed up, and waits for the
start; counted: it counted something; finished: it has counted its last item; exited: its process ended; signalled: the
launcher was asked to end; drained: no item is left for workers that are fed; abandoned: no more of them can be done;
tick: time passed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: EventKind
    time: float
    index: int = -1
    """The worker, for phase, ready, counted, finished and exited."""
    code: int = 0
    """exited: as the operating system reports it to Python, negative for a signal; signalled: the signal."""
    detail: str = ""
    """phase: its name; exited: what is known beyond the code, e.g. why it could not be started."""


CommandKind = Literal["start", "go", "release", "terminate", "kill", "done"]
"""start: start the process; go: start the measurement now; release: let a finished worker leave; terminate, kill: TERM
or KILL to the process groups; done: every worker has exited."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do."""

    kind: CommandKind
    indices: tuple[int, ...] = ()
    """The workers to do it to."""


def begin(count: int, limits: Limits, time: float) -> State:
    """The state of a run before its first tick, which starts the workers that are due."""
    workers = tuple(WorkerState(index=i, start_at=time + i * limits.stagger_s) for i in range(count))
    return State(workers=workers, limits=limits, started=time)


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """The next state, and what to do now; the first failure stops the rest unless the limits say otherwise."""
    if event.kind == "phase":
        return _busy(state, event.index, event.detail, event.time), ()
    if event.kind in ("ready", "finished", "exited"):
        state = _busy(state, event.index, "", event.time)
    if event.kind == "ready":
        return _start_together(_with_phase(state, event.index, "ready"), event.time)
    if event.kind == "counted":
        return _change(state, event.index, counted=event.time), ()
    if event.kind == "finished":
        return _with_phase(state, event.index, "finished"), (Command("release", (event.index,)),)
    if event.kind == "exited":
        return _exited(state, event)
    if event.kind == "signalled":
        return _signalled(state, event)
    if event.kind == "drained":
        return _drained(state, event.time)
    if event.kind == "abandoned":
        return _stop(state, event.time)
    return _tick(state, event.time)


def next_deadline(state: State) -> float | None:
    """When the next tick is due if nothing else happens; None where nothing is."""
    if state.stopping:
        return None if state.killed else state.deadline
    limits = state.limits
    times = [worker.start_at for worker in state.workers if worker.phase == "waiting"]
    if limits.timeout_s is not None:
        times.append(state.started + limits.timeout_s)
    if limits.ready_timeout_s is not None and state.go is None and not limits.fed:
        times += [time for worker in state.workers if (time := _ready_by(state, worker)) is not None]
    if limits.compile_timeout_s is not None:
        times += [time for worker in state.workers if (time := _compiled_by(state, worker)) is not None]
    if limits.stall_timeout_s is not None and not limits.fed:
        times += [worker.counted + limits.stall_timeout_s for worker in _counting(state) if worker.counted is not None]
    times += [worker.kill_at for worker in state.workers if worker.kill_at is not None]
    return min(times, default=None)


def exit_code(state: State) -> int:
    """The launcher's exit code as far as processes decide it: the first failure's, a signal's, or 0."""
    if state.failures:
        return state.failures[0].code
    return 0 if state.signal is None else SIGNAL_BASE + state.signal


def shell_code(code: int) -> int:
    """A process's return code as a shell would say it: 128 + signal for a signal."""
    return SIGNAL_BASE - code if code < 0 else code


def _change(state: State, index: int, **changes: Any) -> State:
    workers = tuple(replace(worker, **changes) if worker.index == index else worker for worker in state.workers)
    return replace(state, workers=workers)


def _with_phase(state: State, index: int, phase: Phase) -> State:
    """The worker in another phase; one that has exited stays so, whatever it still said."""
    worker = state.workers[index]
    if worker.phase == "exited":
        return state
    return _change(state, index, phase=phase, was_ready=worker.was_ready or phase == "ready")


def _busy(state: State, index: int, name: str, time: float) -> State:
    """The worker in another announced phase, or in none ("")."""
    worker = state.workers[index]
    if worker.busy_with == name or (name and worker.phase != "starting"):
        return state
    spent = time - worker.busy_since if worker.busy_with in COMPILATION else 0.0
    return _change(state, index, busy_with=name, busy_since=time, compiled_s=worker.compiled_s + spent)


def _ready_by(state: State, worker: WorkerState) -> float | None:
    """When the worker must be ready; None where that is not counted now."""
    limit = state.limits.ready_timeout_s
    if limit is None or worker.phase not in ("waiting", "starting") or worker.busy_with in COMPILATION:
        return None
    return state.started + limit + worker.compiled_s


def _compiled_by(state: State, worker: WorkerState) -> float | None:
    """When the worker must be done with its compilation; None where there is none."""
    limit = state.limits.compile_timeout_s
    if limit is None or worker.busy_with not in COMPILATION:
        return None
    return worker.busy_since + limit - (worker.compiled_s - worker.compiled_before_s)


def _counting(state: State) -> list[WorkerState]:
    return [worker for worker in state.workers if worker.phase == "running"]


def _start_together(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    """Give the start once no living worker is still loading; a worker that exited is not waited for.

    After the common start, a worker that was restarted need not wait for anybody.
    """
    waiting = tuple(worker.index for worker in state.workers if worker.phase == "ready")
    loading = (
        state.go is None
        and (not state.limits.fed or state.limits.fed_together)
        and any(worker.phase in ("waiting", "starting") for worker in state.workers)
    )
    if state.stopping or not waiting or loading:
        return state, ()
    for index in waiting:
        state = _change(_with_phase(state, index, "running"), index, counted=time, kill_at=None)
    return replace(state, go=time if state.go is None else state.go), (Command("go", waiting),)


def _exited(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    before, limits = state.workers[event.index], state.limits
    # A worker that still loads when nothing is left is asked to end, and has done nothing wrong.
    not_needed = state.drained and not before.was_ready
    code = 0 if not_needed else shell_code(event.code)
    state = _change(state, event.index, phase="exited", exit_code=code, kill_at=None)
    if code and not state.stopping:
        stage: Stage = "start" if event.detail else "run" if before.was_ready else "load"
        from ipexlaunch.exit_words import describe_exit  # not before somebody fails

        message = event.detail or describe_exit(event.code)
        failure = Failure(index=event.index, stage=stage, code=code, message=message, time=event.time)
        if state.drained:
            state = replace(state, recovered=(*state.recovered, failure))  # all that it had is done
        elif _may_restart(state, before, stage):
            doubled = before.restarts if not limits.fed else before.failed_loads if stage == "load" else 0
            wait = min(LONGEST_RESTART_WAIT_S, limits.first_restart_s * 2**doubled)
            state = _change(
                state, event.index, phase="waiting", exit_code=None, restarts=before.restarts + 1,
                failed_loads=before.failed_loads + 1 if stage == "load" else 0,
                start_at=event.time + wait, was_ready=False, counted=None, compiled_before_s=before.compiled_s,
            )  # fmt: skip
            return replace(state, recovered=(*state.recovered, failure)), ()
        else:
            state = replace(state, failures=(*state.failures, failure))
            if limits.on_failure != "continue" and not limits.fed:
                return _stop(state, event.time)
    if not state.alive:
        return state, (Command("done"),)
    return _start_together(state, event.time)


def _may_restart(state: State, worker: WorkerState, stage: Stage) -> bool:
    limits = state.limits
    if stage in NEVER_RESTARTED:
        return False
    if limits.fed:
        return stage == "run" or worker.failed_loads < limits.restarts
    return limits.on_failure == "restart" and worker.restarts < limits.restarts


def _drained(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    """Nothing is left to be done: who loads or waits to be started is not needed, the others leave by themselves."""
    limits = state.limits
    loading = tuple(worker.index for worker in state.workers if worker.phase == "starting")
    for worker in state.workers:
        if worker.phase == "waiting":
            state = _change(state, worker.index, phase="exited", exit_code=0)
        elif worker.index in loading:
            state = _change(state, worker.index, kill_at=time + limits.grace_s)
        elif worker.phase != "exited" and limits.stall_timeout_s is not None:
            state = _change(state, worker.index, kill_at=time + limits.stall_timeout_s)
    commands = (Command("terminate", loading),) if loading else ()
    return replace(state, drained=True), commands if state.alive else (Command("done"),)


def _signalled(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    if state.stopping:
        # Asked a second time: no more patience.
        first = (state.signal, state.signalled) if state.signal else (event.code, event.time)
        return replace(state, killed=True, signal=first[0], signalled=first[1]), (Command("kill", state.alive),)
    return _stop(replace(state, signal=event.code, signalled=event.time), event.time)


def _stop(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    """Ask everybody to end; who has not been started yet never will be."""
    for worker in state.workers:
        if worker.phase == "waiting":
            state = _change(state, worker.index, phase="exited", exit_code=SIGNAL_BASE + SIGTERM)
    state = replace(state, deadline=time + state.limits.grace_s)
    return state, (Command("terminate", state.alive) if state.alive else Command("done"),)


def _tick(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    if state.stopping:
        if state.killed or state.deadline is None or time < state.deadline:
            return state, ()
        return replace(state, killed=True), (Command("kill", state.alive),)
    late = _late(state, time)
    if late:
        failures = tuple(
            Failure(index=index, stage="limit", code=TIMED_OUT, message=message, time=time) for index, message in late
        )
        return _stop(replace(state, failures=(*state.failures, *failures)), time)
    due = tuple(worker.index for worker in state.workers if worker.phase == "waiting" and worker.start_at <= time)
    for index in due:
        state = _with_phase(state, index, "starting")
        if state.limits.fed and state.limits.ready_timeout_s is not None:
            state = _change(state, index, kill_at=time + state.limits.ready_timeout_s)
    overdue = tuple(worker.index for worker in state.workers if worker.kill_at is not None and worker.kill_at <= time)
    for index in overdue:
        state = _change(state, index, kill_at=None)
    commands = (Command("start", due), Command("kill", overdue))
    return state, tuple(command for command in commands if command.indices)


def _late(state: State, time: float) -> list[tuple[int, str]]:
    """(worker, what it did not do in time) for every limit that is over."""
    limits = state.limits
    if limits.timeout_s is not None and time >= state.started + limits.timeout_s:
        return [(index, f"did not end within {limits.timeout_s:g} s (--timeout)") for index in state.alive]
    late = [
        (worker.index, f"was still {worker.busy_with} after {limits.compile_timeout_s:g} s (--compile-timeout)")
        for worker in state.workers
        if (by := _compiled_by(state, worker)) is not None and time >= by
    ]
    if state.go is None and not limits.fed:
        late += [
            (worker.index, _not_ready(limits, worker))
            for worker in state.workers
            if (by := _ready_by(state, worker)) is not None and time >= by
        ]
    if late or limits.fed:  # one that is fed and late is killed alone
        return late
    if limits.stall_timeout_s is not None:
        message = f"counted nothing for {limits.stall_timeout_s:g} s (--stall-timeout)"
        return [
            (worker.index, message)
            for worker in _counting(state)
            if worker.counted is not None and time >= worker.counted + limits.stall_timeout_s
        ]
    return []


def _not_ready(limits: Limits, worker: WorkerState) -> str:
    beside = f", {worker.compiled_s:.0f} s of compilation not counted" if worker.compiled_s >= 0.5 else ""
    return f"was not ready within {limits.ready_timeout_s:g} s (--ready-timeout){beside}"
