"""The life of a run as tables of events: what is done after each, and how it ends."""

import pytest

from ipexlaunch.lifecycle import Command, Event, Limits, State, begin, describe_exit, exit_code, next_deadline, step


def ready(index: int, time: float) -> Event:
    return Event("ready", time, index)


def finished(index: int, time: float) -> Event:
    return Event("finished", time, index)


def exited(index: int, code: int, time: float, detail: str = "") -> Event:
    return Event("exited", time, index, code, detail)


def signalled(number: int, time: float) -> Event:
    return Event("signalled", time, code=number)


def tick(time: float) -> Event:
    return Event("tick", time)


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
    assert failures_after(exited(0, 1, 1.0)).failures[0].stage == "load"
    assert failures_after(ready(0, 0.5), exited(0, 1, 1.0)).failures[0].stage == "run"
    assert failures_after(exited(0, 127, 1.0, "no such file")).failures[0].stage == "start"
    assert failures_after(tick(2.0), limits=Limits(timeout_s=2.0)).failures[0].stage == "limit"


def test_what_we_stopped_ourselves_is_no_failure() -> None:
    state = failures_after(exited(0, 5, 1.0), exited(1, -15, 1.1))
    assert [failure.index for failure in state.failures] == [0]


def test_the_next_deadline_is_the_nearest_limit_that_still_counts() -> None:
    state = begin(1, Limits(ready_timeout_s=5.0, timeout_s=60.0), 100.0)
    assert next_deadline(state) == 105.0
    state, _ = step(state, ready(0, 101.0))
    assert next_deadline(state) == 160.0
    state, _ = step(state, signalled(2, 110.0))
    assert next_deadline(state) == 120.0
    state, _ = step(state, tick(120.0))
    assert next_deadline(state) is None
    assert next_deadline(begin(1, Limits(), 0.0)) is None


def test_exits_are_described_in_words() -> None:
    assert describe_exit(5) == "ended with exit code 5"
    assert describe_exit(-11) == "was killed by SIGSEGV"
    assert "out of memory" in describe_exit(-9)
    assert "instruction" in describe_exit(-4)
    assert describe_exit(-40) == "was killed by signal 40"
