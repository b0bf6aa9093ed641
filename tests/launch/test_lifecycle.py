"""The life of a run as tables of events: what is done after each, and how it ends."""

import pytest

from ipexlaunch.launch.lifecycle import Command, Event, Limits, State, begin, exit_code, next_deadline, step
from ipexlaunch.launch.process_failures import describe_exit


def ready(index: int, time: float) -> Event:
    return Event("ready", time, index)


def finished(index: int, time: float) -> Event:
    return Event("finished", time, index)


def exited(index: int, code: int, time: float, detail: str = "") -> Event:
    return Event("exited", time, index, code, detail)


def phase(index: int, name: str, time: float) -> Event:
    return Event("phase", time, index, detail=name)


def signalled(number: int, time: float) -> Event:
    return Event("signalled", time, code=number)


def tick(time: float) -> Event:
    return Event("tick", time)


def counted(index: int, time: float) -> Event:
    return Event("counted", time, index)


def start(indices: tuple[int, ...]) -> Command:
    return Command("start", indices)


def go(indices: tuple[int, ...]) -> Command:
    return Command("go", indices)


def release(index: int) -> Command:
    return Command("release", (index,))


def terminate(indices: tuple[int, ...]) -> Command:
    return Command("terminate", indices)


def kill(indices: tuple[int, ...]) -> Command:
    return Command("kill", indices)


def done() -> Command:
    return Command("done")


History = list[tuple[Event, list[Command]]]

HISTORIES: dict[str, tuple[Limits, History, int]] = {
    "all are ready, start together, finish and leave": (
        Limits(),
        [
            (ready(0, 1.0), []),
            (ready(1, 3.0), [go((0, 1))]),
            (finished(1, 5.0), [release(1)]),
            (exited(1, 0, 5.1), []),
            (finished(0, 6.0), [release(0)]),
            (exited(0, 0, 6.1), [done()]),
        ],
        0,
    ),
    "programs that never say a word just end": (
        Limits(),
        [(exited(0, 0, 1.0), []), (exited(1, 0, 2.0), [done()])],
        0,
    ),
    "one that waits is not held up by one that ended without a word": (
        Limits(),
        [
            (ready(0, 1.0), []),
            (exited(1, 0, 2.0), [go((0,))]),
            (finished(0, 3.0), [release(0)]),
            (exited(0, 0, 3.0), [done()]),
        ],
        0,
    ),
    "the first failure stops the rest and decides the exit code": (
        Limits(),
        [
            (exited(1, 5, 1.0), [terminate((0,))]),
            (exited(0, -15, 1.5), [done()]),
        ],
        5,
    ),
    "a killed worker gives 128 + 9": (
        Limits(),
        [(exited(0, -9, 1.0), [terminate((1,))]), (exited(1, -15, 1.1), [done()])],
        137,
    ),
    "what does not end in time is killed": (
        Limits(grace_s=2.0),
        [
            (exited(0, 1, 1.0), [terminate((1,))]),
            (tick(2.9), []),
            (tick(3.0), [kill((1,))]),
            (tick(9.0), []),
            (exited(1, -9, 3.1), [done()]),
        ],
        1,
    ),
    "a failure while others continue": (
        Limits(on_failure="continue"),
        [(exited(0, 7, 1.0), []), (exited(1, 0, 9.0), [done()])],
        7,
    ),
    "a worker that fails while loading does not hold up those that continue": (
        Limits(on_failure="continue"),
        [
            (ready(0, 1.0), []),
            (exited(1, 7, 2.0), [go((0,))]),
            (finished(0, 3.0), [release(0)]),
            (exited(0, 0, 3.0), [done()]),
        ],
        7,
    ),
    "SIGINT stops everything": (
        Limits(),
        [
            (signalled(2, 1.0), [terminate((0, 1))]),
            (exited(0, -15, 1.1), []),
            (exited(1, -15, 1.2), [done()]),
        ],
        130,
    ),
    "a second SIGINT has no more patience": (
        Limits(grace_s=60.0),
        [
            (signalled(2, 1.0), [terminate((0, 1))]),
            (signalled(2, 1.5), [kill((0, 1))]),
            (exited(0, -9, 1.6), []),
            (exited(1, -9, 1.6), [done()]),
        ],
        130,
    ),
    "SIGTERM is 143": (
        Limits(),
        [(signalled(15, 1.0), [terminate((0, 1))]), (exited(0, 0, 1.1), []), (exited(1, 0, 1.1), [done()])],
        143,
    ),
    "SIGTERM after a failure does not hide it": (
        Limits(),
        [
            (exited(0, 3, 1.0), [terminate((1,))]),
            (signalled(15, 1.1), [kill((1,))]),
            (exited(1, -9, 1.2), [done()]),
        ],
        3,
    ),
    "ready says nothing once the run is stopping": (
        Limits(),
        [
            (ready(0, 0.5), []),
            (signalled(15, 1.0), [terminate((0, 1))]),
            (ready(1, 1.1), []),
            (exited(0, -15, 1.2), []),
            (exited(1, -15, 1.2), [done()]),
        ],
        143,
    ),
    "a worker that is never ready": (
        Limits(ready_timeout_s=10.0),
        [
            (ready(0, 1.0), []),
            (tick(9.9), []),
            (tick(10.0), [terminate((0, 1))]),
            (exited(0, -15, 10.1), []),
            (exited(1, -15, 10.1), [done()]),
        ],
        124,
    ),
    "the ready limit is over once the start was given": (
        Limits(ready_timeout_s=10.0),
        [
            (ready(0, 1.0), []),
            (ready(1, 1.0), [go((0, 1))]),
            (tick(11.0), []),
            (exited(0, 0, 12.0), []),
            (exited(1, 0, 12.0), [done()]),
        ],
        0,
    ),
    "a run that takes too long": (
        Limits(timeout_s=5.0),
        [
            (exited(0, 0, 1.0), []),
            (tick(5.0), [terminate((1,))]),
            (exited(1, -15, 5.1), [done()]),
        ],
        124,
    ),
    "workers are started one after the other": (
        Limits(stagger_s=5.0),
        [
            (tick(0.0), [start((0,))]),
            (ready(0, 1.0), []),
            (tick(4.9), []),
            (tick(5.0), [start((1,))]),
            (ready(1, 6.0), [go((0, 1))]),
            (finished(0, 7.0), [release(0)]),
            (finished(1, 7.0), [release(1)]),
            (exited(0, 0, 8.0), []),
            (exited(1, 0, 8.0), [done()]),
        ],
        0,
    ),
    "who has not been started when it fails never will be": (
        Limits(stagger_s=5.0),
        [(tick(0.0), [start((0,))]), (exited(0, 3, 1.0), [done()])],
        3,
    ),
    "who has not been started when it is interrupted never will be": (
        Limits(stagger_s=5.0),
        [(tick(0.0), [start((0,))]), (signalled(2, 1.0), [terminate((0,))]), (exited(0, -15, 1.1), [done()])],
        130,
    ),
    "a restart answers a failure": (
        Limits(on_failure="restart", restarts=2, first_restart_s=1.0),
        [
            (ready(0, 1.0), []),
            (ready(1, 1.0), [go((0, 1))]),
            (exited(1, 5, 2.0), []),
            (tick(2.9), []),
            (tick(3.0), [start((1,))]),
            (ready(1, 4.0), [go((1,))]),
            (exited(1, 5, 5.0), []),
            (tick(6.9), []),
            (tick(7.0), [start((1,))]),
            (ready(1, 8.0), [go((1,))]),
            (finished(1, 9.0), [release(1)]),
            (exited(1, 0, 9.0), []),
            (finished(0, 9.5), [release(0)]),
            (exited(0, 0, 9.5), [done()]),
        ],
        0,
    ),
    "restarts come to an end": (
        Limits(on_failure="restart", restarts=1),
        [
            (exited(1, 5, 2.0), []),
            (tick(3.0), [start((1,))]),
            (exited(1, 6, 4.0), [terminate((0,))]),
            (exited(0, -15, 4.1), [done()]),
        ],
        6,
    ),
    "a program that is not there is not tried again": (
        Limits(on_failure="restart"),
        [(exited(0, 127, 0.1, "could not be started"), [terminate((1,))]), (exited(1, -15, 0.2), [done()])],
        127,
    ),
    "nobody is restarted once the run is stopping": (
        Limits(on_failure="restart"),
        [
            (exited(0, 1, 1.0), []),
            (signalled(15, 1.5), [terminate((1,))]),
            (exited(1, -15, 1.6), [done()]),
        ],
        143,
    ),
    "the common start waits for a worker that is restarted while it loads": (
        Limits(on_failure="restart"),
        [
            (ready(0, 1.0), []),
            (exited(1, 1, 1.0), []),
            (tick(2.0), [start((1,))]),
            (ready(1, 3.0), [go((0, 1))]),
            (exited(0, 0, 4.0), []),
            (exited(1, 0, 4.0), [done()]),
        ],
        0,
    ),
    "a worker that counts nothing any more": (
        Limits(stall_timeout_s=5.0),
        [
            (ready(0, 1.0), []),
            (ready(1, 2.0), [go((0, 1))]),
            (counted(0, 6.0), []),
            (tick(6.9), []),
            (counted(1, 6.9), []),
            (tick(7.0), []),
            (tick(11.0), [terminate((0, 1))]),
            (exited(0, -15, 11.1), []),
            (exited(1, 0, 11.1), [done()]),
        ],
        124,
    ),
    "who has finished has not stalled": (
        Limits(stall_timeout_s=5.0),
        [
            (ready(0, 1.0), []),
            (ready(1, 1.0), [go((0, 1))]),
            (finished(0, 2.0), [release(0)]),
            (finished(1, 2.0), [release(1)]),
            (tick(60.0), []),
            (exited(0, 0, 61.0), []),
            (exited(1, 0, 61.0), [done()]),
        ],
        0,
    ),
    "compilation does not count against the time to be ready": (
        Limits(ready_timeout_s=10.0),
        [
            (phase(0, "loading", 0.5), []),
            (phase(0, "compiling", 2.0), []),
            (phase(1, "waiting for compilation", 3.0), []),
            (tick(10.0), []),
            (tick(60.0), []),
            (phase(0, "warming up", 62.0), []),
            (phase(1, "warming up", 63.0), []),
            (tick(69.9), []),
            (tick(70.0), [terminate((0, 1))]),
            (exited(0, -15, 70.1), []),
            (exited(1, -15, 70.1), [done()]),
        ],
        124,
    ),
    "other phases do count": (
        Limits(ready_timeout_s=10.0, compile_timeout_s=5.0),
        [
            (phase(0, "loading", 0.5), []),
            (phase(1, "compiling", 0.5), []),
            (phase(1, "checking", 1.5), []),
            (tick(10.0), [terminate((0, 1))]),
            (exited(0, -15, 10.1), []),
            (exited(1, -15, 10.1), [done()]),
        ],
        124,
    ),
    "a compilation that takes too long": (
        Limits(compile_timeout_s=30.0),
        [
            (phase(0, "compiling", 2.0), []),
            (phase(1, "loading", 2.0), []),
            (tick(31.9), []),
            (tick(32.0), [terminate((0, 1))]),
            (exited(0, -15, 32.1), []),
            (exited(1, -15, 32.1), [done()]),
        ],
        124,
    ),
    "waiting for compilation and compiling share one limit": (
        Limits(compile_timeout_s=30.0),
        [
            (phase(0, "waiting for compilation", 0.0), []),
            (phase(0, "compiling", 20.0), []),
            (tick(29.9), []),
            (tick(30.0), [terminate((0, 1))]),
            (exited(0, -15, 30.1), []),
            (exited(1, -15, 30.1), [done()]),
        ],
        124,
    ),
    "a compilation that is over has no limit": (
        Limits(compile_timeout_s=5.0),
        [
            (phase(0, "compiling", 0.0), []),
            (phase(1, "compiling", 0.0), []),
            (ready(0, 4.0), []),
            (phase(1, "warming up", 4.5), []),
            (tick(60.0), []),
            (ready(1, 61.0), [go((0, 1))]),
            (exited(0, 0, 62.0), []),
            (exited(1, 0, 62.0), [done()]),
        ],
        0,
    ),
    "each attempt may compile as long": (
        Limits(compile_timeout_s=5.0, ready_timeout_s=9.0, on_failure="restart"),
        [
            (ready(0, 1.0), []),
            (phase(1, "compiling", 1.0), []),
            (exited(1, -9, 5.0), []),
            (tick(6.0), [start((1,))]),
            (phase(1, "compiling", 7.0), []),
            (tick(11.9), []),
            (tick(12.0), [terminate((0, 1))]),
            (exited(0, -15, 12.1), []),
            (exited(1, -15, 12.1), [done()]),
        ],
        124,
    ),
    "a phase that is announced after ready changes nothing": (
        Limits(compile_timeout_s=5.0),
        [
            (ready(0, 1.0), []),
            (ready(1, 1.0), [go((0, 1))]),
            (phase(1, "compiling", 2.0), []),
            (tick(60.0), []),
            (exited(0, 0, 62.0), []),
            (exited(1, 0, 62.0), [done()]),
        ],
        0,
    ),
    "a program that cannot be started": (
        Limits(),
        [
            (exited(0, 127, 0.0, "could not be started: No such file"), [terminate((1,))]),
            (exited(1, -15, 0.1), [done()]),
        ],
        127,
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str) -> None:
    limits, history, code = HISTORIES[name]
    state = begin(2, limits, 0.0)
    if history[0][0] != tick(0.0):
        history = [(tick(0.0), [start((0, 1))]), *history]
    for event, expected in history:
        state, commands = step(state, event)
        assert list(commands) == expected, event
    assert exit_code(state) == code
    assert state.alive == ()


def failures_after(*events: Event, limits: Limits | None = None) -> State:
    state = begin(2, limits or Limits(), 0.0)
    for event in (tick(0.0), *events):
        state, _ = step(state, event)
    return state


def test_a_failure_says_at_which_stage_it_happened() -> None:
    assert failures_after(exited(0, 1, 1.0)).failures[0].stage == "load"
    assert failures_after(ready(0, 0.5), exited(0, 1, 1.0)).failures[0].stage == "run"
    assert failures_after(exited(0, 127, 1.0, "no such file")).failures[0].stage == "start"
    assert failures_after(tick(2.0), limits=Limits(timeout_s=2.0)).failures[0].stage == "limit"


def test_what_we_stopped_ourselves_is_no_failure() -> None:
    state = failures_after(exited(0, 5, 1.0), exited(1, -15, 1.1))
    assert [failure.index for failure in state.failures] == [0]


def test_the_next_deadline_is_the_nearest_limit_that_still_counts() -> None:
    state, _ = step(begin(1, Limits(ready_timeout_s=5.0, timeout_s=60.0), 100.0), tick(100.0))
    assert next_deadline(state) == 105.0
    state, _ = step(state, ready(0, 101.0))
    assert next_deadline(state) == 160.0
    state, _ = step(state, signalled(2, 110.0))
    assert next_deadline(state) == 120.0
    state, _ = step(state, tick(120.0))
    assert next_deadline(state) is None
    assert next_deadline(step(begin(1, Limits(), 0.0), tick(0.0))[0]) is None
    assert next_deadline(begin(2, Limits(stagger_s=3.0), 7.0)) == 7.0


def test_the_next_deadline_is_that_of_the_compilation_while_it_lasts() -> None:
    state, _ = step(begin(2, Limits(ready_timeout_s=10.0, compile_timeout_s=60.0), 0.0), tick(0.0))
    state, _ = step(state, phase(0, "compiling", 2.0))
    assert next_deadline(state) == 10.0
    state, _ = step(state, phase(1, "waiting for compilation", 3.0))
    assert next_deadline(state) == 62.0
    state, _ = step(state, phase(0, "warming up", 42.0))
    assert next_deadline(state) == 10.0 + 40.0
    state, _ = step(state, ready(0, 43.0))
    assert next_deadline(state) == 63.0


def test_a_limit_says_which_and_what_was_going_on() -> None:
    state = failures_after(phase(1, "waiting for compilation", 1.0), tick(6.0), limits=Limits(compile_timeout_s=5.0))
    assert [(failure.index, failure.code, failure.stage) for failure in state.failures] == [(1, 124, "limit")]
    assert state.failures[0].message == "was still waiting for compilation after 5 s (--compile-timeout)"
    history = (phase(0, "compiling", 1.0), ready(1, 2.0), phase(0, "warming up", 42.0), tick(51.0))
    (failure,) = failures_after(*history, limits=Limits(ready_timeout_s=10.0)).failures
    assert failure.message == "was not ready within 10 s (--ready-timeout), 41 s of compilation not counted"


def test_the_same_phase_again_does_not_begin_anew() -> None:
    state = failures_after(phase(0, "compiling", 1.0), phase(0, "compiling", 3.0))
    assert (state.workers[0].busy_with, state.workers[0].busy_since) == ("compiling", 1.0)
    state, _ = step(state, ready(0, 4.0))
    assert (state.workers[0].busy_with, state.workers[0].compiled_s) == ("", 3.0)


def test_restarts_wait_longer_each_time_up_to_a_bound() -> None:
    state = begin(1, Limits(on_failure="restart", restarts=20, first_restart_s=1.0), 0.0)
    now, waits = 0.0, []
    for _ in range(9):
        state, commands = step(state, tick(now))
        assert commands == (start((0,)),)
        state, _ = step(state, exited(0, 1, now))
        now = next_deadline(state) or 0.0
        waits.append(state.workers[0].start_at - state.recovered[-1].time)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert not state.failures


def test_a_restart_that_never_comes_does_not_count_and_the_last_exit_code_stays() -> None:
    state = begin(2, Limits(on_failure="restart"), 0.0)
    for event in (tick(0.0), exited(0, 5, 1.0), signalled(15, 1.5)):
        state, _ = step(state, event)
    assert [(worker.restarts, worker.exit_code) for worker in state.workers] == [(0, 5), (0, None)]
    assert [failure.index for failure in state.recovered] == [0]


def test_exits_are_described_in_words() -> None:
    assert describe_exit(5) == "ended with exit code 5"
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert "out of memory" in describe_exit(-9)
    assert "instruction" in describe_exit(-4)
    assert "/dev/shm" in describe_exit(-7)
    assert "two cores help" in describe_exit(-8)
    assert describe_exit(-40) == "was killed by signal 40"


def test_a_trial_is_ended_so_long_after_the_common_start_and_that_is_no_failure() -> None:
    state = begin(2, Limits(measured_s=5.0, grace_s=2.0), 0.0)
    for event in (tick(0.0), ready(0, 10.0), tick(16.0), ready(1, 20.0)):
        state, commands = step(state, event)
        assert terminate((0, 1)) not in commands
    assert next_deadline(state) == 25.0
    state, commands = step(state, tick(25.0))
    assert commands == (terminate((0, 1)),)
    state, _ = step(state, exited(0, -15, 25.1))
    assert next_deadline(state) == 27.0
    state, commands = step(state, exited(1, -15, 25.2))
    assert commands == (done(),)
    assert state.failures == ()
    assert exit_code(state) == 0


ACROSS = Limits(across_hosts=True, ready_timeout_s=5.0)


def said(kind: str, time: float, detail: str = "") -> Event:
    return Event("lost" if kind == "lost" else "released", time, detail=detail)


def through(count: int, *events: Event) -> tuple[State, list[tuple[Command, ...]]]:
    """A run across hosts after these events, and what was to be done after each."""
    state, told = begin(count, ACROSS, 0.0), []
    for event in events:
        state, commands = step(state, event)
        told.append(commands)
    return state, told


def test_hosts_that_begin_together_wait_for_each_other_and_for_nobody_twice() -> None:
    state, told = through(2, tick(0.0), ready(0, 1.0), ready(1, 2.0))
    assert told[-1] == (Command("ready"),)
    assert state.go is None
    assert next_deadline(state) is None, "the time to be ready is over, and the others have theirs"
    state, commands = step(state, said("released", 9.0))
    assert (state.go, commands) == (9.0, (go((0, 1)),))


def test_a_worker_that_fails_while_the_others_are_waited_for_ends_the_run() -> None:
    state, told = through(2, tick(0.0), ready(0, 1.0), ready(1, 2.0), exited(1, 9, 3.0), exited(0, -15, 3.1))
    assert told[-2:] == [(terminate((0,)),), (done(),)]
    assert step(state, said("released", 4.0))[0].go is None
    assert exit_code(state) == 9


def test_a_host_that_is_lost_ends_the_run_without_a_failure_here() -> None:
    events = [
        tick(0.0),
        ready(0, 1.0),
        said("released", 2.0),
        said("lost", 3.0, "host h2"),
        said("lost", 3.1, "host h3"),
    ]
    state, told = through(1, *events)
    assert told[-2:] == [(terminate((0,)),), ()]
    assert state.lost == "host h2"
    state, commands = step(state, signalled(15, 4.0))
    assert commands == (kill((0,)),), "an engine ends all when one has failed"
    state, commands = step(state, exited(0, -9, 4.1))
    assert (commands, exit_code(state), state.failures) == ((done(),), 0, ())


def test_a_host_whose_workers_start_again_begins_when_all_do() -> None:
    limits = Limits(across_hosts=True, on_failure="restart")
    for indices in ((0, 1), (1,)):
        state = begin(2, limits, 0.0)
        for event in (tick(0.0), ready(0, 1.0), ready(1, 2.0), *(exited(index, 1, 3.0) for index in indices)):
            state, _ = step(state, event)
        state, commands = step(state, said("released", 4.0))
        assert state.go == 4.0
        assert commands == (() if len(indices) == 2 else (go((0,)),))
        state, _ = step(state, tick(5.0))
        state, commands = step(state, ready(1, 6.0))
        assert (state.go, commands) == (4.0, (go((1,)),)), "a late one need not wait for anybody"
