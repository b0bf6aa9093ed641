"""One `ipexlaunch serve --endpoint`, and what is seen of it from outside."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.serve.stand import SERVER, free_ports, listens, need
from tests.several_hosts.lab import wait_for


class Service:
    """Servers behind HAProxy, kept by a launcher."""

    def __init__(self, folder: Path, count: int = 2, server_options: tuple[str, ...] = ()) -> None:
        """Start it; it is not ready yet.

        Args:
            folder: where its run directory lies.
            count: of servers.
            server_options: of each server, see slot_server.py.
        """
        self.folder = folder
        self.first, self.endpoint = neighbours_and_one(count)
        self.ports = [self.first + index for index in range(count)]
        words = ["--ninstances", str(count), "--port", str(self.first), "--run-dir", str(folder / "run")]
        words += ["--endpoint", f"127.0.0.1:{self.endpoint}", "--ready-when", "http://127.0.0.1:{port}/health"]
        server = [SERVER, "{port}", "slot{index}", *server_options]
        self.log = open(folder / "log", "wb")  # noqa: SIM115
        self.launcher = subprocess.Popen(
            [sys.executable, "-m", "ipexlaunch", "serve", *words, *server],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # without a terminal SIGHUP means reload
        )

    @property
    def url(self) -> str:
        """Of the endpoint."""
        return f"http://127.0.0.1:{self.endpoint}"

    def wait_until_ready(self) -> None:
        """All servers and the endpoint answer."""
        for port in (*self.ports, self.endpoint):
            wait_for(f"port {port}", lambda port=port: self._answers(port))

    def pid(self, index: int) -> int | None:
        """Of the process that answers in a slot; None where none does."""
        try:
            return int(ask(self.ports[index], "/pid"))
        except (OSError, http.client.HTTPException):
            return None

    def kill(self, index: int) -> None:
        """kill -9 of a server that answers."""
        wait_for(f"slot {index}", lambda: self.pid(index) is not None)
        pid = self.pid(index)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    def pids(self) -> list[int | None]:
        """Of every slot."""
        return [self.pid(index) for index in range(len(self.ports))]

    def is_reloaded(self, before: list[int | None]) -> bool:
        """Whether other processes than these answer in every slot.

        Args:
            before: what `pids` gave.
        """
        now = self.pids()
        return None not in now and not set(now) & set(before)

    def processes(self) -> list[psutil.Process]:
        """All that the launcher has started, and itself."""
        launcher = psutil.Process(self.launcher.pid)
        return [launcher, *launcher.children(recursive=True)]

    @staticmethod
    def living(processes: list[psutil.Process]) -> list[psutil.Process]:
        """Those that still run; one that waits to be collected, by whoever is init here, does not.

        Args:
            processes: what `processes` gave.
        """
        return [one for one in processes if one.is_running() and status_of(one) != psutil.STATUS_ZOMBIE]

    def sockets(self) -> list[Path]:
        """Those that it has on disks now: its own two and the proxy's; others may run beside it."""
        runtime = Path(os.environ["XDG_RUNTIME_DIR"])
        proxies = [each for each in psutil.Process(self.launcher.pid).children() if each.name() == "haproxy"]
        folders = {Path(word).parent for each in proxies for word in each.cmdline() if word.endswith(".cfg")}
        own = [path for path in runtime.rglob("*") if path.name.startswith(f"{self.launcher.pid}-")]
        return [path for path in (*own, *(path for folder in folders for path in folder.iterdir())) if is_socket(path)]

    def close(self) -> None:
        """End it, whatever it does."""
        if self.launcher.poll() is None:
            self.launcher.terminate()
            try:
                self.launcher.wait(60)
            except subprocess.TimeoutExpired:
                self.launcher.kill()
        self.launcher.wait()
        self.log.close()

    def said(self) -> str:
        """Its output so far."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def _answers(self, port: int) -> bool:
        assert self.launcher.poll() is None, self.said()
        try:
            return ask(port, "/health") != ""
        except (OSError, http.client.HTTPException):
            return False


@contextlib.contextmanager
def service(folder: Path, count: int = 2, server_options: tuple[str, ...] = ()) -> Iterator[Service]:
    """A service that is ready."""
    need("haproxy")
    made = Service(folder, count, server_options)
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.close()


def neighbours_and_one(count: int) -> tuple[int, int]:
    """A port with free ones behind it, so many in all, and one more."""
    ports = free_ports(100)
    for first in ports:
        behind = range(first + 1, first + count)
        other = next(port for port in ports if port not in (first, *behind))
        if not any(listens("127.0.0.1", port) for port in behind):
            return first, other
    raise AssertionError("there are no free ports")


def ask(port: int, path: str) -> str:
    """The text of an answer with 200; "" for another status."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        line.request("GET", path)
        response = line.getresponse()
        text = response.read().decode()
        return text if response.status == 200 else ""
    finally:
        line.close()


def status_of(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


def is_socket(path: Path) -> bool:
    try:
        return stat.S_ISSOCK(path.lstat().st_mode)
    except OSError:
        return False
