"""The servers of examples/serve: one on a port with others, one in slots behind an endpoint."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT, instances_that_fit, torch_python
from tests.examples.status_channel import without_launcher


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, all at once."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def first_of_free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody has."""
    while True:
        with contextlib.suppress(OSError, OverflowError), contextlib.ExitStack() as stack:
            first = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
            for port in range(first + 1, first + count):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
            return int(first)


def answer_of(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        return str(answer.read().decode().strip())


@contextlib.contextmanager
def started(index: int, *words: str | int) -> Iterator[subprocess.Popen[bytes]]:
    environment = without_launcher(os.environ) | {"IPEXLAUNCH_INDEX": str(index)}
    command = [sys.executable, str(ROOT / "examples/serve/reuse_port.py"), *map(str, words)]
    with subprocess.Popen(command, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.process
def test_the_kernel_deals_connections_to_all_servers_on_a_port() -> None:
    first, second, common = free_ports(3)
    with started(0, first, common) as process, started(1, second, common):
        for index, port in enumerate((first, second)):
            while True:
                with contextlib.suppress(urllib.error.URLError):
                    assert answer_of(port) == f"slot {index}"
                    break
                assert process.poll() is None
                time.sleep(0.05)
        # Each of 64 goes to either: all to one is one case in 2 to the power of 63.
        assert {answer_of(common) for _ in range(64)} == {"slot 0", "slot 1"}
        process.kill()
        process.wait()
        assert {answer_of(common) for _ in range(16)} == {"slot 1"}


TEXTS = ["A broken valve was replaced at night.", "The night crew exchanged a faulty valve.", "Call me Ishmael."]
LIMIT_S = 240.0


def vectors_from(port: int) -> list[list[float]]:
    """The vectors of TEXTS; the request may be sent to another slot."""
    headers = {"Content-Type": "application/json", "X-Idempotent": "1"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/embed", json.dumps(TEXTS).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        vectors: list[list[float]] = json.load(answer)
        return vectors


def similarity(first: list[float], second: list[float]) -> float:
    return sum(a * b for a, b in zip(first, second, strict=True))


def children_of(pid: int, word: str) -> list[int]:
    """Processes that a process has started, with a word in their command line."""
    threads = Path(f"/proc/{pid}/task").iterdir()
    found = [int(child) for thread in threads for child in (thread / "children").read_text().split()]
    return [child for child in found if word.encode() in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
def test_the_embedder_answers_from_every_slot_also_when_one_is_killed(tmp_path: Path) -> None:
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy; apt-get install haproxy")
    count = instances_that_fit()
    first = first_of_free_ports(count + 1)
    endpoint = first + count
    report = tmp_path / "report.json"
    command = [
        *(sys.executable, "-m", "ipexlaunch", "serve", "--python", torch_python(), "--ninstances", str(count)),
        *("--endpoint", f"127.0.0.1:{endpoint}", "--port", str(first), "--report", str(report), "--lost-time", "1"),
        *("--ready-when", "http://127.0.0.1:{port}/health", "--probe-timeout", "30"),
        *("examples/serve/app.py", "{port}"),
    ]
    environment = without_launcher(os.environ) | {"PYTHONPATH": str(ROOT)}
    log = tmp_path / "log"
    with (
        log.open("w") as output,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stderr=output) as launcher,
    ):
        try:
            end = time.monotonic() + LIMIT_S
            while "ready behind" not in log.read_text():
                assert launcher.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.2)
            same, alike, other = vectors_from(endpoint)
            assert similarity(same, same) == pytest.approx(1, abs=1e-5)
            assert similarity(same, alike) > 0.6 > 0.3 > similarity(same, other)
            for _ in range(8):
                assert vectors_from(endpoint)[0] == pytest.approx(same, abs=1e-5)
            servers = children_of(launcher.pid, "app.py")
            assert len(servers) == count
            if count > 1:
                os.kill(servers[0], signal.SIGKILL)
                for _ in range(20):
                    assert vectors_from(endpoint)[0] == pytest.approx(same, abs=1e-5)
            launcher.send_signal(signal.SIGTERM)
            assert launcher.wait(timeout=60) == 0, log.read_text()
        finally:
            launcher.kill()
    document = json.loads(report.read_text())
    assert document["valid"], document["reasons"]
    assert [instance["items"] > 0 for instance in document["instances"]] == [True] * count
