"""The life of a run as a pure function: `step(state, event)` gives the next state and the commands to carry out.

No clock, no processes, no signals: each event carries the time it happened, so every history can be tested as a table.
Times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

Phase = Literal["starting", "ready", "running", "finished", "exited"]
"""starting: loads, warms up, or never says a word; ready: waits for the start; running: counts; finished: said so."""

Stage = Literal["start", "load", "run", "limit"]

TIMED_OUT = 124
"""Exit code of a run that hit a time limit, as timeout(1) has it."""

SIGNAL_BASE = 128
"""Exit code of what a signal ended is 128 + its number, as a shell has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits in seconds; None means no limit."""

    grace_s: float = 10.0
    """Between TERM and KILL."""
    ready_timeout_s: float | None = None
    """From the start until every worker that speaks the protocol is ready."""
    timeout_s: float | None = None
    """From the start of the run to its end."""
    on_failure: Literal["stop", "continue"] = "stop"


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
    phase: Phase = "starting"
    was_ready: bool = False
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
    signal: int | None = None
    """The first signal that asked the launcher to end."""
    failures: tuple[Failure, ...] = field(default=())

    @property
    def stopping(self) -> bool:
        """Whether the workers have been asked to end."""
        return self.deadline is not None

    @property
    def alive(self) -> tuple[int, ...]:
        """Indices of the workers that have not exited."""
        return tuple(worker.index for worker in self.workers if worker.phase != "exited")


EventKind = Literal["ready", "finished", "exited", "signalled", "tick"]
"""ready: a worker has loaded, warmed up, and waits for the start; finished: it has counted its last item; exited: its
process ended; signalled: the launcher was asked to end; tick: time passed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: EventKind
    time: float
    index: int = -1
    """The worker, for ready, finished and exited."""
    code: int = 0
    """exited: as the operating system reports it to Python, negative for a signal; signalled: the signal."""
    detail: str = ""
    """exited: what is known beyond the code, e.g. why it could not be started."""


CommandKind = Literal["go", "release", "terminate", "kill", "done"]
"""go: start the measurement now; release: let a finished worker leave; terminate, kill: TERM or KILL to the process
groups; done: every worker has exited."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do."""

    kind: CommandKind
    indices: tuple[int, ...] = ()
    """The workers to do it to."""


def begin(count: int, limits: Limits, time: float) -> State:
    """The state of a run whose workers have just been started."""
    return State(workers=tuple(WorkerState(index=i) for i in range(count)), limits=limits, started=time)


def step(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    """The next state, and what to do now; the first failure stops the rest unless the limits say otherwise."""
    if event.kind == "ready":
        return _start_together(_with_phase(state, event.index, "ready"), event.time)
    if event.kind == "finished":
        return _with_phase(state, event.index, "finished"), (Command("release", (event.index,)),)
    if event.kind == "exited":
        return _exited(state, event)
    if event.kind == "signalled":
        return _signalled(state, event)
    return _tick(state, event.time)


def next_deadline(state: State) -> float | None:
    """When the next Tick is due if nothing else happens; None where nothing is."""
    if state.stopping:
        return None if state.killed else state.deadline
    times = []
    if state.limits.timeout_s is not None:
        times.append(state.started + state.limits.timeout_s)
    if state.limits.ready_timeout_s is not None and state.go is None:
        times.append(state.started + state.limits.ready_timeout_s)
    return min(times, default=None)


def exit_code(state: State) -> int:
    """The launcher's exit code as far as processes decide it: the first failure's, a signal's, or 0."""
    if state.failures:
        return state.failures[0].code
    return 0 if state.signal is None else SIGNAL_BASE + state.signal


def shell_code(code: int) -> int:
    """A process's return code as a shell would say it: 128 + signal for a signal."""
    return SIGNAL_BASE - code if code < 0 else code


def _with_phase(state: State, index: int, phase: Phase) -> State:
    workers = tuple(
        replace(worker, phase=phase, was_ready=worker.was_ready or phase == "ready")
        if worker.index == index and worker.phase != "exited"
        else worker
        for worker in state.workers
    )
    return replace(state, workers=workers)


def _start_together(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    """Give the start once no living worker is still loading; a worker that exited is not waited for."""
    waiting = tuple(worker.index for worker in state.workers if worker.phase == "ready")
    if state.stopping or not waiting or any(worker.phase == "starting" for worker in state.workers):
        return state, ()
    for index in waiting:
        state = _with_phase(state, index, "running")
    return replace(state, go=time if state.go is None else state.go), (Command("go", waiting),)


def _exited(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    before = state.workers[event.index]
    code = shell_code(event.code)
    state = replace(
        state,
        workers=tuple(
            replace(worker, phase="exited", exit_code=code) if worker.index == event.index else worker
            for worker in state.workers
        ),
    )
    commands: tuple[Command, ...] = ()
    if code and not state.stopping:
        stage: Stage = "start" if event.detail else "run" if before.was_ready else "load"
        message = event.detail or describe_exit(event.code)
        failure = Failure(index=event.index, stage=stage, code=code, message=message, time=event.time)
        state = replace(state, failures=(*state.failures, failure))
        if state.limits.on_failure == "stop" and state.alive:
            state, commands = _stop(state, event.time)
    if not state.alive:
        return state, (*commands, Command("done"))
    state, more = _start_together(state, event.time)
    return state, (*commands, *more)


def _signalled(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    if state.stopping:
        # Asked a second time: no more patience.
        return replace(state, killed=True, signal=state.signal or event.code), (Command("kill", state.alive),)
    return _stop(replace(state, signal=event.code), event.time)


def _stop(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    return replace(state, deadline=time + state.limits.grace_s), (Command("terminate", state.alive),)


def _tick(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    if state.stopping:
        if state.killed or state.deadline is None or time < state.deadline:
            return state, ()
        return replace(state, killed=True), (Command("kill", state.alive),)
    late: list[tuple[int, str]] = []
    limits = state.limits
    if limits.timeout_s is not None and time >= state.started + limits.timeout_s:
        late = [(index, f"did not end within {limits.timeout_s:g} s (--timeout)") for index in state.alive]
    elif limits.ready_timeout_s is not None and state.go is None and time >= state.started + limits.ready_timeout_s:
        late = [
            (worker.index, f"was not ready within {limits.ready_timeout_s:g} s (--ready-timeout)")
            for worker in state.workers
            if worker.phase == "starting"
        ]
    if not late:
        return state, ()
    failures = tuple(
        Failure(index=index, stage="limit", code=TIMED_OUT, message=message, time=time) for index, message in late
    )
    return _stop(replace(state, failures=(*state.failures, *failures)), time)


SIGNAL_NAMES = {
    1: "HUP",
    2: "INT",
    3: "QUIT",
    4: "ILL",
    6: "ABRT",
    7: "BUS",
    8: "FPE",
    9: "KILL",
    11: "SEGV",
    15: "TERM",
}
"""signal(7), the numbers that are the same on x86 and ARM."""

SIGNAL_MEANINGS = {
    4: "the program uses an instruction that this cpu does not have",
    9: "if nobody killed it by hand, the kernel did: out of memory (see dmesg)",
}


def describe_exit(code: int) -> str:
    """A process's return code in words, e.g. "ended with exit code 5" or "was killed by SIGKILL (...)"."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = SIGNAL_NAMES.get(-code)
    text = f"was killed by {f'SIG{name}' if name else f'signal {-code}'}"
    return f"{text} ({SIGNAL_MEANINGS[-code]})" if -code in SIGNAL_MEANINGS else text
