"""Inside a guest of four nodes: `ipexlaunch serve` under load from idle cpus, while a server is killed.

    python -m tests.guest.serve_view [--seconds 600 --every 10]

Kills one server once, or each in turn at that interval. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.guest.shape import Shape
from tests.guest.touch_memory import anonymous_pages, threads_of

SHAPE = Shape(about="four nodes of two cores", sockets=4, nodes_per_socket=1, cores_per_node=2)
SERVER = str(Path(__file__).parents[1] / "serve/slot_server.py")
PROXY_CPUS = {0}
"""The first of the cores that --reserve-cores 1 leaves on each node."""
CLIENT_CPUS = {4, 6}
ENDPOINT, FIRST_PORT = 8000, 8001
RATE, SECONDS, CLIENTS = 10, 5.0, 8
"""Requests a second, due at their times whatever became of those before; as many at once as there are clients."""
KILLED = 1
KILLED_AFTER_S = 2.0
WAIT_S = 200.0
OPTIONS = (
    *("--memory-allocator", "default", "--omp-runtime", "default", "--lost-time", "1"),
    *("--reserve-cores", "1", "--proxy-cores", "1", "--endpoint", f"127.0.0.1:{ENDPOINT}"),
    *("--port", str(FIRST_PORT), "--ready-when", "http://127.0.0.1:{port}/health", "--probe-timeout", "30"),
    *("--proof-interval", "5"),
)

Json = object


def main() -> None:
    """Collect and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--every", type=float, help="between two kills, of one server after the other")
    asked_for = parser.parse_args()
    kills = [(KILLED_AFTER_S, KILLED)]
    if asked_for.every is not None:
        kills = [(asked_for.every * turn, turn % 4) for turn in range(1, int(asked_for.seconds / asked_for.every))]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        report, log = Path(directory, "report.json"), Path(directory, "log")
        words = [*OPTIONS, "--report", str(report), SERVER, "{port}", "slot{index}"]
        with log.open("w") as output:
            launcher = subprocess.Popen(
                [sys.executable, "-m", "ipexlaunch", "serve", *words],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, "HOME": "/dev/shm", "XDG_RUNTIME_DIR": "/dev/shm"},
            )  # fmt: skip
        found: dict[str, Json] = {}
        try:
            wait(lambda: "4 servers ready" in log.read_text() or launcher.poll() is not None)
            if launcher.poll() is None:
                found = loaded(launcher.pid, asked_for.seconds, kills)
            launcher.terminate()
            found["status"] = launcher.wait(WAIT_S)
        except Exception as error:  # the log tells more
            found["problem"] = repr(error)
        finally:
            launcher.kill()
        found["log"] = log.read_text()
        found["report"] = json.loads(report.read_text()) if report.exists() else None
    print(json.dumps(found))


def loaded(launcher: int, seconds: float, kills: Sequence[tuple[float, int]]) -> dict[str, Json]:
    """What has become of requests, and where servers and proxy are after them.

    Args:
        launcher: its process.
        seconds: for how long requests come.
        kills: seconds from the first request to the slot whose server is killed then.
    """
    os.sched_setaffinity(0, CLIENT_CPUS)
    before = [pid_in(slot) for slot in range(4)]
    begun = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = [clients.submit(asked, begun + number / RATE) for number in range(int(RATE * seconds))]
        for after_s, slot in kills:
            time.sleep(max(0.0, begun + after_s - time.monotonic()))
            wait(lambda slot=slot: answers_in(slot))  # type: ignore[misc]  # it returns what it is given
            os.kill(pid_in(slot), signal.SIGKILL)
        counted = Counter(answer.result() for answer in answers)
    wait(lambda: all(map(answers_in, range(4))))
    after = [pid_in(slot) for slot in range(4)]
    return {
        "before": before,
        "after": after,
        "answers": dict(counted),
        "servers": [{"threads": threads_of(pid), "anonymous_pages": anonymous_pages(pid)} for pid in after],
        "proxy": [thread for pid in children_of(launcher, "haproxy") for thread in threads_of(pid)],
    }


def asked(due: float) -> str:
    """Who has answered one request that is sent at its time; else why nobody has."""
    time.sleep(max(0.0, due - time.monotonic()))
    try:
        status, text = get(ENDPOINT, "/who?cpu=0.005")
    except OSError as error:
        return repr(error)
    return text if status == 200 else f"{status}"


def get(port: int, path: str) -> tuple[int, str]:
    """Status and text of an answer."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        line.request("GET", path)
        response = line.getresponse()
        return response.status, response.read().decode()
    finally:
        line.close()


def pid_in(slot: int) -> int:
    """Of the server of a slot."""
    return int(get(FIRST_PORT + slot, "/pid")[1])


def answers_in(slot: int) -> bool:
    """Whether there is one."""
    try:
        return bool(pid_in(slot))
    except (OSError, http.client.HTTPException):
        return False


def children_of(process: int, name: str) -> list[int]:
    """Children of this name, of any thread of a process."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    pids = [int(pid) for each in lists for pid in each.read_text().split()]
    return [pid for pid in pids if Path(f"/proc/{pid}/comm").read_text().strip() == name]


def wait(is_so: Callable[[], object]) -> None:
    """Until it is so.

    Raises:
        TimeoutError: it has not become so.
    """
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise TimeoutError("it did not happen")
        time.sleep(0.2)


if __name__ == "__main__":
    main()
