"""How a service ends: what is in flight is finished, a second request ends at once, a terminal that closes ends it."""

from __future__ import annotations

import http.client
import os
import pty
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serve.launched import begun, launched
from tests.serve.load.service import ask
from tests.serve.stand import listens, need
from tests.several_hosts.lab import wait_for

pytestmark = [pytest.mark.process, pytest.mark.proxy]

FINISHING = """
import http.server, signal, sys, threading, time
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            open(sys.argv[2], "w").close()
            time.sleep(2)
        self.send_response(200)
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"done")
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
server.daemon_threads = False
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever()
server.server_close()
"""


def is_broken_off(answer: Future[str]) -> bool:
    """Whether a request got no good answer."""
    error = answer.exception()
    return not answer.result() if error is None else isinstance(error, (OSError, http.client.HTTPException))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_behind_the_endpoint_is_finished(tmp_path: Path, number: int) -> None:
    need("haproxy")
    with launched(tmp_path) as service, ThreadPoolExecutor() as clients:
        answers = [begun(service.endpoint, "/who?s=2", clients) for _ in range(4)]
        time.sleep(0.3)
        assert service.end(number) == 0, service.said()
        assert {answer.result() for answer in answers} == {"slot0", "slot1"}
        assert not listens("127.0.0.1", service.endpoint)
    assert "draining: nothing new is taken, what is held is finished" in service.said()
    report = service.report()
    assert (report["valid"], sum(each["items"] for each in report["instances"])) == (True, 4)


def test_without_an_endpoint_a_server_finishes_what_it_has_by_itself(tmp_path: Path) -> None:
    script = tmp_path / "finishing.py"
    script.write_text(FINISHING)
    flag = tmp_path / "flag"
    with (
        launched(tmp_path, server=[str(script), "{port}", str(flag)], has_endpoint=False) as service,
        ThreadPoolExecutor() as clients,
    ):
        answer = begun(service.ports[0], "/slow", clients)
        wait_for("the request", flag.exists)
        assert service.end() == 0, service.said()
        assert answer.result() == "done"
    assert service.report()["valid"]
    assert [each["exit"] for each in service.report()["instances"]] == [0, 0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_request_to_end_does_not_wait_for_what_is_in_flight(tmp_path: Path, number: int) -> None:
    need("haproxy")
    with launched(tmp_path) as service, ThreadPoolExecutor() as clients:
        answer = begun(service.endpoint, "/who?s=600", clients)
        time.sleep(0.3)
        service.launcher.send_signal(number)
        service.wait_for_words("draining")
        assert service.launcher.poll() is None
        assert service.end(number) == 128 + number, service.said()
        assert is_broken_off(answer)


def test_requests_that_take_longer_than_the_drain_may_last_are_ended(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path, "--drain-timeout", "1") as service, ThreadPoolExecutor() as clients:
        answer = begun(service.endpoint, "/who?s=600", clients)
        time.sleep(0.3)
        assert service.end() == 0, service.said()
        assert is_broken_off(answer)


def test_servers_that_end_while_all_are_drained_are_neither_started_again_nor_waited_for(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path, "--drain-timeout", "600") as service, ThreadPoolExecutor() as clients:
        pids = service.pids()
        answer = begun(service.endpoint, "/who?s=600", clients)
        time.sleep(0.3)
        service.launcher.terminate()
        service.wait_for_words("draining")
        for pid in pids:
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        assert service.launcher.wait(60) == 0, service.said()
        assert is_broken_off(answer)
    assert "; restart " not in service.said()
    report = service.report()
    assert (report["valid"], report["service"]["restarts"], len(report["failures"])) == (True, {}, 0)
    assert [each["exit"] for each in report["instances"]] == [137, 137]


def test_a_terminal_that_closes_ends_the_service_and_reloads_nothing(tmp_path: Path) -> None:
    need("haproxy")
    ours, theirs = pty.openpty()
    try:
        with launched(tmp_path, before=["setsid", "--ctty"], has_terminal=True, stdin=theirs) as service:
            os.close(theirs)
            assert ask(service.endpoint, "/who") in ("slot0", "slot1")
            os.close(ours)
            ours = -1
            assert service.launcher.wait(60) == 128 + signal.SIGHUP, service.said()
        assert "reload" not in service.said()
    finally:
        if ours >= 0:
            os.close(ours)
