"""Who has not the token of a start is let in nowhere, holds nobody up, and learns nothing; members are as strict."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.hosts.messages import Rendezvous, line_of, proof, read_rendezvous, write_rendezvous
from tests.several_hosts.group_runs import begin, end, group_in, script
from tests.several_hosts.lab import wait_for

pytestmark = pytest.mark.process


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return script(tmp_path)


def meeting_in(directory: Path) -> Rendezvous:
    path = directory / "rendezvous.json"
    wait_for("the first host", path.exists)
    return read_rendezvous(path.read_text())


def connect(meeting: Rendezvous) -> socket.socket:
    connection = socket.create_connection(("localhost", meeting.port), 5)
    connection.settimeout(20)
    return connection


def line_from(connection: socket.socket) -> Any:
    """The next message; None at the end."""
    data = b""
    with contextlib.suppress(ConnectionError):
        while not data.endswith(b"\n"):
            if not (more := connection.recv(1)):
                break
            data += more
    return json.loads(data) if data else None


def hello(meeting: Rendezvous, nonce: str, rank: int = 1, **changes: Any) -> bytes:
    given = proof(meeting.token, "member", meeting.job, rank, nonce, "mine")
    said = {"rank": rank, "hosts": meeting.hosts, "name": "x", "launcher": "l", "nonce": "mine", "proof": given}
    return line_of({**said, **changes})


def is_put_out(connection: socket.socket) -> bool:
    """Whether nothing but the end comes."""
    with connection:
        try:
            return connection.recv(100) == b""
        except ConnectionError:
            return True


def test_the_uninvited_are_put_out_and_the_run_begins_all_the_same(work: Path) -> None:
    directory = work.parent / "run"
    first = begin(0, 2, directory, work, "seconds=0.5", cwd=work.parent)
    meeting = meeting_in(directory)
    silent = [connect(meeting) for _ in range(80)]  # more than are let wait; they stay as long as they may
    wrong = replace(meeting, token="0" * 64)
    for words in (
        b"GET / HTTP/1.1\r\nHost: h1\r\n\r\n",
        b"\x16\x03\x01" + os.urandom(500) + b"\n",
        b"x" * 200_000,
        b"[" * 900 + b"\n",
        b'{"rank": 1}\n',
        line_of({"ready": True}),
        hello(wrong, ""),
    ):
        with contextlib.suppress(ConnectionError):
            stranger = connect(meeting)
            line_from(stranger)
            stranger.sendall(words)
            assert is_put_out(stranger), words
    # Who has listened to another's proof cannot use it: the number is another one.
    one, other = connect(meeting), connect(meeting)
    stolen = hello(meeting, line_from(one)["nonce"])
    line_from(other)
    other.sendall(stolen)
    assert is_put_out(other)
    one.close()
    member = begin(1, 2, directory, work, "seconds=0.5", cwd=work.parent)
    ends = end(first), end(member)
    for each in silent:
        each.close()
    assert [each.code for each in ends] == [0, 0], ends
    assert "was refused: it has not the token of this start" in ends[0].err
    told = [line for line in ends[0].err.splitlines() if "was refused" in line]
    assert len(told) == len(set(told)) <= 8, "each reason once"
    assert meeting.token not in ends[0].err + ends[1].err
    assert group_in(directory)["valid"]


def test_a_rank_that_has_joined_is_given_to_nobody_else(work: Path) -> None:
    directory = work.parent / "run"
    first = begin(0, 3, directory, work, "seconds=0.5", cwd=work.parent)
    meeting = meeting_in(directory)
    member = begin(1, 3, directory, work, "seconds=0.5", cwd=work.parent)
    wait_for("it to join", lambda: any(directory.glob("host-1-*")))
    for rank, hosts, why in ((1, 3, "has joined already"), (0, 3, "it is rank 0 of 3"), (2, 4, "it is rank 2 of 4")):
        with connect(meeting) as again:
            again.sendall(hello(meeting, line_from(again)["nonce"], rank, hosts=hosts))
            assert "welcome" in line_from(again)
            assert why in line_from(again)["refused"]
            assert line_from(again) is None
    twice = end(begin(1, 3, directory, work, cwd=work.parent))
    assert twice.code in (2, 75), twice
    last = begin(2, 3, directory, work, "seconds=0.5", cwd=work.parent)
    assert [end(each).code for each in (first, member, last)] == [0, 0, 0]


def test_nobody_is_let_in_once_all_are_there(work: Path) -> None:
    directory = work.parent / "run"
    first = begin(0, 2, directory, work, "seconds=2", cwd=work.parent)
    meeting = meeting_in(directory)
    member = begin(1, 2, directory, work, "seconds=2", cwd=work.parent)
    wait_for("work", lambda: len(list(work.parent.glob("began-*"))) == 2)
    with pytest.raises(ConnectionRefusedError):
        connect(meeting)
    assert [end(each).code for each in (first, member)] == [0, 0]


def test_a_member_that_says_nonsense_is_lost(work: Path) -> None:
    directory = work.parent / "run"
    first = begin(0, 2, directory, work, "seconds=100", cwd=work.parent)
    meeting = meeting_in(directory)
    with connect(meeting) as member:
        member.sendall(hello(meeting, line_from(member)["nonce"]))
        assert "welcome" in line_from(member)
        member.sendall(b"x" * 70_000)
        ended = end(first)
    assert ended.code == 4
    assert "host x (rank 1) was lost: it said something that is not understood" in ended.err


@contextlib.contextmanager
def imposter(answers: list[bytes]) -> Iterator[int]:
    """Somebody who listens where the first host should, without the token; the port."""
    server = socket.create_server(("localhost", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                for answer in answers:
                    connection.sendall(answer)
                    time.sleep(0.1)

    threading.Thread(target=serve, daemon=True).start()
    yield server.getsockname()[1]
    server.close()


def test_a_member_believes_nobody_who_has_not_the_token(work: Path) -> None:
    directory = work.parent / "run"
    directory.mkdir()
    orders = [line_of({"nonce": "n"}), line_of({"welcome": "0" * 64, "name": "h1"}), line_of({"go": True})]
    with imposter(orders) as port:
        meeting = Rendezvous(job="", hosts=2, addresses=("127.0.0.1",), port=port, token="1" * 64)
        (directory / "rendezvous.json").write_text(write_rendezvous(meeting))
        ended = end(begin(1, 2, directory, work, cwd=work.parent, options=("--join-timeout", "2")))
    assert ended.code == 2
    assert "the first host did not answer within 2 s" in ended.err
    assert not list(directory.glob("host-*"))


def test_what_the_file_says_is_looked_at(work: Path) -> None:
    directory = work.parent / "run"
    directory.mkdir()
    for text in ("", "{", "[]", "null", '{"schema": "ipexlaunch/rendezvous/1"}', '{"schema": "x", "job": ""}'):
        (directory / "rendezvous.json").write_text(text)
        ended = end(begin(1, 2, directory, work, cwd=work.parent, options=("--join-timeout", "0.5")))
        assert ended.code == 2, ended
        assert "rendezvous.json: " in ended.err
    other = Rendezvous(job="another", hosts=2, addresses=(), port=1, token="")
    (directory / "rendezvous.json").write_text(write_rendezvous(other))
    for code in (2, 75):
        ended = end(begin(1, 2, directory, work, cwd=work.parent))
        assert ended.code == code, ended
        assert "is of another start (another, not one)" in ended.err
        (directory / "first-host.json").touch()  # as while it lasts
