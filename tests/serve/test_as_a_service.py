"""`ipexlaunch serve` as systemd sees it: a socket is told, SIGHUP reloads, SIGTERM ends, servers hear of nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.test_servers import free_ports

SERVER = """
import http.server, json, os, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps([os.getpid(), sorted(os.environ)]).encode())

    def log_request(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Answer).serve_forever()
"""
LIMIT_S = 60.0


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as made:
        made.bind(str(tmp_path / "notify"))
        made.settimeout(LIMIT_S)
        yield made


def heard_until(manager: socket.socket, beginning: str) -> list[str]:
    """The messages up to one that begins so."""
    messages: list[str] = []
    while not messages or not messages[-1].startswith(beginning):
        messages.append(manager.recv(4096).decode())
    return messages


def asked(port: int) -> tuple[int, list[str]]:
    """The server's process and the names of its variables."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT_S) as answer:
        pid, names = json.load(answer)
        return pid, names


@pytest.mark.process
def test_a_service_is_ready_reloads_lives_and_stops(tmp_path: Path, manager: socket.socket) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    (port,) = free_ports(1)
    environment = {
        **os.environ,
        "NOTIFY_SOCKET": str(tmp_path / "notify"),
        "WATCHDOG_USEC": "400000",
        "LISTEN_FDS": "0",
        "XDG_RUNTIME_DIR": str(tmp_path),
    }
    command = [
        *(sys.executable, "-m", "ipexlaunch", "serve", "--ninstances", "1", "--port", str(port)),
        *("--ready-when", "http://127.0.0.1:{port}/", "--lost-time", "1", str(tmp_path / "server.py"), "{port}"),
    ]
    # In a session of its own it has no terminal: SIGHUP then means reload.
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, start_new_session=True, stderr=output) as launcher,
    ):
        try:
            assert heard_until(manager, "READY=1")[-1] == "READY=1\nSTATUS=1 of 1 server ready"
            before, names = asked(port)
            assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "LISTEN_FDS"} & set(names)
            assert {"XDG_RUNTIME_DIR", "OMP_NUM_THREADS"} <= set(names)
            heard_until(manager, "WATCHDOG=1")
            launcher.send_signal(signal.SIGHUP)
            stamp = int(heard_until(manager, "RELOADING=1")[-1].partition("MONOTONIC_USEC=")[2])
            assert 0 <= time.monotonic_ns() // 1000 - stamp < LIMIT_S * 1e6
            heard_until(manager, "READY=1")
            after, _ = asked(port)
            assert after != before
            launcher.send_signal(signal.SIGTERM)
            heard_until(manager, "STOPPING=1")
            code = launcher.wait(timeout=LIMIT_S)
        finally:
            launcher.kill()
    assert code == 0, log.read_text()
