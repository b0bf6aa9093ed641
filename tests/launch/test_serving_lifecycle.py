"""The life of a run of servers: none waits for the others, and each is restarted for as long as the run lasts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.lifecycle import Command, Event, Limits, State, begin, exit_code, next_deadline, step
from tests.launch.played_lifecycle import played

SERVING = Limits(serving=True, restarts=2, first_restart_s=0.5, grace_s=5.0)


def play(events: list[Event], count: int = 2, limits: Limits = SERVING) -> tuple[State, list[tuple[Command, ...]]]:
    """As `played` has it, of these limits."""
    return played(events, count, limits)


def test_a_server_that_is_ready_waits_for_nobody() -> None:
    state, commands = play([Event("ready", 1.0, 0)])
    assert commands == [(Command("go", (0,)),)]
    assert [worker.phase for worker in state.workers] == ["running", "starting"]


def test_one_that_ends_after_it_has_served_is_restarted_at_once_and_the_others_go_on() -> None:
    state, commands = play([Event("ready", 1.0, 0), Event("ready", 1.0, 1), Event("exited", 60.0, 0, -9)])
    assert commands[-1] == ()
    assert (state.workers[0].phase, state.workers[0].start_at, state.workers[0].restarts) == ("waiting", 60.5, 1)
    assert state.workers[1].phase == "running"
    assert (state.failures, len(state.recovered), exit_code(state)) == ((), 1, 0)


def test_one_that_ends_with_0_is_restarted_too() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("exited", 60.0, 0, 0)])
    assert state.workers[0].phase == "waiting"


def test_one_that_ends_again_and_again_soon_after_it_was_ready_is_restarted_later_and_later() -> None:
    state, time, waits = begin(1, SERVING, 0.0), 0.0, []
    for _ in range(10):
        for event in (Event("tick", time), Event("ready", time + 1, 0), Event("exited", time + 2, 0, 1)):
            state, _ = step(state, event)
        waits.append(state.workers[0].start_at - time - 2)
        time = state.workers[0].start_at
    assert waits[:8] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert waits[-1] == 60.0
    assert (state.failures, state.stopping) == ((), False)


def test_one_that_was_never_ready_ends_the_run_with_its_code_after_so_many_attempts() -> None:
    events = [Event("ready", 1.0, 1)]
    for time in (2.0, 3.0, 5.0):
        events += [Event("exited", time, 0, 7), Event("tick", time + 3)]
    state, commands = play(events)
    assert [failure.code for failure in state.failures] == [7]
    assert state.stopping
    assert Command("terminate", (1,)) in commands[-2]


def test_a_program_that_is_not_there_ends_the_run_at_once_but_not_while_others_have_served() -> None:
    state, _ = play([Event("exited", 0.1, 0, 127, "could not be started")])
    assert state.stopping
    gone = [Event("ready", 1.0, 0), Event("exited", 60.0, 0, 1), Event("tick", 60.5)]
    state, _ = play([*gone, Event("exited", 60.5, 0, 127, "could not be started")])
    assert not state.stopping
    assert state.workers[0].phase == "waiting"


def test_one_that_is_not_ready_in_time_is_killed_alone() -> None:
    limits = Limits(serving=True, restarts=2, first_restart_s=0.5, ready_timeout_s=10.0)
    state, _ = play([Event("ready", 1.0, 1)], limits=limits)
    assert next_deadline(state) == 10.0
    state, commands = step(state, Event("tick", 10.0))
    assert commands == (Command("kill", (0,)),)
    state, _ = step(state, Event("exited", 10.1, 0, -9))
    assert state.recovered[0].message == "was not ready within 10 s (--ready-timeout) and was killed"
    assert state.workers[0].phase == "waiting"


def test_a_recycled_server_ends_and_is_started_again_without_a_failure() -> None:
    state, commands = play([Event("ready", 1.0, 0), Event("recycled", 9.0, 0)])
    assert commands[-1] == (Command("terminate", (0,)),)
    assert next_deadline(state) == 14.0
    state, _ = step(state, Event("exited", 9.5, 0, -15))
    assert (state.workers[0].phase, state.workers[0].start_at, state.workers[0].restarts) == ("waiting", 9.5, 0)
    assert (state.failures, state.recovered) == ((), ())


def test_a_recycled_server_that_does_not_end_is_killed_even_if_it_says_that_it_is_ready() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("recycled", 9.0, 0), Event("ready", 10.0, 0)])
    state, commands = step(state, Event("tick", 14.0))
    assert commands == (Command("kill", (0,)),)
    state, _ = step(state, Event("exited", 14.1, 0, -9))
    assert state.recovered == ()
    assert state.workers[0].phase == "waiting"


def test_a_retired_server_stays_away_until_it_is_recycled_and_the_run_goes_on_without() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("retired", 9.0, 0), Event("exited", 9.5, 0, -15)], count=1)
    assert (state.workers[0].phase, state.workers[0].exit_code, state.stopping) == ("exited", 0, False)
    assert next_deadline(state) is None
    state, _ = step(state, Event("recycled", 20.0, 0))
    state, commands = step(state, Event("tick", 20.0))
    assert commands == (Command("start", (0,)),)


def test_a_retired_server_that_waits_to_be_restarted_is_not_started() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("exited", 9.0, 0, 1), Event("retired", 9.1, 0)])
    state, commands = step(state, Event("tick", 60.0))
    assert commands == ()
    assert state.workers[0].phase == "exited"


def test_while_all_are_drained_none_is_restarted_and_the_last_end_ends_the_run() -> None:
    state, commands = play([Event("ready", 1.0, 0), Event("ready", 1.0, 1), Event("drained", 9.0)])
    assert commands[-1] == ()
    state, commands = play([*READY_TWO, Event("drained", 9.0), Event("exited", 9.5, 0, -9)])
    assert (state.workers[0].phase, state.workers[0].restarts, len(state.recovered)) == ("exited", 0, 1)
    assert not state.stopping
    state, last = step(state, Event("exited", 9.9, 1, 1))
    assert last == (Command("done"),)
    assert (exit_code(state), state.failures) == (0, ())


def test_one_that_still_loads_or_waits_or_is_recycled_is_not_needed_for_a_drain() -> None:
    state, commands = play([Event("ready", 1.0, 0), Event("drained", 2.0)])
    assert commands[-1] == (Command("terminate", (1,)),)
    state, _ = step(state, Event("exited", 2.1, 1, -15))
    assert (state.workers[1].exit_code, state.recovered) == (0, ())
    state, _ = play([*READY_TWO, Event("exited", 3.0, 0, 1), Event("drained", 3.1)])
    assert (state.workers[0].phase, state.workers[0].restarts) == ("exited", 0)
    state, _ = play([*READY_TWO, Event("recycled", 3.0, 0), Event("drained", 3.1), Event("exited", 3.2, 0, -15)])
    assert (state.workers[0].phase, state.workers[0].exit_code, state.recovered) == ("exited", 0, ())
    assert step(state, Event("tick", 60.0))[1] == ()


READY_TWO = [Event("ready", 1.0, 0), Event("ready", 1.0, 1)]

KINDS = st.sampled_from(["tick", "ready", "exited", "recycled", "retired"])


@given(st.lists(st.tuples(KINDS, st.integers(0, 2), st.floats(0.01, 30.0)), max_size=60), st.booleans())
def test_whatever_happens_nobody_is_lost_and_the_end_ends_all(
    history: list[tuple[str, int, float]], drains: bool
) -> None:
    state, time = begin(3, SERVING, 0.0), 0.0
    for kind, index, passed in history:
        time += passed
        phase = state.workers[index].phase
        if kind == "exited" and phase in ("waiting", "exited"):
            continue
        if kind == "ready" and phase != "starting":
            continue
        state, _ = step(state, Event(kind, time, index, 1))  # type: ignore[arg-type]  # one of the kinds above
        for worker in state.workers:
            if not state.stopping and worker.phase == "exited":
                assert worker.exit_code == 0  # it was retired
    if drains:
        state, commands = step(state, Event("drained", time))
    state, commands = step(state, Event("abandoned", time))
    assert state.stopping
    for index in state.alive:
        state, commands = step(state, Event("exited", time + 1, index, -15))
    assert commands in ((Command("done"),), ()) or history == []
    assert state.alive == ()
