"""Counts of a server that has run for long: fewer of them, and the same sums."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.run_record import Samples
from ipexlaunch.launch.supervise.tend_servers import COUNTS_KEPT, thinned_counts


def samples(counts: list[tuple[int, int]]) -> Samples:
    """Two seconds apart."""
    made = Samples()
    for position, (items, tokens) in enumerate(counts):
        made.add(2.0 * position, items, tokens, math.nan)
    return made


@given(st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 1000)), max_size=200))
def test_sums_the_newest_quarter_and_the_order_of_time_are_kept(counts: list[tuple[int, int]]) -> None:
    before = samples(counts)
    after = thinned_counts(before)
    assert (sum(after.items), sum(after.tokens)) == (sum(before.items), sum(before.tokens))
    assert list(after.times) == sorted(after.times)
    assert list(after.times[-1:]) == list(before.times[-1:])
    assert len(after.times) == len(before.times) - (len(before.times) * 3 // 4) // 2
    newest = len(counts) // 4
    assert list(after.items[len(after.items) - newest :]) == list(before.items[len(before.items) - newest :])


def test_what_was_counted_up_to_a_moment_of_those_that_are_left_is_the_same() -> None:
    before = samples([(n % 7, n) for n in range(100)])
    after = thinned_counts(before)
    for position, time in enumerate(after.times):
        wanted = sum(items for items, then in zip(before.items, before.times, strict=True) if then <= time)
        assert sum(after.items[: position + 1]) == wanted


def test_years_take_no_more_room_than_hours() -> None:
    kept, longest, sent = Samples(), 0, 0
    for position in range(10 * COUNTS_KEPT):
        kept.add(2.0 * position, 1, 0, math.nan)
        sent += 1
        if len(kept.times) > COUNTS_KEPT:
            kept = thinned_counts(kept)
        longest = max(longest, len(kept.times))
    assert longest <= COUNTS_KEPT
    assert sum(kept.items) == sent
