"""The socket over which a service is steered, with clients that are right, wrong, slow, huge and many."""

from __future__ import annotations

import json
import os
import select
import socket
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.report.live.serve_status import MOST_WAITING
from ipexlaunch.serve.control import LONGEST_REQUEST, ControlSocket, ask_service, control_path
from ipexlaunch.serve.keep_servers import ServiceKeeper
from ipexlaunch.serve.notify_systemd import SystemdNotifier
from ipexlaunch.serve.probes import ProbeRules

INDICES = (3, 5)
NOT_UNDERSTOOD = {"problem": "it does not understand the request"}


def no_snapshot() -> Snapshot:
    raise AssertionError("the socket needs none")


class Loop:
    """A launcher's loop around a control socket, in a thread; what was decided is never carried out."""

    def __init__(self, folder: Path) -> None:
        self.keeper = ServiceKeeper(
            INDICES,
            [None, None],
            ProbeRules(interval_s=5.0, timeout_s=2.0, failures=3),
            drain_timeout_s=30.0,
            frontend=None,
            duration_s=None,
            clock=time.monotonic,
            has_terminal=False,
            notifier=SystemdNotifier({}, 2, has_endpoint=False, tell=print),
        )
        self.status_path = str(folder / "1-abc.sock")
        self.socket = ControlSocket(self.status_path, self.keeper)
        self.error: BaseException | None = None
        self._stop, self._told = os.pipe()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            descriptor = self.socket.fileno()
            assert descriptor is not None
            while self._stop not in select.select([descriptor, self._stop], [], [])[0]:
                self.socket.ready(no_snapshot)
        except BaseException as error:  # the test that ends says it
            self.error = error

    def close(self) -> None:
        os.write(self._told, b".")
        self._thread.join()
        os.close(self._stop)
        os.close(self._told)
        self.socket.close()
        assert self.error is None, repr(self.error)

    def connect(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX)
        line.settimeout(30)
        line.connect(self.socket.path)
        return line

    def answer(self, data: bytes) -> bytes:
        """To a client that sends this, and then nothing more."""
        with self.connect() as line:
            try:
                line.sendall(data)
                line.shutdown(socket.SHUT_WR)
                return whole(line)
            except OSError:
                return b""  # it had enough

    def asked(self, request: object) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.answer(json.dumps(request).encode() + b"\n"))
        return found


def whole(line: socket.socket) -> bytes:
    data = b""
    while part := line.recv(1 << 16):
        data += part
    return data


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A path that a socket's name fits into."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def loop(short_path: Path) -> Iterator[Loop]:
    made = Loop(short_path)
    yield made
    made.close()


def test_who_asks_is_told_how_the_slots_stand(loop: Loop) -> None:
    state = ask_service(loop.status_path, {"do": "stand"})
    assert [(each["index"], each["state"], each["in_flight"]) for each in state["slots"]] == [
        (3, "down", None),
        (5, "down", None),
    ]
    assert (state["endpoint"], state["stopping"], state["reloading"]) == ("", False, False)


def test_it_is_for_its_user_alone_and_gone_at_the_end(short_path: Path) -> None:
    loop = Loop(short_path)
    path = control_path(loop.status_path)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    loop.close()
    assert not os.path.exists(path)
    with pytest.raises(LaunchError, match="it may have ended just now"):
        ask_service(loop.status_path, {"do": "stand"})


def test_what_is_asked_for_is_handed_to_the_keeper(loop: Loop) -> None:
    assert ask_service(loop.status_path, {"do": "reload", "slots": [5]})["reloading"] is True
    assert loop.keeper.is_asked_to_reload
    ask_service(loop.status_path, {"do": "drain", "slots": [3]})
    ask_service(loop.status_path, {"do": "stop"})
    loop.keeper.take(time.monotonic())
    assert loop.keeper.state.stopping
    assert loop.keeper.state.slots[0].leaves_for == "drain"


def test_an_instance_that_is_not_there_is_refused_with_those_that_are(loop: Loop) -> None:
    for command in ("reload", "drain"):
        with pytest.raises(LaunchError, match="there is no instance 4, but 3, 5"):
            ask_service(loop.status_path, {"do": command, "slots": [4]})
    with pytest.raises(LaunchError, match="it knows no command 'dance'"):
        ask_service(loop.status_path, {"do": "dance"})
    assert not loop.keeper.is_asked_to_reload


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"do"',
        b"{}",
        b"{",
        b"\xff\xfe",
        b"\x00",
        b'{"do": "reload", "slots": 3}',
        b'{"do": "reload", "slots": ["three"]}',
        b'{"do": "reload", "slots": [null]}',
        b'{"do": "reload", "slots": [NaN]}',
        b'{"do": "reload", "slots": [Infinity]}',
        b'{"do": "reload", "slots": [1e999]}',
        b"[" * 4000,
    ],
)
def test_what_is_no_request_is_refused_and_changes_nothing(loop: Loop, line: bytes) -> None:
    assert json.loads(loop.answer(line + b"\n")) == NOT_UNDERSTOOD
    assert loop.asked({"do": "stand"})["slots"]
    assert not loop.keeper.is_asked_to_reload


def test_a_request_that_never_ends_is_cut_off(loop: Loop) -> None:
    assert loop.answer(b"x" * 100 * LONGEST_REQUEST) == b""
    assert loop.asked({"do": "stand"})["slots"]


def test_half_a_request_is_not_carried_out(loop: Loop) -> None:
    assert loop.answer(b'{"do": "stop"}') == b""
    loop.keeper.take(time.monotonic())
    assert not loop.keeper.state.stopping


def test_a_request_may_come_byte_by_byte_while_others_are_answered(loop: Loop) -> None:
    with loop.connect() as slow:
        for byte in b'{"do": "stand"}':
            slow.sendall(bytes([byte]))
            assert loop.asked({"do": "stand"})["slots"]
        slow.sendall(b"\n")
        assert json.loads(whole(slow))["slots"]


def test_those_who_say_nothing_or_go_away_keep_nobody_from_an_answer(loop: Loop) -> None:
    silent = [loop.connect() for _ in range(3 * MOST_WAITING)]
    for _ in range(20):
        with loop.connect() as gone:
            gone.sendall(b'{"do": "stand"}\n')  # and does not wait for the answer
    assert loop.asked({"do": "stand"})["slots"]
    for line in silent:
        line.close()
    assert loop.asked({"do": "stand"})["slots"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)
REQUESTS = st.binary(max_size=100) | st.fixed_dictionaries(
    {
        "do": st.sampled_from(["stand", "reload", "drain"]) | JSON,
        "slots": st.lists(JSON | st.sampled_from(INDICES)) | JSON,
    }
).map(lambda request: json.dumps(request).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(REQUESTS)
def test_whatever_is_sent_the_loop_goes_on(loop: Loop, data: bytes) -> None:
    loop.answer(data + b"\n")
    assert loop.error is None
    assert loop.asked({"do": "stand"})["slots"]


def test_a_launcher_that_does_not_answer_is_not_waited_for_long(short_path: Path) -> None:
    status_path = str(short_path / "1-abc.sock")
    with socket.socket(socket.AF_UNIX) as stopped:
        stopped.bind(control_path(status_path))
        stopped.listen()
        with pytest.raises(LaunchError, match="is it stopped"):
            ask_service(status_path, {"do": "stand"})


@pytest.mark.parametrize(("answer", "told"), [(b"hello\n", "b'hello"), (b"[]\n", "something else"), (b"", "b''")])
def test_an_answer_of_something_else_is_said(short_path: Path, answer: bytes, told: str) -> None:
    status_path = str(short_path / "1-abc.sock")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(control_path(status_path))
        other.listen()

        def speak() -> None:
            line, _ = other.accept()
            with line:
                line.recv(1000)
                line.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(LaunchError, match="ask the service to stand") as caught:
            ask_service(status_path, {"do": "stand"})
        thread.join()
    assert told in str(caught.value)
