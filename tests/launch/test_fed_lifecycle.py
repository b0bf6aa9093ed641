"""The life of a run whose workers take items from a queue: a death is no failure as long as others can go on."""

from __future__ import annotations

from ipexlaunch.launch.lifecycle import Command, Event, Limits, State, begin, exit_code, next_deadline, step
from tests.launch.played_lifecycle import played

FED = Limits(fed=True, restarts=2, first_restart_s=0.5, grace_s=5.0, stall_timeout_s=60.0)


def play(events: list[Event], count: int = 2, limits: Limits = FED) -> tuple[State, list[tuple[Command, ...]]]:
    """As `played` has it, of these limits."""
    return played(events, count, limits)


def test_a_worker_that_is_ready_waits_for_nobody() -> None:
    state, commands = play([Event("ready", 1.0, 0), Event("ready", 9.0, 1)])
    assert commands == [(Command("go", (0,)),), (Command("go", (1,)),)]
    assert state.go == 1.0


def test_one_that_was_ready_and_asks_for_nothing_is_killed_as_one_that_keeps_a_batch() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("ready", 2.0, 1), Event("asked", 3.0, 0)])
    assert next_deadline(state) == 62.0
    state, now = step(state, Event("tick", 62.0))
    assert now == (Command("kill", (1,)),)
    state, _ = step(state, Event("exited", 62.1, 1, -9))
    assert state.recovered[0].message == ("was ready and asked for nothing for 60 s (--stall-timeout) and was killed")


def test_one_that_was_ready_is_restarted_however_often_it_dies() -> None:
    state, time = begin(1, FED, 0.0), 0.0
    for _ in range(20):
        for event in (Event("tick", time), Event("ready", time + 1, 0), Event("exited", time + 2, 0, -9)):
            state, _ = step(state, event)
        assert state.workers[0].phase == "waiting"
        assert state.workers[0].start_at == time + 2.5
        time += 2.5
    assert state.failures == ()
    assert exit_code(state) == 0


def test_one_that_cannot_load_is_given_up_and_the_others_go_on() -> None:
    deaths = [Event("exited", 1.0, 0, 5), Event("tick", 1.5), Event("exited", 2.0, 0, 5), Event("tick", 3.0)]
    state, commands = play([*deaths, Event("exited", 4.0, 0, 5), Event("ready", 5.0, 1)])
    assert [failure.code for failure in state.failures] == [5]
    assert not state.stopping
    assert commands[-1] == (Command("go", (1,)),)
    assert exit_code(state) == 5


def test_a_program_that_cannot_be_started_is_not_tried_again() -> None:
    state, commands = play([Event("exited", 0.0, 0, 127, "not found"), Event("exited", 0.0, 1, 127, "not found")])
    assert commands[-1] == (Command("done"),)
    assert len(state.failures) == 2


def test_when_nothing_is_left_who_loads_or_waits_is_not_needed() -> None:
    state, commands = play(
        [Event("ready", 1.0, 0), Event("ready", 1.0, 2), Event("exited", 2.0, 2, -9), Event("drained", 2.1)], count=3
    )
    assert commands[-1] == (Command("terminate", (1,)),)
    assert [worker.phase for worker in state.workers] == ["running", "starting", "exited"]
    state, _ = step(state, Event("exited", 2.2, 1, -15))
    state, now = step(state, Event("finished", 2.3, 0))
    assert now == (Command("release", (0,)),)
    state, now = step(state, Event("exited", 2.4, 0, 0))
    assert now == (Command("done"),)
    assert exit_code(state) == 0


def test_who_does_not_leave_is_killed() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("drained", 2.0)])
    assert next_deadline(state) == 7.0
    state, now = step(state, Event("tick", 7.0))
    assert now == (Command("kill", (1,)),)
    state, now = step(state, Event("tick", 62.0))
    assert now == (Command("kill", (0,)),)
    state, _ = step(state, Event("exited", 62.1, 1, -9))
    state, now = step(state, Event("exited", 62.1, 0, -9))
    assert now == (Command("done"),)
    assert state.failures == ()
    assert [failure.index for failure in state.recovered] == [0]


def test_one_that_is_not_ready_in_time_is_killed_alone_and_tried_again() -> None:
    limits = Limits(fed=True, restarts=2, first_restart_s=0.5, ready_timeout_s=10.0)
    state, commands = play([Event("ready", 1.0, 0), Event("tick", 10.0)], limits=limits)
    assert commands[-1] == (Command("kill", (1,)),)
    state, _ = step(state, Event("exited", 10.1, 1, -9))
    assert state.workers[1].phase == "waiting"
    assert state.workers[0].phase == "running"
    assert not state.stopping


def test_when_no_more_can_be_done_everybody_is_asked_to_end() -> None:
    state, commands = play([Event("ready", 1.0, 0), Event("abandoned", 2.0)])
    assert commands[-1] == (Command("terminate", (0, 1)),)
    assert state.failures == ()
    _, now = step(state, Event("tick", 7.0))
    assert now == (Command("kill", (0, 1)),)


def test_those_that_are_measured_begin_together_and_who_cannot_load_is_not_waited_for() -> None:
    limits = Limits(fed=True, fed_together=True, restarts=0)
    state, _ = step(begin(2, limits, 0.0), Event("tick", 0.0))
    state, commands = step(state, Event("ready", 1.0, 0))
    assert commands == ()
    _, commands = step(state, Event("ready", 3.0, 1))
    assert commands == (Command("go", (0, 1)),)
    _, commands = step(state, Event("exited", 3.0, 1, 1))
    assert commands == (Command("go", (0,)),)


def test_one_that_ends_well_while_items_are_left_is_started_again() -> None:
    state, _ = play([Event("ready", 1.0, 0), Event("exited", 2.0, 0, 0)], count=1)
    assert state.workers[0].phase == "waiting"
    assert state.failures == ()
    state, _ = play([Event("ready", 1.0, 0), Event("drained", 2.0), Event("exited", 2.1, 0, 0)], count=1)
    assert (state.workers[0].phase, state.recovered) == ("exited", ())


def test_one_that_ends_well_before_it_is_ready_is_not_tried_for_ever() -> None:
    state, time = begin(1, FED, 0.0), 0.0
    for _ in range(3):
        for event in (Event("tick", time), Event("exited", time + 0.1, 0, 0)):
            state, now = step(state, event)
        time += 60.0
    assert now == (Command("done"),)
    assert (state.workers[0].phase, state.failures) == ("exited", ())
