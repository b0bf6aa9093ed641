"""How long planning takes on a machine of 2,048 cpus and 32 nodes, for 512 instances.

    python benchmarks/plan.py              # medians of 15, and whether they are below what is asked

Measured: `make_plan` alone in this process on a topology that no plan was made for yet, and `ipexlaunch plan --topology
FILE --ninstances 512` as a whole command, from its start to its exit, with the table and with YAML. The file is written
by `ipexlaunch topology --format yaml`. Beside the time on the wall stands the cpu time of the same runs (user and
system), which a busy machine stretches less. What is asked concerns the wall.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.plan import Request, make_plan

MACHINE = "8s 4n 32c 2t"
INSTANCES = 512
PLAN_MS, COMMAND_MS = 50.0, 250.0
"""What is asked."""


def main() -> int:
    parser = argparse.ArgumentParser(description="How long planning takes.")
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured  [default: 15]")
    rounds = parser.parse_args().rounds
    passed = [report("make_plan", [time_plan() for _ in range(rounds)], PLAN_MS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "machine.yaml")
        file.write_text(command_output("topology", "--topology", MACHINE, "--format", "yaml"), encoding="utf-8")
        for form in ("table", "yaml"):
            words = ["plan", "--topology", str(file), "--ninstances", str(INSTANCES), "--format", form]
            times = [time_command(words) for _ in range(rounds)]
            passed.append(report(f"ipexlaunch plan --topology FILE --format {form}", times, COMMAND_MS))
    return 0 if all(passed) else 1


@dataclass(frozen=True)
class Took:
    """One run, in seconds."""

    wall: float
    cpu: float


def time_plan() -> Took:
    topology = open_topology(MACHINE)
    start, busy = time.perf_counter(), time.process_time()
    plan = make_plan(topology, Request(ninstances=INSTANCES))
    took = Took(time.perf_counter() - start, time.process_time() - busy)
    assert len(plan.instances) == INSTANCES
    return took


def time_command(words: list[str]) -> Took:
    start, busy = time.perf_counter(), cpu_of_children()
    lines = command_output(*words).count("\n")
    took = Took(time.perf_counter() - start, cpu_of_children() - busy)
    assert lines > INSTANCES
    return took


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def command_output(*words: str) -> str:
    done = subprocess.run([sys.executable, "-m", "ipexlaunch", *words], capture_output=True, text=True, check=True)
    return done.stdout


def report(what: str, times: list[Took], asked_ms: float) -> bool:
    milliseconds = sorted(1000 * took.wall for took in times)
    cpu = 1000 * median(took.cpu for took in times)
    middle = median(milliseconds)
    print(
        f"{what}: median {middle:.1f} ms of {len(times)} (from {milliseconds[0]:.1f} to {milliseconds[-1]:.1f}), "
        f"cpu time {cpu:.1f} ms, "
        f"asked: below {asked_ms:.0f} ms: {'yes' if middle < asked_ms else 'NO'}  (load {os.getloadavg()[0]:.1f})"
    )
    return middle < asked_ms


if __name__ == "__main__":
    sys.exit(main())
