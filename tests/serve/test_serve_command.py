"""`ipexlaunch serve` as a user starts it: what it refuses, what it says, how it ends, and what its report holds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.serve.launched import APART, AS_SOMEBODY, begun, code_of, launched, ours, sockets_of
from tests.serve.load.service import ask, neighbours_and_one
from tests.serve.stand import listens, need
from tests.several_hosts.lab import wait_for

pytestmark = [pytest.mark.process, pytest.mark.proxy]

REQUEST_ERROR, INVALID = 2, 4

SAYING = """
import signal, sys
print("listening, as", sys.argv[1], flush=True)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.pause()
"""

ELSEWHERE = """
import http.server, os, sys, threading
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/leave":
            everywhere = [int(each) for each in sys.argv[2].split(",")]
            threading.Thread(target=lambda: (os.sched_setaffinity(0, everywhere), threading.Event().wait())).start()
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""


def written(folder: Path, text: str) -> str:
    """A script with this text."""
    path = folder / "server.py"
    path.write_text(text)
    return str(path)


def test_servers_without_ports_say_that_they_are_ready_and_serve_for_a_while(tmp_path: Path) -> None:
    server = [written(tmp_path, SAYING), "{index}"]
    how = {"server": server, "ready_when": "output:^listening", "has_endpoint": False}
    code, said, made = code_of(tmp_path, "--duration", "2", **how)
    assert code == 0, said
    assert "2 servers ready" in said
    report = made.report()
    assert (report["valid"], report["reasons"], report["failures"]) == (True, [], [])
    assert [each["exit"] for each in report["instances"]] == [0, 0]
    assert (report["service"]["endpoint"], report["service"]["restarts"]) == ("", {})


def test_a_program_that_never_gets_ready_ends_the_service_with_its_own_code(tmp_path: Path) -> None:
    server = [written(tmp_path, "import sys\nprint('no model')\nsys.exit(7)"), "{port}"]
    code, said, _ = code_of(tmp_path, server=server, count=1)
    assert code == 7, said
    last = said.strip().splitlines()[-1]
    assert "7" in last
    assert "instance 0" in last
    assert "no model" in said


@pytest.mark.parametrize("whose", ["instance 1", "the endpoint"])
def test_a_taken_port_is_refused_with_its_holder_before_anything_is_started(tmp_path: Path, whose: str) -> None:
    need("haproxy")
    first, endpoint = neighbours_and_one(2)
    taken = first + 1 if whose == "instance 1" else endpoint
    options = ["--port", str(first), "--endpoint", f"127.0.0.1:{endpoint}"]
    with socket.create_server(("127.0.0.1", taken)):
        code, said, made = code_of(tmp_path, *options, before=())  # of the same user
    assert code == REQUEST_ERROR, said
    assert f"have {whose} listen on 127.0.0.1" in said
    assert f"port {taken} is taken by process {os.getpid()} (" in said
    assert "ready" not in said
    assert not made.run_dir.exists()


def test_a_server_that_stops_answering_is_killed_and_the_others_go_on(tmp_path: Path) -> None:
    need("haproxy")
    options = ["--probe-interval", "0.3", "--probe-timeout", "2", "--probe-failures", "2"]
    with launched(tmp_path, *options) as service:
        stopped, other = service.pids()
        assert stopped is not None
        os.kill(stopped, signal.SIGSTOP)
        wait_for("another server", lambda: service.pid(0) not in (None, stopped))
        assert service.pid(1) == other
        assert service.end() == 0, service.said()
    assert "did not answer 2 times in a row (no answer from http://127.0.0.1:" in service.said()
    assert service.report()["service"]["restarts"] == {"0": 1}


def test_a_proxy_that_hangs_is_killed_and_started_again(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path) as service:
        (proxy,) = service.proxies()
        proxy.suspend()
        service.wait_for_words("the proxy was killed")
        wait_for("the endpoint", lambda: listens("127.0.0.1", service.endpoint))
        assert {ask(service.endpoint, "/who") for _ in range(8)} == {"slot0", "slot1"}
        assert service.end() == 0, service.said()
    assert "the proxy does not answer for 10 s (it says nothing on " in service.said()


def test_the_report_has_the_requests_of_each_slot_and_the_run_directory_shows_them(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path) as service:
        answered = [ask(service.endpoint, "/who") for _ in range(40)]
        assert service.end() == 0, service.said()
    report = service.report()
    assert (report["valid"], report["reasons"]) == (True, [])
    assert report["service"]["endpoint"] == f"127.0.0.1:{service.endpoint}"
    assert (report["service"]["refused"], report["service"]["retries"]) == (0, 0)
    for instance in report["instances"]:
        assert instance["items"] == answered.count(f"slot{instance['index']}") > 0
    shown = ours("report", str(service.run_dir))
    assert shown.returncode == 0, shown.stderr
    assert f"endpoint 127.0.0.1:{service.endpoint}" in shown.stdout
    assert "40 requests" in shown.stdout


def test_a_thread_that_leaves_its_slot_is_said_at_once_and_makes_the_run_invalid(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("there is no other cpu")
    server = [written(tmp_path, ELSEWHERE), "{port}", ",".join(map(str, cpus))]
    with launched(tmp_path, "--proof-interval", "0.5", server=server, has_endpoint=False) as service:
        ask(service.ports[1], "/leave")
        service.wait_for_words("the run is INVALID")
        assert service.launcher.poll() is None
        assert service.end() == INVALID, service.said()
    report = service.report()
    assert not report["valid"]
    assert any("instance 1" in reason for reason in report["reasons"])
    assert list(report["service"]["strays"]) == ["1"]
    assert report["service"]["strays"]["1"] >= 1


def test_writing_the_proxys_configuration_or_showing_commands_starts_nothing(tmp_path: Path) -> None:
    for proxy in ("haproxy", "nginx"):
        path = tmp_path / proxy
        code, said, made = code_of(tmp_path, "--write-proxy", str(path), "--proxy", proxy, is_kept=False)
        assert code == 0, said
        assert f":{made.endpoint}" in path.read_text()
        assert f":{made.first + 1}" in path.read_text()
        assert sockets_of(made.launcher.pid) == []
    code, said, made = code_of(tmp_path, "--dry-run", is_kept=False)
    assert code == 0, said
    assert [line for line in said.splitlines() if f" {made.first + 1} slot1" in line]


def test_nginx_serves_and_reloads(tmp_path: Path) -> None:
    need("nginx")
    with launched(tmp_path, "--proxy", "nginx") as service:
        wait_for("both slots", lambda: {ask(service.endpoint, "/who") for _ in range(4)} == {"slot0", "slot1"})
        before = service.pids()
        service.launcher.send_signal(signal.SIGHUP)
        service.wait_for_words("reloaded: every slot has a new server")
        assert not set(before) & set(service.pids())
        assert ask(service.endpoint, "/who") in ("slot0", "slot1")
        assert service.end() == 0, service.said()
    report = service.report()
    assert (report["valid"], report["service"]["reloads"], report["service"]["restarts"]) == (True, 1, {})
    assert (report["service"]["refused"], report["service"]["retries"]) == (None, None)  # it tells nothing


def test_behind_nginx_a_slot_is_reloaded_once_its_requests_are_finished(tmp_path: Path) -> None:
    need("nginx")
    with launched(tmp_path, "--proxy", "nginx") as service, ThreadPoolExecutor() as clients:
        wait_for("both slots", lambda: {ask(service.endpoint, "/who") for _ in range(4)} == {"slot0", "slot1"})
        answers = [begun(service.endpoint, "/who?s=2", clients) for _ in range(4)]
        time.sleep(0.3)
        service.launcher.send_signal(signal.SIGHUP)
        service.wait_for_words("reloaded: every slot has a new server")
        assert [answer.result()[:4] for answer in answers] == ["slot"] * 4
        assert service.end() == 0, service.said()


def test_who_has_taken_the_endpoints_port_is_said_where_a_proxy_cannot_be_started_again(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path, before=()) as service:  # of the same user
        (proxy,) = service.proxies()
        proxy.kill()
        with taken(service.endpoint):
            assert service.launcher.wait(60) == INVALID, service.said()
    (reason,) = service.report()["reasons"]
    assert f"port {service.endpoint} is taken by process {os.getpid()} (" in reason


def taken(port: int) -> socket.socket:
    """A socket that listens there, as soon as nobody else does."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", port))
        time.sleep(0.001)
    raise AssertionError(f"port {port} was never free")


def test_the_proxy_is_started_again_and_knows_the_slots_again(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path) as service:
        before = service.pids()
        (proxy,) = service.proxies()
        proxy.kill()
        service.wait_for_words("the proxy was killed")
        wait_for("the endpoint", lambda: listens("127.0.0.1", service.endpoint))
        assert {ask(service.endpoint, "/who") for _ in range(8)} == {"slot0", "slot1"}
        assert service.pids() == before
        assert service.end() == 0, service.said()


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
def test_nothing_is_left_of_a_launcher_that_is_killed(tmp_path: Path, proxy: str) -> None:
    need(proxy)
    with launched(tmp_path, "--proxy", proxy) as service:
        assert len(sockets_of(service.launcher.pid)) == 3  # status, control, the proxy's folder
        service.launcher.kill()
        service.launcher.wait()
        ports = (*service.ports, service.endpoint)
        wait_for("ports to be free", lambda: not any(listens("127.0.0.1", port) for port in ports))
        wait_for("files to vanish", lambda: sockets_of(service.launcher.pid) == [])


def test_of_a_service_whose_launcher_was_killed_the_requests_are_known(tmp_path: Path) -> None:
    need("haproxy")
    with launched(tmp_path) as service:
        early = ours("report", str(service.run_dir))
        assert early.returncode == REQUEST_ERROR
        assert "did not finish; start it again" in early.stderr
        for _ in range(10):
            assert ask(service.endpoint, "/who")
        events = service.run_dir / "events-so-far.jsonl"
        wait_for("kept requests", lambda: events.exists() and '"event":"counts"' in events.read_text())
        service.launcher.kill()
        service.launcher.wait()
        shown = ours("report", str(service.run_dir))
    assert "(10 items in " in shown.stdout, (shown.stdout, shown.stderr)
    assert "its launcher was killed" in shown.stdout


@pytest.mark.parametrize(
    ("before", "has_runtime_dir"),
    # Without that directory a service of the tests' own user would be seen by other tests, at the same time.
    [((), True), (AS_SOMEBODY, True), (AS_SOMEBODY, False)],
    ids=["tests-user", "somebody", "without-runtime-dir"],
)
def test_whoever_has_started_it_steers_it_with_a_runtime_directory_and_without(
    tmp_path: Path, has_runtime_dir: bool, before: tuple[str, ...]
) -> None:
    need("haproxy")
    environment = {name: value for name, value in os.environ.items() if has_runtime_dir or name != "XDG_RUNTIME_DIR"}
    how: dict[str, Any] = {"before": before, "environment": environment}
    with launched(tmp_path, **how) as service:
        assert ask(service.endpoint, "/who") in ("slot0", "slot1")
        assert "[1] up" in ours("serve", "status", str(service.run_dir), **how).stdout
        asked = ours("serve", "stop", str(service.run_dir), **how)
        assert asked.returncode == 0, asked.stderr
        assert service.launcher.wait(60) == 0, service.said()
    if before:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"/tmp/ipexlaunch-{APART}")


LEAVES_A_CHILD = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer

server = HTTPServer(("127.0.0.1", int(sys.argv[1])), BaseHTTPRequestHandler)
if os.fork() == 0:
    os.setsid()  # what is killed with the server is its process group
    time.sleep(1000)
server.serve_forever()
"""


def test_what_a_server_leaves_in_a_session_of_its_own_does_not_keep_its_port(tmp_path: Path) -> None:
    how = {"server": [written(tmp_path, LEAVES_A_CHILD), "{port}"], "ready_when": "tcp://127.0.0.1:{port}"}
    with launched(tmp_path, **how, count=1, has_endpoint=False) as service:
        (server,) = [each for each in psutil.Process(service.launcher.pid).children() if each.name() != "sh"]
        (left,) = server.children()
        server.kill()
        service.wait_for_words("restart 1 in")
        wait_for("the end of what it left", lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
        wait_for("its port", lambda: listens("127.0.0.1", service.ports[0]))
        assert service.end() == 0, service.said()
    assert service.report()["service"]["restarts"] == {"0": 1}


def test_a_service_that_never_was_one_is_invalid_when_its_time_is_over(tmp_path: Path) -> None:
    how = {"server": [written(tmp_path, "import time; time.sleep(1000)")], "ready_when": "output:never"}
    code, said, _ = code_of(tmp_path, "--duration", "1", **how, has_endpoint=False)
    assert code == INVALID, said
    assert "INVALID: instance 0 was never ready; instance 1 was never ready" in said
