"""What becomes of one server of a run that serves: restarted with growing waits, recycled, or retired."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.launch.lifecycle.states import (
    LONGEST_RESTART_WAIT_S,
    NEVER_RESTARTED,
    Command,
    Event,
    State,
    change,
    failure_of,
)

STEADY_S = 5.0
"""A server that was ready for so long is restarted without delay; one that ends sooner, again and again, is not."""


def server_exited(state: State, event: Event) -> tuple[State, bool]:
    """The state after a server's end, and whether the run must end: it was never ready, and has been tried enough.

    A server that was ready once is restarted for as long as the run lasts, whatever it ended with; while all are
    drained, none is.

    Args:
        state: before it, of a run that is not stopping.
        event: of kind "exited".
    """
    before, limits = state.workers[event.index], state.limits
    fresh = {
        "kill_at": None, "was_ready": False, "counted": None, "compiled_before_s": before.compiled_s, "killed_for": "",
        "ending": "",
    }  # fmt: skip
    not_needed = state.drained and (before.ending or before.not_needed)
    if before.ending == "away" or not_needed:
        return change(state, event.index, **fresh, phase="exited", exit_code=0, failed_loads=0), False
    if before.ending == "again":
        return change(state, event.index, **fresh, phase="waiting", start_at=event.time, failed_loads=0), False
    failure = failure_of(before, event)
    if state.drained:
        state = change(state, event.index, **fresh, phase="exited", exit_code=failure.code)
        return replace(state, recovered=(*state.recovered, failure)), False
    is_steady = before.counted is not None and event.time - before.counted >= STEADY_S
    tried = 0 if is_steady else before.failed_loads
    if not before.served and (failure.stage in NEVER_RESTARTED or tried >= limits.restarts):
        state = change(state, event.index, **fresh, phase="exited", exit_code=failure.code)
        return replace(state, failures=(*state.failures, failure)), True
    wait = min(LONGEST_RESTART_WAIT_S, limits.first_restart_s * 2.0 ** min(tried, 30))
    state = change(
        state, event.index, **fresh, phase="waiting", exit_code=None, restarts=before.restarts + 1,
        failed_loads=0 if is_steady else tried + 1, start_at=event.time + wait,
    )  # fmt: skip
    return replace(state, recovered=(*state.recovered, failure)), False


def recycled(state: State, index: int, time: float) -> tuple[State, tuple[Command, ...]]:
    """The state in which a server ends and is started again at once, or is started now where there is none.

    Args:
        state: before it.
        index: the server.
        time: now.
    """
    worker = state.workers[index]
    if state.stopping or worker.ending == "again":
        return state, ()
    if worker.phase in ("waiting", "exited"):
        return change(state, index, phase="waiting", exit_code=None, start_at=time, failed_loads=0), ()
    return _asked_to_end(change(state, index, ending="again"), index, time)


def retired(state: State, index: int, time: float) -> tuple[State, tuple[Command, ...]]:
    """The state in which a server ends, and is not started again before it is recycled.

    Args:
        state: before it.
        index: the server.
        time: now.
    """
    worker = state.workers[index]
    if state.stopping or worker.phase == "exited":
        return state, ()
    if worker.phase == "waiting":
        return change(state, index, phase="exited", exit_code=0), ()
    return _asked_to_end(change(state, index, ending="away"), index, time)


def _asked_to_end(state: State, index: int, time: float) -> tuple[State, tuple[Command, ...]]:
    return change(state, index, kill_at=time + state.limits.grace_s), (Command("terminate", (index,)),)
