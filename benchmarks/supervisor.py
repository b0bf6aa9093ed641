"""What the supervisor itself costs: 64 workers that print a line a second, and one that prints as fast as it can.

    python benchmarks/supervisor.py --json supervisor.json

64 workers that count ten times a second are run with and without a run directory's growing file of events, too.

The workers are shells, so that 64 fit any machine. CPU time and resident set are those of the launcher's process alone
(getrusage and VmHWM), between the moment all workers run and their end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LAUNCHER = """
import json, os, resource, sys, time
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.read_host_counters import count_oom_kills
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.cli.run.keep_run import EventsObserver
from ipexlaunch.launch.background_writer import WritingThread
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.plan import Instance, Plan, Request
from ipexlaunch.launch.supervise import SupervisorCallbacks, OutputOptions, supervise

script, count, interval, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
instances = tuple(Instance(index=i, cpus=frozenset(), nodes=frozenset(), threads=1) for i in range(count))
plan = Plan(topology="0" * 16, request=Request(), instances=instances, idle_cpus=frozenset())
launch = make_launch(plan, Job(program="sh", arguments=("-c", script), kind="executable"), os.environ)
adopt_orphans()
inspector = Inspector()
callbacks = SupervisorCallbacks(bind_thread=held_to, read_placement=inspector, read_placement_if_cheap=inspector.glance,
              descendants=descendants, oom_kills=count_oom_kills, tell=print)
observers = [EventsObserver(folder, WritingThread("events"), lambda: None, print)] if folder else []
def used():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
before = used()
run = supervise(launch, callbacks, os.environ, Limits(), OutputOptions(outputs=(1, 1)), observers, interval or None)
peak = [line for line in open("/proc/self/status") if line.startswith("VmHWM")][0]
figures = {"cpu_s": used() - before, "wall_s": run.ended - run.started, "peak_mb": int(peak.split()[1]) / 1024}
os.write(2, json.dumps(figures).encode())
"""


def measure(script: str, count: int, interval: float, *, kept: bool = False) -> dict[str, float]:
    with tempfile.TemporaryFile() as shown, tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [sys.executable, "-c", LAUNCHER, script, str(count), str(interval), folder if kept else ""],
            stdout=shown, stderr=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        figures: dict[str, float] = json.loads(result.stderr)
        figures["shown_mb"] = shown.seek(0, os.SEEK_END) / 1e6
    figures["core_share"] = figures["cpu_s"] / figures["wall_s"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=30, help="length of the run of 64 (default: %(default)s)")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    idle = f"for i in $(seq {options.seconds}); do echo line $i; sleep 1; done"
    loud = "head -c 500000000 /dev/zero | tr '\\0' x | fold -w 99"
    say = 'echo \'{"event":"%s"}\' >&$IPEXLAUNCH_STATUS_FD; '
    one = 'echo \'{"event":"progress","items":8,"latency_s":0.1}\' >&$IPEXLAUNCH_STATUS_FD; sleep 0.1'
    listen = "read answer <&$IPEXLAUNCH_STATUS_FD; "
    counting = say % "ready" + listen + f"for i in $(seq {10 * options.seconds}); do {one}; done; "
    counting += say % "finished" + listen
    results = {
        "64 workers, a line a second each, placement read back every 10 s": measure(idle, 64, 10.0),
        "64 workers, a line a second each": measure(idle, 64, 0.0),
        "64 workers, ten counts a second each": measure(counting, 64, 0.0),
        "64 workers, ten counts a second each, events kept": measure(counting, 64, 0.0, kept=True),
        "1 worker that prints 505 MB": measure(loud, 1, 0.0),
    }
    print(f"{'':<68}{'wall s':>8}{'cpu s':>8}{'of a core':>11}{'peak MB':>9}{'shown MB':>10}")
    for name, row in results.items():
        print(
            f"{name:<68}{row['wall_s']:>8.1f}{row['cpu_s']:>8.2f}{row['core_share']:>11.2%}"
            f"{row['peak_mb']:>9.1f}{row['shown_mb']:>10.0f}"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
