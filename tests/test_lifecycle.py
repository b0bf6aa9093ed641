"""The life of a run as tables of events: what is done after each, and how it ends."""

import pytest

from ipexlaunch.lifecycle import (
    Command,
    Done,
    Event,
    Exited,
    Finished,
    Go,
    Kill,
    Limits,
    Ready,
    Release,
    Signalled,
    State,
    Terminate,
    Tick,
    begin,
    describe_exit,
    exit_code,
    next_deadline,
    step,
)

History = list[tuple[Event, list[Command]]]

HISTORIES: dict[str, tuple[Limits, History, int]] = {
    "all are ready, start together, finish and leave": (
        Limits(),
        [
            (Ready(0, 1.0), []),
            (Ready(1, 3.0), [Go((0, 1))]),
            (Finished(1, 5.0), [Release(1)]),
            (Exited(1, 0, 5.1), []),
            (Finished(0, 6.0), [Release(0)]),
            (Exited(0, 0, 6.1), [Done()]),
        ],
        0,
    ),
    "programs that never say a word just end": (
        Limits(),
        [(Exited(0, 0, 1.0), []), (Exited(1, 0, 2.0), [Done()])],
        0,
    ),
    "one that waits is not held up by one that ended without a word": (
        Limits(),
        [
            (Ready(0, 1.0), []),
            (Exited(1, 0, 2.0), [Go((0,))]),
            (Finished(0, 3.0), [Release(0)]),
            (Exited(0, 0, 3.0), [Done()]),
        ],
        0,
    ),
    "the first failure stops the rest and decides the exit code": (
        Limits(),
        [
            (Exited(1, 5, 1.0), [Terminate((0,))]),
            (Exited(0, -15, 1.5), [Done()]),
        ],
        5,
    ),
    "a killed worker gives 128 + 9": (
        Limits(),
        [(Exited(0, -9, 1.0), [Terminate((1,))]), (Exited(1, -15, 1.1), [Done()])],
        137,
    ),
    "what does not end in time is killed": (
        Limits(grace_s=2.0),
        [
            (Exited(0, 1, 1.0), [Terminate((1,))]),
            (Tick(2.9), []),
            (Tick(3.0), [Kill((1,))]),
            (Tick(9.0), []),
            (Exited(1, -9, 3.1), [Done()]),
        ],
        1,
    ),
    "a failure while others continue": (
        Limits(on_failure="continue"),
        [(Exited(0, 7, 1.0), []), (Exited(1, 0, 9.0), [Done()])],
        7,
    ),
    "a worker that fails while loading does not hold up those that continue": (
        Limits(on_failure="continue"),
        [
            (Ready(0, 1.0), []),
            (Exited(1, 7, 2.0), [Go((0,))]),
            (Finished(0, 3.0), [Release(0)]),
            (Exited(0, 0, 3.0), [Done()]),
        ],
        7,
    ),
    "SIGINT stops everything": (
        Limits(),
        [
            (Signalled(2, 1.0), [Terminate((0, 1))]),
            (Exited(0, -15, 1.1), []),
            (Exited(1, -15, 1.2), [Done()]),
        ],
        130,
    ),
    "a second SIGINT has no more patience": (
        Limits(grace_s=60.0),
        [
            (Signalled(2, 1.0), [Terminate((0, 1))]),
            (Signalled(2, 1.5), [Kill((0, 1))]),
            (Exited(0, -9, 1.6), []),
            (Exited(1, -9, 1.6), [Done()]),
        ],
        130,
    ),
    "SIGTERM is 143": (
        Limits(),
        [(Signalled(15, 1.0), [Terminate((0, 1))]), (Exited(0, 0, 1.1), []), (Exited(1, 0, 1.1), [Done()])],
        143,
    ),
    "SIGTERM after a failure does not hide it": (
        Limits(),
        [
            (Exited(0, 3, 1.0), [Terminate((1,))]),
            (Signalled(15, 1.1), [Kill((1,))]),
            (Exited(1, -9, 1.2), [Done()]),
        ],
        3,
    ),
    "ready says nothing once the run is stopping": (
        Limits(),
        [
            (Ready(0, 0.5), []),
            (Signalled(15, 1.0), [Terminate((0, 1))]),
            (Ready(1, 1.1), []),
            (Exited(0, -15, 1.2), []),
            (Exited(1, -15, 1.2), [Done()]),
        ],
        143,
    ),
    "a worker that is never ready": (
        Limits(ready_timeout_s=10.0),
        [
            (Ready(0, 1.0), []),
            (Tick(9.9), []),
            (Tick(10.0), [Terminate((0, 1))]),
            (Exited(0, -15, 10.1), []),
            (Exited(1, -15, 10.1), [Done()]),
        ],
        124,
    ),
    "the ready limit is over once the start was given": (
        Limits(ready_timeout_s=10.0),
        [
            (Ready(0, 1.0), []),
            (Ready(1, 1.0), [Go((0, 1))]),
            (Tick(11.0), []),
            (Exited(0, 0, 12.0), []),
            (Exited(1, 0, 12.0), [Done()]),
        ],
        0,
    ),
    "a run that takes too long": (
        Limits(timeout_s=5.0),
        [
            (Exited(0, 0, 1.0), []),
            (Tick(5.0), [Terminate((1,))]),
            (Exited(1, -15, 5.1), [Done()]),
        ],
        124,
    ),
    "a program that cannot be started": (
        Limits(),
        [
            (Exited(0, 127, 0.0, "could not be started: No such file"), [Terminate((1,))]),
            (Exited(1, -15, 0.1), [Done()]),
        ],
        127,
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_history(name: str) -> None:
    limits, history, code = HISTORIES[name]
    state = begin(2, limits, 0.0)
    for event, expected in history:
        state, commands = step(state, event)
        assert list(commands) == expected, event
    assert exit_code(state) == code
    assert state.alive == ()


def failures_after(*events: Event, limits: Limits | None = None) -> State:
    state = begin(2, limits or Limits(), 0.0)
    for event in events:
        state, _ = step(state, event)
    return state


def test_a_failure_says_at_which_stage_it_happened() -> None:
    assert failures_after(Exited(0, 1, 1.0)).failures[0].stage == "load"
    assert failures_after(Ready(0, 0.5), Exited(0, 1, 1.0)).failures[0].stage == "run"
    assert failures_after(Exited(0, 127, 1.0, "no such file")).failures[0].stage == "start"
    assert failures_after(Tick(2.0), limits=Limits(timeout_s=2.0)).failures[0].stage == "limit"


def test_what_we_stopped_ourselves_is_no_failure() -> None:
    state = failures_after(Exited(0, 5, 1.0), Exited(1, -15, 1.1))
    assert [failure.index for failure in state.failures] == [0]


def test_the_next_deadline_is_the_nearest_limit_that_still_counts() -> None:
    state = begin(1, Limits(ready_timeout_s=5.0, timeout_s=60.0), 100.0)
    assert next_deadline(state) == 105.0
    state, _ = step(state, Ready(0, 101.0))
    assert next_deadline(state) == 160.0
    state, _ = step(state, Signalled(2, 110.0))
    assert next_deadline(state) == 120.0
    state, _ = step(state, Tick(120.0))
    assert next_deadline(state) is None
    assert next_deadline(begin(1, Limits(), 0.0)) is None


def test_exits_are_described_in_words() -> None:
    assert describe_exit(5) == "ended with exit code 5"
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert "out of memory" in describe_exit(-9)
    assert "instruction" in describe_exit(-4)
    assert describe_exit(-40) == "was killed by signal 40"
