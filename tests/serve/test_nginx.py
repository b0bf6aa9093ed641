"""nginx before real servers."""

from __future__ import annotations

import contextlib
import http.client
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.serve.endpoint import Endpoint
from tests.serve.stand import Stand, need, stand, until

pytestmark = [pytest.mark.proxy, pytest.mark.process]

MARKED = {"Idempotency-Key": "1"}


@contextlib.contextmanager
def nginx(folder: Path, change: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint) -> Iterator[Stand]:
    """Two servers behind nginx."""
    need("nginx")
    with stand(folder, 2, change) as made:
        made.start_nginx()
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Stand]:
    with nginx(tmp_path) as made:
        yield made


@pytest.mark.parametrize(
    ("method", "headers", "body"),
    [
        ("GET", {}, None),
        ("PUT", {}, b"x"),
        ("POST", MARKED, b"x" * 100_000),
        ("POST", {"X-Idempotent": "1"}, b"x"),
    ],
)
def test_a_request_whose_server_dies_before_its_answer_is_tried_at_another(
    tmp_path: Path, two: Stand, method: str, headers: dict[str, str], body: bytes | None
) -> None:
    assert two.ask(f"/die?flag={tmp_path / 'died'}", method, headers, body).status == 200
    assert (tmp_path / "died").exists()


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_one_that_must_not_be_repeated_is_not(tmp_path: Path, two: Stand, method: str) -> None:
    assert two.ask(f"/die?flag={tmp_path / 'died'}", method, body=b"x").status == 502


def test_a_marked_request_arrives_as_it_was_sent(two: Stand) -> None:
    answer = two.ask("/size?s=0", "POST", MARKED, b"x" * 300_000)
    assert (answer.status, answer.text) == (200, "300000")


def test_a_slot_that_drains_gets_no_more_after_a_reload(two: Stand) -> None:
    assert set(two.slots_of(4)) == {"slot0", "slot1"}
    (two.folder / "nginx.cfg").write_text(two.nginx_text(frozenset({0})), encoding="utf-8")
    assert two.proxy is not None
    two.proxy.send_signal(signal.SIGHUP)
    until("slot 0 is left alone", lambda: set(two.slots_of(6)) == {"slot1"})


def test_sessions_stay_where_they_are(tmp_path: Path) -> None:
    with nginx(tmp_path, lambda endpoint: replace(endpoint, affinity_header="X-Session")) as made:
        firsts = {name: made.ask("/who", headers={"X-Session": name}).slot for name in map(str, range(40))}
        assert set(firsts.values()) == {"slot0", "slot1"}
        for name, slot in firsts.items():
            assert made.ask("/who", headers={"X-Session": name}).slot == slot
        assert len(set(made.slots_of(40))) == 2  # others do not share one name


def test_tokens_are_sent_on_as_they_come(two: Stand) -> None:
    line = http.client.HTTPConnection(two.endpoint.address, two.endpoint.port, timeout=60)
    line.request("GET", "/stream?n=2&s=5")
    response = line.getresponse()
    assert response.readline() == b"data: 0\n"
    line.close()


def test_what_it_writes_lies_in_its_folder(two: Stand) -> None:
    two.ask("/size", "POST", body=b"x" * 300_000)
    found = {path.name for path in two.folder.iterdir()}
    assert {"nginx.pid", "client_body", "proxy"} <= found
