"""What systemd hears, over a real datagram socket, in the order in which it happens."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from ipexlaunch.launch.run_events import NoteAdded, RunSignalled, WorkerExited, WorkerReady, WorkerStarted
from ipexlaunch.plan.plan import Instance
from ipexlaunch.serve.notify_systemd import SystemdNotifier, watchdog_interval_s, without_service_variables

STOPPING = "STOPPING=1\nSTATUS=draining and ending the servers"


class Manager:
    """Listens as systemd does."""

    def __init__(self, name: str) -> None:
        self.environment = {"NOTIFY_SOCKET": name}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.setblocking(False)
        self.told: list[str] = []

    def heard(self) -> list[str]:
        """Everything since the last call; a datagram is there once it was sent."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    def notifier(self, slots: int = 2, *, has_endpoint: bool = False, **variables: str) -> SystemdNotifier:
        environment = {**self.environment, **variables}
        return SystemdNotifier(environment, slots, has_endpoint=has_endpoint, tell=self.told.append)


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Manager]:
    made = Manager(f"{tmp_path}/notify" if request.param == "path" else f"@ipexlaunch-test-{os.getpid()}")
    with made.socket:
        yield made
    assert made.told == []


def exited(index: int) -> WorkerExited:
    return WorkerExited(index, time=2.0, code=-9, seen=True, cpu_s=1.0, peak_memory_bytes=1, claimed_rate=None, log="")


def started(index: int) -> WorkerStarted:
    planned = Instance(index=index, cpus=frozenset({index}), nodes=frozenset({0}), threads=1)
    return WorkerStarted(1.0, 4711, planned, None)


def no_snapshot() -> NoReturn:
    raise AssertionError("a notification needs no snapshot")


def test_ready_is_said_once_every_slot_has_been_ready(manager: Manager) -> None:
    notifier = manager.notifier()
    notifier.on_event(started(0))
    notifier.on_event(WorkerReady(0, 1.0))
    assert manager.heard() == ["STATUS=0 of 2 servers ready", "STATUS=1 of 2 servers ready"]
    notifier.on_event(WorkerReady(1, 2.0))
    assert manager.heard() == ["READY=1\nSTATUS=2 of 2 servers ready"]
    notifier.on_event(exited(1))
    notifier.on_event(started(1))
    notifier.on_event(NoteAdded("nothing of systemd's"))
    notifier.on_event(WorkerReady(1, 3.0))
    assert manager.heard() == ["STATUS=1 of 2 servers ready", "STATUS=2 of 2 servers ready"]
    notifier.on_event(RunSignalled(4.0, 15))
    notifier.on_event(exited(0))
    notifier.close()
    assert manager.heard() == [STOPPING]


def test_a_slot_that_is_lost_before_the_last_one_is_ready_counts_as_ready_once(manager: Manager) -> None:
    notifier = manager.notifier()
    notifier.on_event(WorkerReady(0, 1.0))
    notifier.on_event(exited(0))
    notifier.on_event(WorkerReady(1, 2.0))
    assert manager.heard()[-1] == "READY=1\nSTATUS=1 of 2 servers ready"


def test_ready_waits_for_the_endpoint(manager: Manager) -> None:
    notifier = manager.notifier(1, has_endpoint=True)
    notifier.on_event(WorkerReady(0, 1.0))
    assert manager.heard() == ["STATUS=1 of 1 server ready"]
    thread = threading.Thread(target=notifier.endpoint_ready)
    thread.start()
    thread.join()
    assert manager.heard() == ["READY=1\nSTATUS=1 of 1 server ready"]
    notifier.endpoint_ready()
    assert manager.heard() == []


def test_a_reload_begins_with_the_clock_and_ends_with_ready(manager: Manager) -> None:
    notifier = manager.notifier(1)
    notifier.on_event(WorkerReady(0, 1.0))
    manager.heard()
    before = time.monotonic_ns() // 1000
    notifier.reloading()
    begun, status = manager.heard()
    first, _, stamp = begun.partition("\nMONOTONIC_USEC=")
    assert first == "RELOADING=1"
    assert before <= int(stamp) <= time.monotonic_ns() // 1000
    assert status == "STATUS=1 of 1 server ready, reloading"
    notifier.on_event(exited(0))
    notifier.on_event(WorkerReady(0, 2.0))
    notifier.reloaded()
    assert manager.heard()[-1] == "READY=1\nSTATUS=1 of 1 server ready"
    notifier.reloaded()
    notifier.stopping()
    notifier.reloading()
    notifier.reloaded()
    assert manager.heard() == [STOPPING]


def test_the_watchdog_hears_from_the_loop(manager: Manager) -> None:
    notifier = manager.notifier(1, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
    assert notifier.interval_s == 15
    notifier.on_event(WorkerReady(0, 1.0))
    manager.heard()
    notifier.tick(no_snapshot)
    notifier.tick(no_snapshot)
    assert manager.heard() == ["WATCHDOG=1", "WATCHDOG=1"]


@pytest.mark.parametrize(
    ("variables", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_the_watchdog_is_meant_for_this_process(variables: dict[str, str], interval_s: float | None) -> None:
    assert watchdog_interval_s(variables, 7) == interval_s


def test_a_socket_that_is_gone_is_told_once_and_ends_nothing(tmp_path: Path) -> None:
    manager = Manager(f"{tmp_path}/notify")
    notifier = manager.notifier(1, WATCHDOG_USEC="1000000")
    manager.socket.close()
    notifier.on_event(WorkerReady(0, 1.0))
    notifier.tick(no_snapshot)
    (tmp_path / "notify").unlink()
    notifier.on_event(exited(0))
    assert manager.told == [
        "systemd is not told how the servers stand: NOTIFY_SOCKET takes nothing (connection refused)"
    ]
    # systemd comes back, as after `systemctl daemon-reexec`: what it has missed is said again.
    again = Manager(f"{tmp_path}/notify")
    with again.socket:
        notifier.tick(no_snapshot)
        assert again.heard() == ["WATCHDOG=1", "READY=1\nSTATUS=0 of 1 server ready"]
        notifier.close()
        assert again.heard() == [STOPPING]
    assert len(manager.told) == 1


def test_a_socket_that_is_full_holds_nobody_up(tmp_path: Path) -> None:
    manager = Manager(f"{tmp_path}/notify")
    with manager.socket:
        notifier = manager.notifier(1, WATCHDOG_USEC="1000000")
        while not manager.told:
            notifier.tick(no_snapshot)
        assert "timed out" in manager.told[0]
        assert len(manager.heard()) > 1


@pytest.mark.parametrize("name", ["", "vsock:2:1234", "notify"])
def test_without_a_socket_nothing_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.chdir(tmp_path)
    environment = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"}
    notifier = SystemdNotifier(environment, 1, has_endpoint=False, tell=told.append)
    assert notifier.interval_s is None
    act: Callable[[], None]
    for act in (notifier.endpoint_ready, notifier.reloading, notifier.reloaded, notifier.stopping, notifier.close):
        act()
    notifier.on_event(WorkerReady(0, 1.0))
    assert told == []


def test_servers_are_not_passed_what_systemd_says_to_the_launcher() -> None:
    ours = {
        "NOTIFY_SOCKET": "/run/systemd/notify", "WATCHDOG_USEC": "1", "WATCHDOG_PID": "1", "LISTEN_PID": "1",
        "LISTEN_PIDFDID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "a",
    }  # fmt: skip
    others = {"LISTEN_PORT": "80", "WATCHDOG": "x", "PATH": "/bin", "INVOCATION_ID": "y"}
    assert without_service_variables({**ours, **others}) == others
