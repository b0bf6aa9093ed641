"""A stand for tests: some servers, a proxy before them, and who kills and restarts them."""

from __future__ import annotations

import contextlib
import http.client
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.serve.ask_proxy import HaproxySocket
from ipexlaunch.serve.endpoint import Endpoint, Slot
from ipexlaunch.serve.find_proxy import check_config, find_proxy
from ipexlaunch.serve.haproxy_config import WAIT_SCRIPT, haproxy_config
from ipexlaunch.serve.nginx_config import nginx_config
from tests.several_hosts.lab import wait_for

SERVER = str(Path(__file__).with_name("slot_server.py"))


def endpoint_of(port: int, slots: tuple[Slot, ...], address: str = "127.0.0.1") -> Endpoint:
    """The plainest: nobody manages it, and nothing is asked of the servers but their ports."""
    return Endpoint(
        address=address,
        port=port,
        slots=slots,
        balance="leastconn",
        health_path=None,
        affinity_header=None,
        threads=1,
        drain_s=30.0,
        probe_interval_s=5.0,
        probe_timeout_s=2.0,
        probe_failures=3,
        admin_socket=None,
        wait_script=None,
        wait_s=60.0,
    )


def need(program: str) -> None:
    """Skip where a proxy is not installed."""
    if shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin") is None:
        pytest.skip(f"{program} is not installed")


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """Ports that nobody listens on just now, and that the kernel gives to nobody's client while a server is away."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found: list[int] = []
    for port in random.sample(range(10_000, 32_000), 1000):  # below ip_local_port_range
        with socket.socket(family) as line, contextlib.suppress(OSError):
            line.bind((host, port))
            found.append(port)
        if len(found) == count:
            return found
    raise AssertionError(f"there are no {count} free ports on {host}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    status: int
    slot: str
    text: str


@dataclass
class Server:
    """One small server, which can be killed and started again."""

    slot: Slot
    words: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = [sys.executable, SERVER, str(self.slot.port), f"slot{self.slot.index}", "--host", self.slot.host]
        self.process = subprocess.Popen([*words, *self.words])

    def wait_until_ready(self) -> None:
        wait_for(f"slot {self.slot.index}", lambda: listens(self.slot.host, self.slot.port))

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def listens(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError:
        return False
    return True


class Stand:
    """Servers, their endpoint and its proxy."""

    def __init__(self, folder: Path, endpoint: Endpoint, servers: list[Server]) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.servers = servers
        self.proxy: subprocess.Popen[bytes] | None = None
        self.socket = HaproxySocket(endpoint.admin_socket or "")

    def start_haproxy(self) -> None:
        if self.endpoint.wait_script is not None:
            Path(self.endpoint.wait_script).write_text(WAIT_SCRIPT, encoding="utf-8")
        self._start("haproxy", haproxy_config(self.endpoint))

    def start_nginx(self, drained: frozenset[int] = frozenset()) -> None:
        self._start("nginx", self.nginx_text(drained))

    def nginx_text(self, drained: frozenset[int]) -> str:
        # Root's nginx has workers of another user, who may not enter a test's folder.
        return nginx_config(self.endpoint, drained, pwd.getpwuid(0).pw_name if os.getuid() == 0 else None)

    def _start(self, name: Any, text: str) -> None:
        path = self.folder / f"{name}.cfg"
        path.write_text(text, encoding="utf-8")
        found = find_proxy(name)
        check_config(found, str(path), str(self.folder))
        self.proxy = subprocess.Popen(found.words(str(path), str(self.folder)))
        wait_for("the proxy", lambda: listens(self.endpoint.address, self.endpoint.port))
        if name == "haproxy" and self.endpoint.admin_socket is not None:  # it is there a little later
            wait_for("its socket", Path(self.endpoint.admin_socket).exists)

    def say_ready(self) -> None:
        for server in self.servers:
            self.socket.set_state(server.slot.index, "ready")

    def close(self) -> None:
        for server in self.servers:
            server.kill()
        if self.proxy is not None:
            self.proxy.terminate()
            try:
                self.proxy.wait(10)
            except subprocess.TimeoutExpired:
                self.proxy.kill()
                self.proxy.wait()

    def ask(
        self, path: str, method: str = "GET", headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        line = http.client.HTTPConnection(self.endpoint.address, self.endpoint.port, timeout=60)
        try:
            line.request(method, path, body, dict(headers or {}))
            response = line.getresponse()
            return Answer(response.status, response.getheader("X-Slot") or "", response.read().decode())
        finally:
            line.close()

    def slots_of(self, count: int, path: str = "/who", headers: Mapping[str, str] | None = None) -> list[str]:
        return [self.ask(path, headers=headers).slot for _ in range(count)]


@contextlib.contextmanager
def stand(
    folder: Path,
    count: int,
    change: Callable[[Endpoint], Endpoint] = lambda endpoint: endpoint,
    host: str = "127.0.0.1",
    words: tuple[str, ...] = (),
) -> Iterator[Stand]:
    """So many servers that are ready, and an endpoint that a launcher would manage; no proxy yet."""
    port, *ports = free_ports(count + 1, host)
    slots = tuple(Slot(index=index, host=host, port=port) for index, port in enumerate(ports))
    plain = endpoint_of(port, slots, host)
    endpoint = replace(plain, health_path="/health", admin_socket=str(folder / "a.sock"))
    made = Stand(folder, change(endpoint), [Server(slot, words) for slot in slots])
    try:
        for server in made.servers:
            server.start()
        for server in made.servers:
            server.wait_until_ready()
        yield made
    finally:
        made.close()


def unmanaged(endpoint: Endpoint) -> Endpoint:
    """As --write-proxy has it."""
    return replace(endpoint, admin_socket=None)


def until(what: str, is_so: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait, as tests of this folder do."""
    wait_for(what, is_so, seconds)
