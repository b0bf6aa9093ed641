"""No request that may be repeated fails, whatever is killed or restarted behind the endpoint; with k6's open loop."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serve.load.k6 import K6, program
from tests.serve.load.service import ask, service
from tests.serve.stand import listens
from tests.several_hosts.lab import wait_for

pytestmark = [pytest.mark.proxy, pytest.mark.process, pytest.mark.slow]

RATE = 50
"""Requests a second, each of 20 ms; far from what two servers can do, on a machine with two cores."""

SECONDS = 20.0

BETWEEN_KILLS_S = 4.0
"""Each slot's turn comes every 8 s: one that was ready for 5 s is restarted half a second later, others wait longer."""


@contextlib.contextmanager
def nothing_failing(load: K6) -> Iterator[None]:
    """What happens within, happens under the load; none of its requests fails until it is over."""
    try:
        yield
        assert not load.is_over()
        counted, said = load.result()
    finally:
        load.close()
    assert (counted.failed, counted.dropped) == (0, 0), said
    assert counted.requests >= RATE * SECONDS * 0.99


@pytest.mark.parametrize("reuse", [False, True], ids=["new-connections", "kept-connections"])
def test_no_request_fails_while_servers_are_killed(tmp_path: Path, reuse: bool) -> None:
    program()
    with service(tmp_path, server_options=("--load", "0.5")) as served:
        load = K6(tmp_path, f"{served.url}/who?s=0.02", RATE, SECONDS, reuse=reuse)
        with nothing_failing(load):
            kills = 0
            while kills < SECONDS / BETWEEN_KILLS_S - 1:
                time.sleep(BETWEEN_KILLS_S)
                served.kill(kills % 2)
                kills += 1


def test_no_request_fails_while_servers_are_reloaded(tmp_path: Path) -> None:
    program()
    with service(tmp_path, server_options=("--load", "0.5")) as served:
        before = served.pids()
        load = K6(tmp_path, f"{served.url}/who?s=0.02", RATE, SECONDS)
        with nothing_failing(load):
            time.sleep(2.0)
            served.launcher.send_signal(signal.SIGHUP)
            wait_for("new servers", lambda: served.is_reloaded(before))


def test_nothing_is_left_of_a_launcher_that_is_killed(tmp_path: Path) -> None:
    with service(tmp_path) as served:
        processes = served.processes()
        assert len(processes) >= 4  # launcher, two servers, proxy
        assert ask(served.endpoint, "/who") in ("slot0", "slot1")
        sockets = served.sockets()
        assert len(sockets) == 3  # of the status, of the control, of the proxy
        served.launcher.kill()
        served.launcher.wait()
        wait_for("processes to end", lambda: not served.living(processes))
        assert not [port for port in (*served.ports, served.endpoint) if listens("127.0.0.1", port)]
        wait_for("sockets to vanish", lambda: not [path for path in sockets if path.exists()])
