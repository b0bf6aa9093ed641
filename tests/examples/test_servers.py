"""The servers of examples/serve."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from tests.examples.run_examples import ROOT
from tests.examples.status_channel import without_launcher


def free_ports(count: int) -> list[int]:
    """Ports that nobody has, all at once."""
    with contextlib.ExitStack() as stack:
        return [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


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
