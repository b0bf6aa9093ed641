"""Requests of each slot, over all proxies that a run has had."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.supervise.interfaces import Count
from ipexlaunch.launch.supervise.server_interfaces import InFlight, ServerCommand
from ipexlaunch.serve.count_requests import COUNT_S, RequestCounts, Totals
from ipexlaunch.serve.proxy_figures import EndpointFigures, SlotFigures

PLACES = {10: 0, 12: 1}


def figures(*slots: tuple[int, int], refused: int = 0, retries: int = 0, moved: int = 0) -> EndpointFigures:
    """Of slots with (done, in flight)."""
    each = [
        SlotFigures(
            index=index, state="ready", in_flight=now, done=done, done_5xx=0, failed=0, broken_off=0, retries=0, moved=0
        )
        for index, (done, now) in zip(PLACES, slots, strict=True)
    ]
    total = sum(slot.done for slot in each)
    return EndpointFigures(
        slots=tuple(each), in_flight=0, requests=total, refused=refused, retries=retries, moved=moved, failed=0
    )


def counted(commands: list[ServerCommand]) -> dict[int, int]:
    return {each.worker: each.items for each in commands if isinstance(each, Count)}


def test_each_slots_requests_are_counted_once() -> None:
    counts = RequestCounts(PLACES, 0.0)
    assert counted(counts.take(figures((5, 0), (0, 0)), 1.0, at_once=False)) == {0: 5}
    assert counted(counts.take(figures((7, 0), (3, 0)), 1.0 + COUNT_S, at_once=False)) == {0: 2, 1: 3}
    assert counted(counts.take(figures((7, 0), (3, 0)), 9.0, at_once=False)) == {}


def test_what_comes_soon_after_a_count_waits_for_the_next() -> None:
    counts = RequestCounts(PLACES, 0.0)
    counts.take(figures((5, 0), (0, 0)), 1.0, at_once=False)
    assert counted(counts.take(figures((6, 0), (1, 0)), 1.1, at_once=False)) == {}
    assert counted(counts.take(figures((8, 0), (1, 0)), 1.2, at_once=True)) == {0: 3, 1: 1}


def test_requests_in_flight_are_told_where_they_have_changed() -> None:
    counts = RequestCounts(PLACES, 0.0)
    told = [each for each in counts.take(figures((0, 2), (0, 0)), 1.0, at_once=False) if isinstance(each, InFlight)]
    assert told == [InFlight(0, 2), InFlight(1, 0)]
    told = [each for each in counts.take(figures((0, 2), (0, 1)), 2.0, at_once=False) if isinstance(each, InFlight)]
    assert told == [InFlight(1, 1)]
    assert counts.in_flight == {0: 2, 1: 1}


def test_a_proxy_that_begins_anew_adds_to_what_the_former_one_had() -> None:
    counts = RequestCounts(PLACES, 0.0)
    first = counts.take(figures((5, 1), (4, 0), refused=2, retries=3, moved=1), 1.0, at_once=True)
    counts.begin_anew()
    assert counts.totals == Totals(refused=2, retries=3, moved=1)
    second = counts.take(figures((1, 0), (6, 0), refused=1, retries=0, moved=1), 4.0, at_once=True)
    assert (counted(first), counted(second)) == ({0: 5, 1: 4}, {0: 1, 1: 6})
    assert counts.totals == Totals(refused=3, retries=3, moved=2)
    counts.begin_anew()
    counts.begin_anew()  # it did not come up
    assert counts.totals == Totals(refused=3, retries=3, moved=2)


STEPS = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.floats(0.1, 5.0), st.booleans()), max_size=40)


@given(STEPS)
def test_nothing_is_lost_or_counted_twice(steps: list[tuple[int, int, float, bool]]) -> None:
    counts, done, time = RequestCounts(PLACES, 0.0), [0, 0], 0.0
    sums, wanted = {0: 0, 1: 0}, {0: 0, 1: 0}
    for first, second, passed, is_new in steps:
        time += passed
        if is_new:
            counts.begin_anew()
            done = [0, 0]
        done = [done[0] + first, done[1] + second]
        wanted = {0: wanted[0] + first, 1: wanted[1] + second}
        for place, items in counted(counts.take(figures((done[0], 0), (done[1], 0)), time, at_once=False)).items():
            sums[place] += items
    for place, items in counted(counts.take(figures((done[0], 0), (done[1], 0)), time, at_once=True)).items():
        sums[place] += items
    assert sums == wanted
