"""The same as the tests, for as long and as often as one likes, with figures.

    python -m tests.serve.load kills --seconds 600 --every 10
    python -m tests.serve.load reloads --seconds 60
    python -m tests.serve.load launcher

kills: kill -9 of one server after the other; how long each slot was away, with the time that its program takes to
begin. reloads: one rolling restart after the other. launcher: kill -9 of it, and when nothing is left. Exit code 1
where a request failed. Needs haproxy and k6.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.serve.load.k6 import K6
from tests.serve.load.service import Service, service
from tests.serve.stand import listens
from tests.several_hosts.lab import wait_for


def main() -> int:
    """Run one of them; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.serve.load", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=("kills", "reloads", "launcher"))
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0, help="of load (default: %(default)s)")
    parser.add_argument("--every", type=float, default=10.0, help="seconds between two (default: %(default)s)")
    parser.add_argument("--rate", type=int, default=50, help="requests a second (default: %(default)s)")
    parser.add_argument("--load-s", type=float, default=0.5, help="that a server needs to begin (default: %(default)s)")
    parser.add_argument("--reuse", action="store_true", help="clients keep their connections")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "runtime").mkdir(mode=0o700)
        os.environ["XDG_RUNTIME_DIR"] = str(folder / "runtime")
        with service(folder, words.slots, ("--load", str(words.load_s))) as served:
            if words.what == "launcher":
                return kill_launcher(served)
            load = K6(folder, f"{served.url}/who?s=0.02", words.rate, words.seconds, reuse=words.reuse)
            try:
                act = kills if words.what == "kills" else reloads
                act(served, load, words.seconds, words.every)
                counted, said = load.result()
            finally:
                load.close()
            print(
                f"{counted.requests} requests, {counted.failed} failed, {counted.dropped} not sent; "
                f"p50 {counted.p50_ms:.1f} ms, p99 {counted.p99_ms:.1f} ms, highest {counted.highest_ms:.1f} ms"
            )
            if counted.failed or counted.dropped:
                print(said)
        print(served.said())
        return 1 if counted.failed or counted.dropped else 0


def kills(served: Service, load: K6, seconds: float, every: float) -> None:
    """kill -9 of one after the other, at these times; how long each was away."""
    began, away, number = time.monotonic(), [], 0
    while (number + 1) * every < seconds and not load.is_over():
        number += 1
        time.sleep(max(0.0, began + number * every - time.monotonic()))
        index = number % len(served.ports)
        served.kill(index)
        killed = time.monotonic()
        wait_for(f"slot {index}", lambda index=index: served.pid(index) is not None)
        away.append(time.monotonic() - killed)
        print(f"{killed - began:.1f} s: slot {index} was away for {away[-1]:.2f} s")
    print(f"{number} kills; a slot was away for {statistics.median(away):.2f} s, at most {max(away):.2f} s")


def reloads(served: Service, load: K6, seconds: float, every: float) -> None:
    """One rolling restart after the other."""
    began, number = time.monotonic(), 0
    while time.monotonic() + every < began + seconds and not load.is_over():
        before = served.pids()
        served.launcher.send_signal(signal.SIGHUP)
        wait_for("new servers", lambda before=before: served.is_reloaded(before))
        number += 1
        time.sleep(max(0.0, began + number * every - time.monotonic()))
    print(f"{number} reloads of {len(served.ports)} servers")


def kill_launcher(served: Service) -> int:
    """kill -9 of it, and when what was gone; the exit code."""
    processes, sockets = served.processes(), served.sockets()
    killed = time.monotonic()
    served.launcher.kill()
    served.launcher.wait()
    wait_for("processes to end", lambda: not served.living(processes))
    ended = time.monotonic() - killed
    ports = [*served.ports, served.endpoint]
    wait_for("ports to close", lambda: not [port for port in ports if listens("127.0.0.1", port)])
    closed = time.monotonic() - killed
    wait_for("sockets to vanish", lambda: not [path for path in sockets if path.exists()])
    gone = time.monotonic() - killed
    print(
        f"gone after: {len(processes)} processes {ended:.2f} s, {len(ports)} ports {closed:.2f} s, sockets {gone:.2f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
