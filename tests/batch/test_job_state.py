"""What is done is remembered in little room, and comes back from what the ledger keeps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.batch.job_state import CHUNK, DoneItems

NUMBERS = st.lists(st.integers(0, 5 * CHUNK), unique=True, max_size=50)


@given(st.lists(NUMBERS, max_size=5), st.integers(0, 3))
def test_it_holds_what_was_added_and_comes_back_from_its_changes(groups: list[list[int]], full: int) -> None:
    done, kept, added = DoneItems(), dict[int, bytes](), set(range(full * CHUNK))
    done.add(range(full * CHUNK))
    kept |= done.take_changes()
    for numbers in groups:
        fresh = [number for number in numbers if number not in added]
        done.add(fresh)
        added |= set(fresh)
        kept |= done.take_changes()
    kept = {number: bits for number, bits in kept.items() if number >= done.mark}
    back = DoneItems(done.mark, kept)
    for number in {*added, *range(0, 6 * CHUNK, 97)}:
        assert (number in done) == (number in added)
        assert (number in back) == (number in added)
    assert done.count == back.count == len(added)


def test_one_that_waits_long_does_not_make_it_grow() -> None:
    done = DoneItems()
    done.add(range(1, 50 * CHUNK))
    assert done.mark == 0
    assert len(done.take_changes()) == 50
    assert len({id(bits) for bits in done._chunks.values()}) == 2
    done.add([0])
    assert done.mark == 50
    assert done.take_changes() == {}


def test_an_item_is_not_done_twice() -> None:
    done = DoneItems()
    done.add(range(CHUNK + 5))
    for number in (3, CHUNK + 4):
        with pytest.raises(ValueError, match=f"item {number} is done twice"):
            done.add([number])


def test_chunks_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError):
        DoneItems(3, {2: b"\0" * (CHUNK // 8)})
    with pytest.raises(ValueError):
        DoneItems(0, {2: b"\0"})
