"""What an endpoint in front of pinned servers gives, and what it costs.

    python benchmarks/serve.py --seconds 3 --pairs 10

First: two servers, of which the second takes twice as long for everything. Each works on four requests at a time, of
20 and 40 ms, so what both can do together is known, and measured with clients on each. Then the same clients ask the
endpoint, which sends a request to the slot with the fewest in flight; and one that sends them to each in turn.

Second: two servers that compute, pinned alike. Clients on each of them, where nothing else runs; then, in turn, as
many clients on the endpoint of `ipexlaunch serve`. On a machine that is full the launcher, the proxy and its
connections take from the servers what they use, so the ratio of the rates is their cost. Where others use the machine
rates waver; cpu time for each request, of servers, launcher and proxy, does not, and is counted beside them.

Clients send the next request when they have the answer to the last one (a closed loop): that measures rates. They run
beside the servers, on the same cores, in both cases. Needs haproxy.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
SERVER = str(ROOT / "tests/serve/slot_server.py")
SLOTS = 2
CLIENTS = 8
"""On each slot, or this many times the slots on the endpoint."""


@dataclass
class Client:
    """One connection after another to one port, and how many answers it got."""

    port: int
    path: str
    answers: int = 0

    async def ask_until(self, end: float) -> None:
        """Ask again and again until this time of the monotonic clock."""
        request = f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
        while time.monotonic() < end:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            stays = True
            while stays and time.monotonic() < end:
                writer.write(request)
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                if not head.startswith(b"http/1.1 200"):
                    raise RuntimeError(f"port {self.port} answers {head.splitlines()[0].decode()}")
                await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
                stays = b"connection: close" not in head
                self.answers += 1
            writer.close()


@dataclass
class Window:
    """What clients got in some seconds, to the last answer."""

    answers: int
    seconds: float

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.seconds


def measure(ports: Sequence[int], clients: int, path: str, seconds: float) -> Window:
    """So many clients on each port."""

    async def ask() -> int:
        all_clients = [Client(port, path) for port in ports for _ in range(clients)]
        end = time.monotonic() + seconds
        await asyncio.gather(*(client.ask_until(end) for client in all_clients))
        return sum(client.answers for client in all_clients)

    began = time.monotonic()
    return Window(asyncio.run(ask()), time.monotonic() - began)


@dataclass
class Service:
    """`ipexlaunch serve --endpoint`."""

    launcher: psutil.Popen
    first: int
    endpoint: int

    @property
    def ports(self) -> list[int]:
        """Of the servers."""
        return [self.first + index for index in range(SLOTS)]


@contextlib.contextmanager
def service(balance: str, *server_words: str) -> Iterator[Service]:
    with tempfile.TemporaryDirectory() as folder:
        first, endpoint = free_port(), free_port()
        words = ["--ninstances", str(SLOTS), "--port", str(first), "--run-dir", f"{folder}/run", "--balance", balance]
        words += ["--endpoint", f"127.0.0.1:{endpoint}", "--ready-when", "http://127.0.0.1:{port}/health"]
        with open(f"{folder}/log", "wb") as log:
            launcher = psutil.Popen(
                [sys.executable, "-m", "ipexlaunch", "serve", *words, SERVER, "{port}", "slot{index}", *server_words],
                env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=log, stderr=log,
            )  # fmt: skip
        made = Service(launcher, first, endpoint)
        try:
            try:
                wait_until_open([*made.ports, endpoint])
            except RuntimeError as error:
                raise RuntimeError(f"{error}: {Path(folder, 'log').read_text(encoding='utf-8')}") from error
            yield made
        finally:
            launcher.terminate()
            launcher.wait()


@contextlib.contextmanager
def bare_servers(cpus: Sequence[str]) -> Iterator[tuple[list[int], list[psutil.Process]]]:
    """The same servers on the same cpus, started by hand."""
    ports = [free_port() for _ in cpus]
    words = [["taskset", "-c", cpu, sys.executable, SERVER, str(port)] for cpu, port in zip(cpus, ports, strict=True)]
    # Each in a session of its own, as the launcher starts them: where others use the machine, the kernel divides the
    # cpus between sessions first (sched(7), autogroup).
    processes: list[psutil.Process] = [
        psutil.Popen([*line, f"slot{index}"], start_new_session=True) for index, line in enumerate(words)
    ]
    try:
        wait_until_open(ports)
        yield ports, list(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def free_port() -> int:
    """One with a free neighbour, which the kernel gives to nobody's client (ip_local_port_range)."""
    for port in random.sample(range(10_000, 32_000), 1000):
        with socket.socket() as line, socket.socket() as other, contextlib.suppress(OSError):
            line.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 1))
            return port
    raise RuntimeError("there are no free ports")


def wait_until_open(ports: Sequence[int]) -> None:
    for port in ports:
        until = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            if time.monotonic() > until:
                raise RuntimeError(f"nothing listens on port {port}")
            time.sleep(0.05)
    time.sleep(1.0)  # what begins has begun


def planned_cpus() -> list[str]:
    """Of each slot."""
    words = [sys.executable, "-m", "ipexlaunch", "plan", "--ninstances", str(SLOTS), "--format", "json"]
    plan = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    return [str(instance["cpus"]) for instance in json.loads(plan.stdout)["instances"]]


def half_speed(seconds: float) -> dict[str, float]:
    words = ("--at-once", "4", "--half-speed", f"slot{SLOTS - 1}")
    found = {}
    for balance in ("leastconn", "roundrobin"):
        with service(balance, *words) as served:
            each = [measure([port], CLIENTS, "/who?s=0.02", seconds).rate for port in served.ports]
            both = measure([served.endpoint], CLIENTS * SLOTS, "/who?s=0.02", seconds).rate
        print(
            f"{balance:<11} slots alone {' + '.join(f'{one:.1f}' for one in each)} = {sum(each):.1f} requests/s, "
            f"endpoint {both:.1f}: {both / sum(each):.3f} of the sum"
        )
        found[balance] = both / sum(each)
    return found


def cost(seconds: float, pairs: int, compute_s: float) -> dict[str, float]:
    """Both ways in turn, for seconds each, while the other has nothing to do."""
    path = f"/who?cpu={compute_s:g}"
    windows: dict[str, list[Window]] = {"bare": [], "served": []}
    used = {"bare": 0.0, "served": 0.0, "launcher": 0.0, "proxy": 0.0}
    passed_s = 0.0
    with service("leastconn") as served, bare_servers(planned_cpus()) as (ports, processes):
        proxies = [one for one in served.launcher.children(recursive=True) if one.name() == "haproxy"]
        servers = [one for one in served.launcher.children(recursive=True) if SERVER in one.cmdline()]
        counted: dict[str, Sequence[psutil.Process]] = {
            "bare": processes,
            "served": servers,
            "launcher": [served.launcher],
            "proxy": proxies,
        }
        for number in range(pairs):
            for way in ("bare", "served") if number % 2 == 0 else ("served", "bare"):
                before, began = {name: cpu_s(found) for name, found in counted.items()}, time.monotonic()
                if way == "bare":
                    windows[way].append(measure(ports, CLIENTS, path, seconds))
                    used[way] += cpu_s(processes) - before[way]
                    continue
                windows[way].append(measure([served.endpoint], CLIENTS * SLOTS, path, seconds))
                passed_s += time.monotonic() - began
                for name in ("served", "launcher", "proxy"):
                    used[name] += cpu_s(counted[name]) - before[name]
    pairs_of = zip(windows["bare"], windows["served"], strict=True)
    ratios = [endpoint.rate / servers.rate for servers, endpoint in pairs_of]
    each = {way: statistics.mean(window.rate for window in found) for way, found in windows.items()}
    answers = {way: sum(window.answers for window in found) for way, found in windows.items()}
    bare = used["bare"] / answers["bare"]
    whole = (used["served"] + used["launcher"] + used["proxy"]) / answers["served"]
    result = {
        "rate_ratio": statistics.median(ratios),
        "cpu_ratio": bare / whole,
        "launcher_cores": used["launcher"] / passed_s,
        "proxy_cores": used["proxy"] / passed_s,
    }
    print(
        f"{1000 * compute_s:g} ms of cpu each, {pairs} pairs of {seconds:g} s: servers {each['bare']:.2f} requests/s, "
        f"endpoint {each['served']:.2f}; median of the ratios {result['rate_ratio']:.4f} "
        f"({min(ratios):.3f} to {max(ratios):.3f})\n"
        f"cpu for a request: {1000 * bare:.3f} ms in the servers alone, {1000 * whole:.3f} ms with launcher and proxy: "
        f"{result['cpu_ratio']:.4f}\n"
        f"of a core: launcher {result['launcher_cores']:.2%}, proxy {result['proxy_cores']:.2%}"
    )
    return result


def cpu_s(processes: Sequence[psutil.Process]) -> float:
    """What these processes have used."""
    times = [process.cpu_times() for process in processes]
    return float(sum(one.user + one.system for one in times))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement (default: %(default)s)")
    parser.add_argument(
        "--pairs", type=int, default=10, help="bare and served, of the second part (default: %(default)s)"
    )
    parser.add_argument("--compute-ms", type=float, default=20.0, help="of each request there (default: %(default)s)")
    parser.add_argument("--only", choices=("half-speed", "cost"), help="one part")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    if shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin") is None:
        parser.error("haproxy is not installed")
    print(f"{os.cpu_count()} cpus, load average {os.getloadavg()[0]:.2f}")
    found: dict[str, float] = {}
    if options.only != "cost":
        found |= half_speed(3 * options.seconds)
    if options.only != "half-speed":
        found |= cost(options.seconds, options.pairs, options.compute_ms / 1000)
    if options.json:
        Path(options.json).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
