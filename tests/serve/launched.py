"""A service as its user starts and steers it: the launcher, its servers, and what is seen of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil

from tests.serve.load.service import ask, neighbours_and_one
from tests.serve.stand import SERVER
from tests.several_hosts.lab import wait_for

OURS = (sys.executable, "-m", "ipexlaunch")

HEALTH = "http://127.0.0.1:{port}/health"

APART = 1_000_000 + os.getpid()
AS_SOMEBODY: tuple[str, ...] = ("unshare", "--user", f"--map-user={APART}", f"--map-group={APART}")
"""Before a command: it is run by a user of its own, who sees no service of others, not even of root."""
if subprocess.run([*AS_SOMEBODY, "true"], capture_output=True).returncode:
    AS_SOMEBODY = ()  # such as in a container that must make none

SLOT_SERVER = (SERVER, "{port}", "slot{index}")


class Launched:
    """One `ipexlaunch serve`."""

    def __init__(
        self,
        folder: Path,
        *options: str,
        server: Sequence[str] = SLOT_SERVER,
        ready_when: str = HEALTH,
        count: int = 2,
        has_endpoint: bool = True,
        is_kept: bool = True,
        before: Sequence[str] = AS_SOMEBODY,
        environment: Mapping[str, str] | None = None,
        has_terminal: bool = False,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        """Start it; it is not ready yet.

        Args:
            folder: where its run directory, report and output lie.
            options: more of them.
            server: the program and its arguments.
            ready_when: what says that a server is ready.
            count: of servers.
            has_endpoint: whether there is a proxy in front of them.
            is_kept: whether it has a run directory and a report.
            before: words before the command.
            environment: all variables of the launcher; None for those of the tests.
            has_terminal: whether it may take that of the words before it, or of the tests.
            stdin: of the launcher.
        """
        self.first, self.endpoint = neighbours_and_one(count)
        self.ports = [self.first + index for index in range(count)]
        self.run_dir, self.report_file, self.log_file = folder / "run", folder / "report.json", folder / "log"
        words = ["--ninstances", str(count), "--ready-when", ready_when]
        words += ["--port", str(self.first)] if any("{port}" in word for word in server) else []
        words += ["--run-dir", str(self.run_dir), "--report", str(self.report_file)] if is_kept else []
        words += ["--endpoint", f"127.0.0.1:{self.endpoint}"] if has_endpoint else []
        with self.log_file.open("w") as log:
            self.launcher = subprocess.Popen(
                [*before, *OURS, "serve", *words, *options, *server],
                stdin=stdin,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=not has_terminal,
            )

    def wait_until_ready(self) -> None:
        """Every server is."""
        self.wait_for_words(f"{len(self.ports)} server")

    def wait_for_words(self, words: str) -> None:
        """Until it has said so."""

        def is_so() -> bool:
            has_ended = self.launcher.poll() is not None
            if words in self.said():
                return True
            assert not has_ended, self.said()
            return False

        wait_for(words, is_so)

    def said(self) -> str:
        """Its output so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def pid(self, place: int) -> int | None:
        """Of the server that answers in a slot; None where none does."""
        try:
            return int(ask(self.ports[place], "/pid"))
        except (OSError, http.client.HTTPException):
            return None

    def pids(self) -> list[int | None]:
        """Of all."""
        return [self.pid(place) for place in range(len(self.ports))]

    def proxies(self) -> list[psutil.Process]:
        """The proxy's processes."""
        children = psutil.Process(self.launcher.pid).children()
        return [each for each in children if each.name() in ("haproxy", "nginx")]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after this signal."""
        self.launcher.send_signal(number)
        return self.launcher.wait(60)

    def report(self) -> dict[str, Any]:
        """Of --report."""
        written: dict[str, Any] = json.loads(self.report_file.read_text())
        return written

    def close(self) -> None:
        """End it, whatever it does."""
        if self.launcher.poll() is None:
            self.launcher.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.launcher.wait(20)
        self.launcher.kill()
        self.launcher.wait()


@contextlib.contextmanager
def launched(folder: Path, *options: str, **how: Any) -> Iterator[Launched]:
    """A service that is ready; see Launched."""
    made = Launched(folder, *options, **how)
    try:
        made.wait_until_ready()
        yield made
    finally:
        made.close()


def ours(
    *words: str, before: Sequence[str] = AS_SOMEBODY, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """What another command of ours does meanwhile."""
    return subprocess.run([*before, *OURS, *words], capture_output=True, text=True, timeout=100, env=environment)


def code_of(folder: Path, *options: str, **how: Any) -> tuple[int, str, Launched]:
    """Exit code and output of a service that ends by itself."""
    made = Launched(folder, *options, **how)
    try:
        code = made.launcher.wait(100)
    finally:
        made.close()
    return code, made.said(), made


def begun(port: int, path: str, clients: ThreadPoolExecutor) -> Future[str]:
    """A request that is on its way; "" for a status other than 200."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    line.request("GET", path)

    def answer() -> str:
        response = line.getresponse()
        text = response.read().decode()
        line.close()
        return text if response.status == 200 else ""

    return clients.submit(answer)


def sockets_of(launcher: int) -> list[str]:
    """What a launcher has where the runs of this user have their sockets, and the folders of proxies."""
    place = Path(os.environ["XDG_RUNTIME_DIR"], "ipexlaunch")
    names = sorted(path.name for path in place.iterdir()) if place.is_dir() else []
    return [name for name in names if name.startswith((f"{launcher}-", "proxy-"))]
