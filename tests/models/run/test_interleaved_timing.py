"""Timing in turn, with calls that only say how long they took."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.models.run.timing import ROUNDS, Barrier, time_interleaved


def saying(values: Iterator[float]) -> Callable[[], float]:
    return lambda: next(values)


@given(reference=st.floats(1e-3, 1), candidate=st.floats(1e-3, 1))
def test_steady_calls_give_their_ratio(reference: float, candidate: float) -> None:
    found = time_interleaved(lambda: reference, lambda: candidate, 2.0)
    assert found.relative == pytest.approx(candidate / reference)
    assert found.calls >= 1


def test_a_host_that_slows_down_slows_both() -> None:
    clock = [0.0]

    def slowing(base: float) -> Callable[[], float]:
        def call() -> float:
            taken = base * (1 + clock[0])  # after a second everything takes twice as long
            clock[0] += taken
            return taken

        return call

    found = time_interleaved(slowing(0.010), slowing(0.005), 2.0)
    assert found.relative == pytest.approx(0.5, rel=0.03)


def test_one_bad_moment_does_not_count() -> None:
    calls = (0.3 if 10 <= number < 14 else 0.01 for number in itertools.count())
    found = time_interleaved(lambda: 0.02, saying(calls), 2.0)
    assert found.relative == pytest.approx(0.5)


def test_the_time_is_kept() -> None:
    spent = {"reference": 0.0, "candidate": 0.0}

    def call(name: str, seconds: float) -> Callable[[], float]:
        def take() -> float:
            spent[name] += seconds
            return seconds

        return take

    time_interleaved(call("reference", 0.05), call("candidate", 0.07), 2.0)
    assert 2.0 <= spent["candidate"] <= 2.0 + ROUNDS * 0.07
    assert spent["reference"] <= 2.0
    spent.update(reference=0.0, candidate=0.0)
    time_interleaved(call("reference", 5.0), call("candidate", 0.001), 2.0)
    assert spent["reference"] == 10.0


def test_in_one_stretch_the_reference_comes_before_and_after_only() -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> Callable[[], float]:
        def take() -> float:
            order.append(name)
            return seconds

        return take

    found = time_interleaved(call("reference", 0.5), call("candidate", 0.25), 2.0, one_stretch=True)
    assert order == ["reference"] * 2 + ["candidate"] * 8 + ["reference"] * 2
    assert found.relative == pytest.approx(0.5)


def test_a_call_that_takes_all_the_time_is_not_made_again() -> None:
    def never() -> float:
        raise AssertionError("it was called again")

    found = time_interleaved(lambda: 0.5, never, 2.0, first_s=4.0)
    assert (found.relative, found.calls) == (8.0, 1)


def test_workers_meet(tmp_path: Path) -> None:
    order: list[str] = []
    barrier = threading.Event()

    def late() -> None:
        meeting = Barrier(str(tmp_path), 1, 2)
        barrier.wait()
        order.append("late comes")
        meeting.wait()
        meeting.wait()

    thread = threading.Thread(target=late)
    thread.start()
    early = Barrier(str(tmp_path), 0, 2)
    barrier.set()
    early.wait()
    order.append("early goes on")
    early.wait()
    thread.join()
    assert order == ["late comes", "early goes on"]


def test_one_worker_waits_for_nobody(tmp_path: Path) -> None:
    alone = Barrier(str(tmp_path / "missing"), 0, 1)
    alone.wait()
    assert alone.times == 1
    assert not (tmp_path / "missing").exists()


def test_rounds_that_lie_far_apart_are_told() -> None:
    assert time_interleaved(lambda: 0.02, lambda: 0.01, 2.0).spread == 0.0
    rounds = itertools.chain([0.1] * 4, [0.2] * 2, [0.4], itertools.repeat(0.4))
    found = time_interleaved(lambda: 0.1, saying(rounds), 2.0)  # 1, 2, 4, 4 and 4 times the reference
    assert found.spread == pytest.approx(0.25)
    two = time_interleaved(lambda: 0.1, saying(iter([1.0, 1.5])), 2.0)  # of two or three all count
    assert two.spread == pytest.approx(0.2)
    assert time_interleaved(lambda: 0.1, lambda: 0.1, 2.0, one_stretch=True).spread is None


def test_a_stretch_has_some_calls_unless_they_are_very_long() -> None:
    calls = [1.5, 1.6, 1.7]
    found = time_interleaved(lambda: 0.5, saying(iter(calls)), 2.0, first_s=3.9, one_stretch=True)
    assert found.relative == pytest.approx(3.2)
    assert found.calls == 3
    assert time_interleaved(lambda: 0.5, saying(iter(calls)), 2.0, first_s=4.0, one_stretch=True).calls == 1
