"""What reading a machine costs: a saved tree of 2,048 cpus in 32 nodes against lstopo on the same tree, and this host.

    python benchmarks/probe.py [--rounds 9] [--output probe.json] [--tree DIR]

In one run, in turn: the probe as a function in a warm process, lstopo-no-graphics (hwloc) as a process on the same
files, `ipexlaunch topology --format json` and `--format table` as processes, and the probe of the live host. Medians of
wall time, and of the cpu time of each, which other work on the machine moves less; every single value is in the JSON
document that --output names. Leaves with 1 where a bar is missed.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the tree is written by a module of the tests, which is not installed

from ipexlaunch.machine.probe import probe  # noqa: E402
from ipexlaunch.machine.synthetic import synthetic_machine  # noqa: E402
from tests.sysfs_writer import write_sysfs  # noqa: E402

SHAPE = "8s 4n 32c 2t"
SAVED_MS, LIVE_MS = 250.0, 10.0
"""What is asked of the probe."""
LSTOPO = ["lstopo-no-graphics", "--if", "fsroot", "--of", "xml", "--no-io", "-i"]
IPEXLAUNCH = [sys.executable, "-m", "ipexlaunch", "topology", "--topology"]

Cost = tuple[float, float]
"""Wall and cpu milliseconds."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="of each; at least 7")
    parser.add_argument("--output", type=Path, help="where to write every value as JSON")
    parser.add_argument("--tree", help=f"a saved tree to read instead of a written one of {SHAPE!r}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tree = options.tree or folder
        if not options.tree:
            write_sysfs(synthetic_machine(SHAPE), folder)
        machine = probe(tree)
        costs = measured(tree, max(options.rounds, 7))
    print_table(f"{len(machine.cpus)} cpus, {len(machine.nodes)} nodes", costs)
    missed = list(missed_bars(costs))
    for line in missed:
        print(line)
    if options.output:
        facts = {"cpu": machine_name(), "python": platform.python_version(), "cpus": len(machine.cpus)}
        options.output.write_text(json.dumps({**facts, "missed": missed, "wall_and_cpu_ms": costs}, indent=1) + "\n")
    return 1 if missed else 0


def measured(tree: str, rounds: int) -> dict[str, list[Cost]]:
    """Every cost of each candidate, taken in turn; the first round, which fills the caches, is left out."""
    candidates: dict[str, Callable[[], Cost]] = {
        "probe(tree)": lambda: call_cost(tree),
        "ipexlaunch topology --format json": lambda: process_cost([*IPEXLAUNCH, tree, "--format", "json"]),
        "ipexlaunch topology --format table": lambda: process_cost([*IPEXLAUNCH, tree, "--format", "table"]),
        "probe('/')": lambda: call_cost("/"),
    }
    if shutil.which(LSTOPO[0]):
        candidates["lstopo-no-graphics"] = lambda: process_cost([*LSTOPO, tree])
    costs: dict[str, list[Cost]] = {name: [] for name in candidates}
    for round_ in range(rounds + 1):
        for name, cost in candidates.items():
            found = cost()
            if round_:
                costs[name].append(found)
    return costs


def call_cost(root: str) -> Cost:
    wall, cpu = time.perf_counter(), time.process_time()
    probe(root)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - cpu) * 1e3


def process_cost(command: list[str]) -> Cost:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    before, wall = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    wall, after = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1e3, (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3


def missed_bars(costs: dict[str, list[Cost]]) -> list[str]:
    walls = {name: median(wall for wall, _ in found) for name, found in costs.items()}
    bars = [("probe(tree)", SAVED_MS), ("probe('/')", LIVE_MS)]
    if "lstopo-no-graphics" in walls:
        bars += [
            ("probe(tree)", walls["lstopo-no-graphics"]),
            ("ipexlaunch topology --format json", walls["lstopo-no-graphics"]),
            ("ipexlaunch topology --format table", walls["lstopo-no-graphics"]),
        ]
    return [f"missed: {name} took {walls[name]:.1f} ms of {bar:.1f}" for name, bar in bars if walls[name] > bar]


def print_table(title: str, costs: dict[str, list[Cost]]) -> None:
    print(f"{title}; medians of {len(next(iter(costs.values())))} rounds; {machine_name()}")
    print(f"{'':38}{'wall ms':>10}{'cpu ms':>10}{'wall min':>10}{'wall max':>10}")
    for name, found in costs.items():
        walls, cpus = [wall for wall, _ in found], [cpu for _, cpu in found]
        print(f"{name:38}{median(walls):10.1f}{median(cpus):10.1f}{min(walls):10.1f}{max(walls):10.1f}")


def machine_name() -> str:
    return f"{probe('/').cpu_model or platform.machine()}, {os.cpu_count()} cpus"


if __name__ == "__main__":
    sys.exit(main())
