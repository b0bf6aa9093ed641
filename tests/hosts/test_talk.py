"""Two hosts that talk in one process: who is busy is not lost, who is gone is, and all hear how it went."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from ipexlaunch.hosts.find_each_other import open_listener
from ipexlaunch.hosts.member import Member
from ipexlaunch.hosts.messages import Message
from ipexlaunch.hosts.talk.background import Patience, Talk
from ipexlaunch.hosts.talk.first_host import FirstHost
from ipexlaunch.hosts.talk.member_host import Meeting, MemberHost
from ipexlaunch.launch.supervise.interfaces import HostsSaid
from tests.several_hosts.lab import wait_for

TOKEN = "a token of this test"
HASTY = Patience(join_s=30.0, silent_s=2.0)


@contextlib.contextmanager
def two_hosts(patience: Patience = HASTY) -> Iterator[tuple[Talk, Talk, list[str]]]:
    told: list[str] = []
    listener = open_listener([0])
    port = listener.getsockname()[1]
    one, other = (Member(rank=rank, size=2, job="j", name=f"h{rank + 1}") for rank in (0, 1))
    first = Talk(lambda talk: FirstHost(talk, one, TOKEN, listener, patience, told.append))
    meeting = Meeting(addresses=(("127.0.0.1", port), ("127.0.0.1", port)), token=TOKEN)
    member = Talk(lambda talk: MemberHost(talk, other, lambda: meeting, "", patience))
    try:
        assert member.wait_until_in(30.0)
        yield first, member, told
    finally:
        for talk in (member, first):
            talk.close()


def heard(talk: Talk) -> list[tuple[str, str]]:
    return [(said.kind, said.text) for said in talk.take()]


def result_of(talk: Talk, message: Message) -> list[Message | None]:
    """What comes of a result, once it is there: this thread plays the other host meanwhile."""
    found: list[Message | None] = []
    threading.Thread(target=lambda: found.append(talk.result(message, lambda: False)), daemon=True).start()
    return found


def start_of(talk: Talk) -> float:
    """When a host was given the start."""
    said: list[HostsSaid] = []

    def is_said() -> bool:
        said.extend(talk.take())
        return bool(said)

    wait_for("the start", is_said)
    assert said[0].kind == "released"
    return said[0].time


def test_both_begin_and_end_together() -> None:
    with two_hosts() as (first, member, told):
        first.ready()
        time.sleep(0.2)
        assert heard(first) == heard(member) == [], "one is not ready"
        member.ready()
        at = start_of(member) - start_of(first)
        waiting = result_of(member, {"did": 2})
        outcome = first.result({"did": 1}, lambda: False)
        assert outcome is not None
        assert {rank: part["result"] for rank, part in outcome["parts"].items() if rank == "1"} == {"1": {"did": 2}}
        earliest, latest = outcome["parts"]["1"]["bounds"]
        assert earliest <= at <= latest, "one clock here, of which they do not know"
        first.verdict({"valid": True, "reasons": []})
        wait_for("the verdict", lambda: waiting)
        assert waiting == [{"valid": True, "reasons": []}]
        assert told == []


def test_who_is_busy_for_longer_than_a_silence_may_last_is_not_lost() -> None:
    with two_hosts() as (first, member, _):
        time.sleep(2.5 * HASTY.silent_s)  # neither main thread looks at anything
        assert heard(first) == heard(member) == []


def test_who_closes_is_lost_and_the_reason_is_the_first_one() -> None:
    with two_hosts() as (first, member, _):
        member.stopping("instance 0 ended with exit code 7")
        member.close()
        outcome = first.result({}, lambda: False)
        assert outcome is not None
        who = "host h2 (rank 1)"
        assert outcome["broken"] == [
            f"{who}: instance 0 ended with exit code 7",
            f"{who} was lost: its connection was closed",
        ]


def test_a_member_whose_first_host_goes_knows_it() -> None:
    with two_hosts() as (first, member, _):
        first.close()
        wait_for("the loss", lambda: member.over)
        assert heard(member) == [("lost", "the first host, host h1 (rank 0), was lost: its connection was closed")]


def test_what_is_said_before_joining_is_said_then() -> None:
    listener = open_listener([0])
    one, other = (Member(rank=rank, size=2, job="", name=f"h{rank + 1}") for rank in (0, 1))
    meeting = Meeting(addresses=(("127.0.0.1", listener.getsockname()[1]),), token=TOKEN)
    late: list[Meeting] = []
    member = Talk(lambda talk: MemberHost(talk, other, lambda: late[0] if late else None, "", HASTY))
    member.stopping("it could not")
    late.append(meeting)
    first = Talk(lambda talk: FirstHost(talk, one, TOKEN, listener, HASTY, print))
    try:
        wait_for("the reason", lambda: ("lost", "host h2 (rank 1): it could not") in heard(first))
    finally:
        for talk in (member, first):
            talk.close()
