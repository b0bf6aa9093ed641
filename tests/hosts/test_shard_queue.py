"""Every shard of a queue is over in the end, whatever becomes of those at work."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.hosts.submit.shard_queue import ShardQueue


@given(st.lists(st.sampled_from(["done", "failed", "lost"]), max_size=200), st.integers(1, 20), st.integers(0, 3))
def test_a_shard_is_over_once_and_none_is_tried_for_ever(fates: list[str], shards: int, tries: int) -> None:
    queue = ShardQueue(range(shards), tries)
    begun: list[int] = []
    ended: list[int] = []
    for fate in [*fates, *["lost"] * shards * (tries + 1)]:
        index = queue.take()
        if index is None:
            break
        begun.append(index)
        if fate == "lost":
            if not queue.try_again(index):
                ended.append(index)
        else:
            queue.finish(index, is_done=fate == "done")
            ended.append(index)
    assert queue.is_over
    assert sorted(ended) == list(range(shards))
    assert all(begun.count(index) <= tries + 1 for index in range(shards))
    assert queue.done + len(queue.failed) == shards


def test_what_was_lost_comes_first() -> None:
    queue = ShardQueue([4, 5, 6], tries=1)
    first = queue.take()
    assert first == 4
    assert queue.try_again(first)
    assert queue.take() == 4
    assert not queue.try_again(4)
    assert queue.failed == [4]
    queue.give_up()
    assert queue.is_over
    assert queue.count == "3 of 3"
