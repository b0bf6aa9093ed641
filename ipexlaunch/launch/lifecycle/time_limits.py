"""When a time limit of a run or of one of its workers is over."""

from __future__ import annotations

from ipexlaunch.launch.lifecycle.states import COMPILATION, Limits, State, WorkerState


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


def measured_enough(state: State, time: float) -> bool:
    """Whether the workers of a trial need not go on."""
    limit = state.limits.measured_s
    return limit is not None and state.go is not None and time >= state.go + limit


def late(state: State, time: float) -> list[tuple[int, str]]:
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
