"""HAProxy before real servers: what is tried again, what is not, and what a launcher tells it."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.errors import ProxyError
from ipexlaunch.serve.ask_proxy import HaproxySocket
from ipexlaunch.serve.endpoint import Endpoint
from tests.serve.stand import Stand, listens, need, stand, unmanaged, until

pytestmark = [pytest.mark.proxy, pytest.mark.process]

MARKED = {"Idempotency-Key": "1"}


@contextlib.contextmanager
def haproxy(
    folder: Path, count: int = 2, change: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint
) -> Iterator[Stand]:
    """So many servers behind HAProxy, all said to be ready."""
    need("haproxy")
    with stand(folder, count, change) as made:
        made.start_haproxy()
        if made.endpoint.admin_socket is not None:
            made.say_ready()
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Stand]:
    with haproxy(tmp_path) as made:
        yield made


def states(made: Stand) -> list[str]:
    return [slot.state for slot in made.socket.figures().slots]


@pytest.mark.parametrize(
    ("method", "headers", "body", "after"),
    [
        ("GET", {}, None, ""),
        ("PUT", {}, b"x", ""),
        ("DELETE", {}, None, ""),
        ("POST", MARKED, b"x", ""),
        ("POST", {"X-Idempotent": "1"}, b"x", ""),
        ("POST", MARKED, b"x" * 120_000, ""),
        ("GET", {}, None, "header"),
    ],
)
def test_a_request_whose_server_dies_before_its_answer_is_tried_at_another(
    tmp_path: Path, two: Stand, method: str, headers: dict[str, str], body: bytes | None, after: str
) -> None:
    path = f"/die?flag={tmp_path / 'died'}" + (f"&after={after}" if after else "")
    assert two.ask(path, method, headers, body).status == 200
    assert (tmp_path / "died").exists()
    figures = two.socket.figures()
    assert (figures.retries, figures.moved, figures.refused, figures.failed) == (1, 1, 0, 0)


@pytest.mark.parametrize(
    ("method", "headers", "body"), [("POST", {}, b"x"), ("PATCH", {}, b"x"), ("POST", MARKED, b"x" * 200_000)]
)
def test_one_that_must_not_be_repeated_or_is_not_kept_whole_is_not(
    tmp_path: Path, two: Stand, method: str, headers: dict[str, str], body: bytes
) -> None:
    assert two.ask(f"/die?flag={tmp_path / 'died'}", method, headers, body).status == 502
    figures = two.socket.figures()
    assert (figures.retries, figures.refused, figures.failed) == (0, 1, 1)


def test_half_an_answer_is_no_answer(tmp_path: Path, two: Stand) -> None:
    with pytest.raises(http.client.IncompleteRead):
        two.ask(f"/die?flag={tmp_path / 'died'}&after=body")
    figures = two.socket.figures()
    assert (figures.retries, figures.refused, figures.failed) == (0, 0, 1)


def test_a_server_that_takes_no_connection_is_passed_by_for_every_method(two: Stand) -> None:
    two.servers[0].kill()
    answers = [two.ask("/size", "POST", body=b"x" * 1000) for _ in range(8)]
    assert {(answer.status, answer.slot, answer.text) for answer in answers} == {(200, "slot1", "1000")}


def test_a_slot_takes_requests_when_it_is_said_to_be_ready_and_not_before(tmp_path: Path) -> None:
    need("haproxy")
    with stand(tmp_path, 2) as made:
        made.start_haproxy()
        assert states(made) == ["maint", "maint"]
        assert made.ask("/who").status == 503
        made.socket.set_state(1, "ready")
        assert set(made.slots_of(4)) == {"slot1"}
        made.socket.set_state(0, "ready")
        assert set(made.slots_of(4)) == {"slot0", "slot1"}
        assert states(made) == ["ready", "ready"]
        made.socket.set_state(1, "maint")
        assert set(made.slots_of(4)) == {"slot0"}


def test_a_slot_that_drains_ends_what_it_has_and_gets_no_more(two: Stand) -> None:
    with ThreadPoolExecutor(2) as pool:
        long = [pool.submit(two.ask, "/stream?n=20&s=0.1") for _ in range(2)]
        until("a stream on each", lambda: [slot.in_flight for slot in two.socket.figures().slots] == [1, 1])
        two.socket.set_state(0, "drain")
        assert set(two.slots_of(6)) == {"slot1"}
        assert states(two) == ["drain", "ready"]
        assert two.socket.figures().slots[0].in_flight == 1
        answers = [one.result() for one in long]
    assert [answer.text.count("data: ") for answer in answers] == [20, 20]
    assert [slot.in_flight for slot in two.socket.figures().slots] == [0, 0]


def test_a_request_waits_for_a_slot_where_it_may(tmp_path: Path) -> None:
    def waits(endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, wait_script=str(tmp_path / "wait.lua"), wait_s=60)

    with haproxy(tmp_path, 1, waits) as made, ThreadPoolExecutor(3) as pool:
        made.socket.set_state(0, "drain")
        asked = [pool.submit(made.ask, "/size", method, body=b"x" * 5000) for method in ("POST", "PUT", "PATCH")]
        until("they have arrived", lambda: made.socket.figures().requests >= 3)
        made.servers[0].kill()
        made.socket.set_state(0, "maint")
        made.servers[0].start()
        made.servers[0].wait_until_ready()
        assert not any(one.done() for one in asked)
        made.socket.set_state(0, "ready")
        assert {(one.result().status, one.result().text) for one in asked} == {(200, "5000")}


def test_its_patience_ends(tmp_path: Path) -> None:
    def waits(endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, wait_script=str(tmp_path / "wait.lua"), wait_s=1)

    with haproxy(tmp_path, 1, waits) as made:
        made.socket.set_state(0, "maint")
        assert made.ask("/who").status == 503
        assert made.socket.figures().refused == 1


def test_sessions_stay_where_they_are_while_that_is_up(tmp_path: Path) -> None:
    with haproxy(tmp_path, 2, lambda endpoint: replace(endpoint, affinity_header="X-Session")) as made:
        firsts = {name: made.ask("/who", headers={"X-Session": name}).slot for name in "abcdefgh"}
        assert sorted(firsts.values()) == ["slot0"] * 4 + ["slot1"] * 4
        for name, slot in firsts.items():
            assert set(made.slots_of(3, headers={"x-session": name})) == {slot}
        assert set(made.slots_of(4)) == {"slot0", "slot1"}  # others go where there is room

        made.socket.set_state(0, "drain")
        assert {made.ask("/who", headers={"X-Session": name}).slot for name in firsts} == {"slot1"}
        made.socket.set_state(0, "ready")  # its caches are cold: those who left stay away
        assert {made.ask("/who", headers={"X-Session": name}).slot for name in firsts} == {"slot1"}

        made.servers[1].kill()
        assert {made.ask("/who", headers={"X-Session": name}).slot for name in firsts} == {"slot0"}


def test_tokens_are_sent_on_as_they_come(two: Stand) -> None:
    line = http.client.HTTPConnection(two.endpoint.address, two.endpoint.port, timeout=60)
    line.request("GET", "/stream?n=2&s=5")
    response = line.getresponse()
    assert response.readline() == b"data: 0\n"
    assert two.socket.figures().in_flight == 1  # the next is five seconds away
    line.close()


def test_a_client_that_has_gone_leaves_no_work_behind(two: Stand) -> None:
    line = http.client.HTTPConnection(two.endpoint.address, two.endpoint.port, timeout=60)
    line.request("GET", "/who?s=1000")
    until("it is in flight", lambda: two.socket.figures().in_flight == 1)
    line.close()
    until("it is not", lambda: sum(slot.in_flight for slot in two.socket.figures().slots) == 0)


def test_it_finds_by_itself_that_a_server_is_gone_and_back(tmp_path: Path) -> None:
    def hasty(endpoint: Endpoint) -> Endpoint:
        return replace(endpoint, probe_interval_s=0.2, probe_failures=2)

    with haproxy(tmp_path, 2, hasty) as made:
        made.servers[0].kill()
        until("it is down", lambda: states(made) == ["down", "ready"])
        made.servers[0].start()
        until("it is up", lambda: states(made) == ["ready", "ready"])


def test_it_needs_no_launcher(tmp_path: Path) -> None:
    with haproxy(tmp_path, 2, unmanaged) as made:
        assert set(made.slots_of(4)) == {"slot0", "slot1"}
        made.servers[1].kill()
        assert set(made.slots_of(4)) == {"slot0"}


def test_figures_count_what_clients_saw(two: Stand) -> None:
    assert two.slots_of(10).count("slot0") == 5
    before = two.socket.figures()
    assert [(slot.index, slot.done, slot.done_5xx, slot.failed) for slot in before.slots] == [
        (0, 5, 0, 0),
        (1, 5, 0, 0),
    ]
    two.socket.set_state(0, "maint")
    two.socket.set_state(1, "maint")
    assert two.ask("/who").status == 503
    after = two.socket.figures()
    assert (after.requests - before.requests, after.refused, after.failed) == (1, 1, 1)


def test_softly_stopped_it_takes_no_connection_and_ends_what_it_has(two: Stand) -> None:
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(two.ask, "/stream?n=20&s=0.1")
        until("it is in flight", lambda: two.socket.figures().in_flight == 1)
        for _ in range(2):  # who got no answer in time asks again
            two.socket.stop_softly()
        assert not listens(two.endpoint.address, two.endpoint.port)
        assert long.result().text.count("data: ") == 20


def test_only_its_user_may_tell_it(two: Stand) -> None:
    found = os.stat(two.socket.path)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_slot_that_it_does_not_know_is_an_error(two: Stand) -> None:
    with pytest.raises(ProxyError, match="tell haproxy that slot 7 is in state ready: it answers 'No such server"):
        two.socket.set_state(7, "ready")


def test_a_socket_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProxyError, match="No such file or directory; it may have ended"):
        HaproxySocket(str(tmp_path / "none")).figures()


@pytest.mark.parametrize("trickle", [b"", b"x"])
def test_one_that_says_nothing_or_never_ends_is_an_error_in_time(tmp_path: Path, trickle: bytes) -> None:
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "a.sock"))
        server.listen()

        def talk() -> None:
            line, _ = server.accept()
            with line, contextlib.suppress(OSError):
                while not over.wait(0.05):
                    line.sendall(trickle)

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(ProxyError, match=r"says nothing on .* for 0\.3 seconds"):
            HaproxySocket(str(tmp_path / "a.sock"), 0.3).figures()
        over.set()
        thread.join()


def test_it_listens_where_it_is_told_and_nowhere_else(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no ::1 here")
    need("haproxy")
    with stand(tmp_path, 2, host="::1") as made:
        made.start_haproxy()
        made.say_ready()
        assert set(made.slots_of(4)) == {"slot0", "slot1"}
        assert not listens("127.0.0.1", made.endpoint.port)
