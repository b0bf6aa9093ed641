"""The next state of a run after an event, the commands to carry out, and when a time limit is over."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.launch.lifecycle.servers import recycled, retired, server_exited
from ipexlaunch.launch.lifecycle.states import (
    COMPILATION,
    LONGEST_RESTART_WAIT_S,
    NEVER_RESTARTED,
    SIGNAL_BASE,
    SIGTERM,
    TIMED_OUT,
    Command,
    Event,
    Failure,
    Limits,
    Stage,
    State,
    WorkerState,
    change,
    failure_of,
    never_started,
    shell_code,
    with_phase,
)


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
        state = _in_time(with_phase(state, event.index, "ready"), event.index)
        return _start_together(state, event.time)
    if event.kind == "stuck":
        return change(state, event.index, killed_for=f"{event.detail} and was killed"), ()
    if event.kind == "asked":
        return _in_time(state, event.index), ()
    if event.kind == "counted":
        return change(state, event.index, counted=event.time), ()
    if event.kind == "finished":
        return with_phase(state, event.index, "finished"), (Command("release", (event.index,)),)
    if event.kind == "exited":
        return _exited(state, event)
    if event.kind == "signalled":
        return _signalled(state, event)
    if event.kind == "recycled":
        return recycled(state, event.index, event.time)
    if event.kind == "retired":
        return retired(state, event.index, event.time)
    if event.kind == "drained":
        return _drained(state, event.time)
    if event.kind == "abandoned":
        return _stop(state, event.time)
    if event.kind == "released":
        state, commands = _start_together(replace(state, released=True), event.time)
        # Where nobody is ready any more the start is given all the same: the others count on it.
        return state if state.stopping or state.go is not None else replace(state, go=event.time), commands
    if event.kind == "lost":
        return (state, ()) if state.stopping else _stop(replace(state, lost=event.detail), event.time)
    return _tick(state, event.time)


def _busy(state: State, index: int, name: str, time: float) -> State:
    """The worker in another announced phase, or in none ("")."""
    worker = state.workers[index]
    if worker.busy_with == name or (name and worker.phase != "starting"):
        return state
    spent = time - worker.busy_since if worker.busy_with in COMPILATION else 0.0
    return change(state, index, busy_with=name, busy_since=time, compiled_s=worker.compiled_s + spent)


def _in_time(state: State, index: int) -> State:
    """The worker did what it has a time limit of its own for; one that was asked to end still has to."""
    return state if state.drained or state.workers[index].ending else change(state, index, kill_at=None)


def _start_together(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    """Give the start once no living worker is still loading; a worker that exited is not waited for.

    After the common start, a worker that was restarted need not wait for anybody.
    """
    waiting = tuple(worker.index for worker in state.workers if worker.phase == "ready")
    loading = (
        state.go is None
        and not state.released
        and (not state.limits.each_alone or state.limits.fed_together)
        and any(worker.phase in ("waiting", "starting") for worker in state.workers)
    )
    if state.stopping or not waiting or loading:
        return state, ()
    if state.limits.across_hosts and not state.released:
        return replace(state, ready_told=True), () if state.ready_told else (Command("ready"),)
    for index in waiting:
        state = _in_time(change(with_phase(state, index, "running"), index, counted=time), index)
        if state.limits.fed and state.limits.stall_timeout_s is not None and not state.drained:
            # Until it asks, it has no batch that it could have for too long.
            state = change(state, index, kill_at=time + state.limits.stall_timeout_s)
    return replace(state, go=time if state.go is None else state.go), (Command("go", waiting),)


def _exited(state: State, event: Event) -> tuple[State, tuple[Command, ...]]:
    before, limits = state.workers[event.index], state.limits
    if limits.serving and not state.stopping:
        state, gives_up = server_exited(state, event)
        over = (Command("done"),) if state.drained and not state.alive else ()
        return _stop(state, event.time) if gives_up else (state, over)
    # A worker that still loads when nothing is left is asked to end, and has done nothing wrong.
    not_needed = state.drained and (before.not_needed or not before.was_ready)
    code = 0 if not_needed else shell_code(event.code)
    state = change(state, event.index, phase="exited", exit_code=code, kill_at=None)
    # A program that is given its items ends when it learns that there are no more, not before.
    if (code or (limits.fed and not state.drained)) and not state.stopping:
        failure = failure_of(before, event)
        if state.drained:
            state = replace(state, recovered=(*state.recovered, failure))  # all that it had is done
        elif _may_restart(state, before, failure.stage):
            doubled = before.restarts if not limits.fed else before.failed_loads if failure.stage == "load" else 0
            wait = min(LONGEST_RESTART_WAIT_S, limits.first_restart_s * 2**doubled)
            state = change(
                state, event.index, phase="waiting", exit_code=None, restarts=before.restarts + 1,
                failed_loads=before.failed_loads + 1 if failure.stage == "load" else 0,
                start_at=event.time + wait, was_ready=False, counted=None, compiled_before_s=before.compiled_s,
                killed_for="",
            )  # fmt: skip
            return replace(state, recovered=(*state.recovered, failure)), ()
        elif code:
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


def _why_overdue(state: State, worker: WorkerState) -> str:
    limits = state.limits
    if worker.ending:
        return f"did not end within {limits.grace_s:g} s (--grace) and was killed"
    if not state.drained and worker.phase == "running":
        return f"was ready and asked for nothing for {limits.stall_timeout_s:g} s (--stall-timeout) and was killed"
    if not state.drained:
        return f"was not ready within {limits.ready_timeout_s:g} s (--ready-timeout) and was killed"
    return f"did not end within {limits.stall_timeout_s:g} s after the last item (--stall-timeout) and was killed"


def _drained(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    """Nothing is left to be done: who loads or waits to be started is not needed, the others leave by themselves."""
    limits = state.limits
    loading = tuple(worker.index for worker in state.workers if worker.phase == "starting")
    for worker in state.workers:
        if worker.phase == "waiting":
            state = never_started(state, worker, 0)
        elif worker.index in loading:
            state = change(state, worker.index, kill_at=time + limits.grace_s, not_needed=True)
        elif worker.phase != "exited" and limits.stall_timeout_s is not None:
            state = change(state, worker.index, kill_at=time + limits.stall_timeout_s)
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
            codes = [failure.code for failure in state.recovered if failure.index == worker.index]
            state = never_started(state, worker, codes[-1] if codes else SIGNAL_BASE + SIGTERM)
    state = replace(state, deadline=time + state.limits.grace_s)
    return state, (Command("terminate", state.alive) if state.alive else Command("done"),)


def _tick(state: State, time: float) -> tuple[State, tuple[Command, ...]]:
    if state.stopping:
        if state.killed or state.deadline is None or time < state.deadline:
            return state, ()
        return replace(state, killed=True), (Command("kill", state.alive),)
    over = _late(state, time)
    if over:
        failures = tuple(
            Failure(index=index, stage="limit", code=TIMED_OUT, message=message, time=time) for index, message in over
        )
        return _stop(replace(state, failures=(*state.failures, *failures)), time)
    if _measured_enough(state, time):
        return _stop(state, time)
    due = tuple(worker.index for worker in state.workers if worker.phase == "waiting" and worker.start_at <= time)
    for index in due:
        state = with_phase(state, index, "starting")
        if state.limits.each_alone and state.limits.ready_timeout_s is not None:
            state = change(state, index, kill_at=time + state.limits.ready_timeout_s)
    overdue = tuple(worker.index for worker in state.workers if worker.kill_at is not None and worker.kill_at <= time)
    for index in overdue:
        state = change(state, index, kill_at=None, killed_for=_why_overdue(state, state.workers[index]))
    commands = (Command("start", due), Command("kill", overdue))
    return state, tuple(command for command in commands if command.indices)


def next_deadline(state: State) -> float | None:
    """When the next tick is due if nothing else happens; None where nothing is."""
    if state.stopping:
        return None if state.killed else state.deadline
    limits = state.limits
    times = [worker.start_at for worker in state.workers if worker.phase == "waiting"]
    if limits.timeout_s is not None:
        times.append(state.started + limits.timeout_s)
    if limits.ready_timeout_s is not None and state.go is None and not limits.each_alone:
        times += [time for worker in state.workers if (time := _ready_by(state, worker)) is not None]
    if limits.compile_timeout_s is not None:
        times += [time for worker in state.workers if (time := _compiled_by(state, worker)) is not None]
    if limits.stall_timeout_s is not None and not limits.each_alone:
        times += [worker.counted + limits.stall_timeout_s for worker in _counting(state) if worker.counted is not None]
    if limits.measured_s is not None and state.go is not None:
        times.append(state.go + limits.measured_s)
    times += [worker.kill_at for worker in state.workers if worker.kill_at is not None]
    return min(times, default=None)


def _measured_enough(state: State, time: float) -> bool:
    """Whether the workers of a trial need not go on."""
    limit = state.limits.measured_s
    return limit is not None and state.go is not None and time >= state.go + limit


def _late(state: State, time: float) -> list[tuple[int, str]]:
    """(worker, what it did not do in time) for every limit that is over."""
    limits = state.limits
    if limits.timeout_s is not None and time >= state.started + limits.timeout_s:
        return [(index, f"did not end within {limits.timeout_s:g} s (--timeout)") for index in state.alive]
    over = [
        (worker.index, f"was still {worker.busy_with} after {limits.compile_timeout_s:g} s (--compile-timeout)")
        for worker in state.workers
        if (by := _compiled_by(state, worker)) is not None and time >= by
    ]
    if state.go is None and not limits.each_alone:
        over += [
            (worker.index, _not_ready(limits, worker))
            for worker in state.workers
            if (by := _ready_by(state, worker)) is not None and time >= by
        ]
    if over or limits.each_alone:
        return over
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
