"""The first host's knowledge: the start comes when all are ready, never after somebody failed, and bounds hold."""

from __future__ import annotations

from ipexlaunch.hosts.barrier import Barrier
from ipexlaunch.hosts.member import Member


def barrier(size: int = 3) -> Barrier:
    made = Barrier(Member(rank=0, size=size, job="j", name="h1"))
    made.names.update({rank: f"h{rank + 1}" for rank in range(1, size)})
    return made


def test_all_must_be_ready_and_none_may_have_failed() -> None:
    made = barrier()
    for rank in (2, 0):
        made.ready(rank)
        assert not made.may_start
    made.ready(1)
    assert made.may_start
    assert made.breaks("a reason")
    assert not made.may_start
    assert not made.breaks("a reason")
    assert not made.breaks("another")
    assert made.broken == ["a reason", "another"]


def test_the_start_of_a_host_lies_between_the_order_and_its_answer() -> None:
    made = barrier()
    made.sent(1, 10.0)
    made.sent(2, 10.5)
    made.began = 11.0
    made.answered(2, 12.0)
    made.answered(2, 99.0)
    assert made.bounds(0) == (0.0, 0.0)
    assert made.bounds(1) is None, "it has not answered"
    assert made.bounds(2) == (-0.5, 1.0)
    made.answered(1, 11.5)
    assert made.bounds(1) == (-1.0, 0.5)


def test_who_ends_without_a_start_is_early_only_where_others_wait() -> None:
    made = barrier()
    made.ended(1, {})
    assert made.ended_early is None
    made.ready(2)
    assert made.ended_early == 1
    made.began = 1.0
    assert made.ended_early is None


def test_it_is_over_when_all_have_said_what_they_did_or_are_gone() -> None:
    made = barrier()
    made.ended(1, {})
    made.ended(0, {})
    assert not made.is_over
    made.lost.add(2)
    assert made.is_over
    made = Barrier(Member(rank=0, size=3, job="", name="h1"))
    made.ended(0, {})
    assert made.absent == [1, 2]
    assert not made.is_over
    made.breaks("they did not come")
    assert made.is_over
