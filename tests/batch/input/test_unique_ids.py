"""An id that is given twice is found, up to as many as are remembered."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.batch.input.input_rules import UniqueIds


@given(st.lists(st.integers(-9, 9) | st.text(max_size=1)))
def test_it_says_of_each_id_whether_it_is_new(ids: list[str | int]) -> None:
    known, seen = UniqueIds(), set()
    for one in ids:
        assert known.add(one) == (one not in seen)
        seen.add(one)


def test_it_stays_right_while_it_grows() -> None:
    known = UniqueIds()
    assert all(known.add(number) for number in range(20_000))
    assert all(known.add(str(number)) for number in range(20_000))
    assert not any(known.add(number) for number in range(20_000))


def test_beyond_its_limit_it_forgets_the_new_and_not_the_old() -> None:
    known = UniqueIds(most=3)
    assert [known.add(number) for number in (1, 2, 3, 4, 4, 1)] == [True, True, True, True, True, False]
    assert known.full
