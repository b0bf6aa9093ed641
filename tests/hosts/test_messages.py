"""Lines between hosts: what is no message is refused, whoever sends it, and a proof holds for one host in one start."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.hosts.messages import (
    LONGEST_LINE,
    Rendezvous,
    hello_of,
    is_proof,
    line_of,
    lines_in,
    proof,
    read_rendezvous,
    write_rendezvous,
)


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20)), max_size=5), st.data())
def test_messages_come_whole_in_whatever_pieces(messages: list[dict[str, object]], data: st.DataObject) -> None:
    wire = b"".join(map(line_of, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    buffer, found = bytearray(), []
    for begin, end in itertools.pairwise([0, *cuts, len(wire)]):
        buffer += wire[begin:end]
        found += lines_in(buffer, LONGEST_LINE)
    assert found == messages
    assert not buffer


@given(st.binary(max_size=300))
def test_whatever_comes_is_messages_or_refused(data: bytes) -> None:
    buffer = bytearray(data)
    try:
        for message in lines_in(buffer, 100):
            hello_of(message)
    except ValueError:
        return
    assert b"\n" not in buffer
    assert len(buffer) <= 100


@pytest.mark.parametrize("data", [b"x" * 101, b"x" * 101 + b"\n", b"[" * 90 + b"]" * 9, b"1\n", b'{"a":1}\n[]\n'])
def test_what_is_too_long_or_no_object_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        lines_in(bytearray(data + b"\n"), 100)


def test_a_proof_is_of_one_side_one_job_one_rank_and_one_meeting() -> None:
    ways = itertools.product(("member", "first"), ("j1", "j2"), (1, 11), ("a", "b"), ("c", "d"), ("secret", "other"))
    proofs = [proof(token, who, job, rank, one, two) for who, job, rank, one, two, token in ways]  # type: ignore[arg-type]
    assert len(set(proofs)) == len(proofs)
    assert is_proof(proofs[0], proofs[0])
    assert not any(is_proof(given, proofs[0]) for given in (proofs[1], "", None, 1, proofs[0][:-1]))


def test_a_rendezvous_is_read_as_it_was_written() -> None:
    meeting = Rendezvous(job="7.0", hosts=3, addresses=("10.0.0.1", "fd00::1"), port=4000, token="t")
    assert read_rendezvous(write_rendezvous(meeting)) == meeting
    for text in ("", "[]", "3", '{"schema": "ipexlaunch/rendezvous/2"}', '{"schema": "ipexlaunch/rendezvous/1"}'):
        with pytest.raises(ValueError):
            read_rendezvous(text)
