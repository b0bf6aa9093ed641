"""What the queue of `ipexlaunch batch` costs and what it gains, beside static shards and a loop in memory.

    python benchmarks/batch.py --json batch.json
    python benchmarks/batch.py --only memory --lines 10000000

trivial   items that cost nothing, two workers: how many a second pass through queue, ledger and output.
overhead  items of 10 ms: the rate beside that of workers that loop over the same items in memory, and what part of a
          core the launcher needs meanwhile.
unequal   eight workers, one at half speed, the others spread by 5 %, item lengths with a coefficient of variation of
          0.6: the ideal makespan (all work / all speed) over the measured one, for the queue and for static shards.
memory    the launcher's peak resident set over many lines.

The work of `overhead` and `unequal` is waited for (sleep), so that eight workers fit any machine and a busy machine
disturbs as little as may be. Every rate is the report's own: items / (last completion - common start).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MEAN_S = 0.010
SPREAD, HALF = 0.05, 0.5
CV = 0.6
WORKERS = 8

TRIVIAL = """
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([item["n"] for item in batch.items])
"""

WAITING = """
import time
from ipexlaunch import worker
for batch in worker.batches():
    for item in batch.items:
        time.sleep(0.010)
    batch.done([item["n"] for item in batch.items])
"""

IN_MEMORY = """
import json, sys, time
from ipexlaunch import worker
items = [json.loads(line) for line in open(sys.argv[1])][worker.index::worker.count_of_workers]
worker.ready()
for begin in range(0, len(items), int(sys.argv[2])):
    batch = items[begin:begin + int(sys.argv[2])]
    for item in batch:
        time.sleep(0.010)
    results = [item["n"] for item in batch]
    worker.count(len(results))
worker.finish()
"""

FROM_QUEUE = """
import json, sys, time
from ipexlaunch import worker
speed = json.loads(sys.argv[1])[worker.index]
for batch in worker.batches():
    time.sleep(sum(item["s"] for item in batch.items) / speed)
    batch.done([item["n"] for item in batch.items])
"""

FROM_SHARD = """
import json, sys, time
from ipexlaunch import worker
speed = json.loads(sys.argv[1])[worker.index]
items = [json.loads(line) for line in open(sys.argv[2])][worker.index::worker.count_of_workers]
worker.ready()
for begin in range(0, len(items), 8):
    batch = items[begin:begin + 8]
    time.sleep(sum(item["s"] for item in batch) / speed)
    worker.count(len(batch))
worker.finish()
"""

MANY = """
import os, sys, json
from ipexlaunch.batch.items import Item
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.work_queue import BatchRules, WorkQueue
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.batch.feed import FeedRules, ThreadedJournal, QueueFeeder
from ipexlaunch.batch.feed.open_job import open_job
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.launch.job import Job
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.plan import Instance, Plan, Request
from ipexlaunch.measure.report import aggregate
from ipexlaunch.launch.supervise import SupervisorCallbacks, OutputOptions, supervise

script, count, queued, speeds, source, output = sys.argv[1:]
count, queued = int(count), queued == "queue"
instances = tuple(Instance(index=i, cpus=frozenset(), nodes=frozenset(), threads=1) for i in range(count))
plan = Plan(topology="0" * 16, request=Request(), instances=instances, idle_cpus=frozenset())
job = Job(program=script, arguments=(speeds, source), python=sys.executable)
adopt_orphans()
inspector = Inspector()
callbacks = SupervisorCallbacks(bind_thread=held_to, read_placement=inspector, read_placement_if_cheap=inspector.glance,
              descendants=descendants, oom_kills=lambda: None, tell=lambda text: print(text, file=sys.stderr))
feeder = None
environment = dict(os.environ)
if queued:
    queue = WorkQueue(BatchRules(workers=count, largest=8))
    lines = enumerate(open(source))
    items = (Item(number, number + 1, json.loads(line), len(line)) for number, line in lines)
    journal = ThreadedJournal(open_job(OutputRules(path=output), {}), output)
    feeder = QueueFeeder(queue, items, journal, FeedRules())
    environment["IPEXLAUNCH_BATCHES"] = str(queue.rules.in_flight)
run = supervise(make_launch(plan, job, {}), callbacks, environment, Limits(fed=queued), OutputOptions(), feeder=feeder)
report = aggregate(run)
print(json.dumps({"seconds": report.throughput.seconds, "items": report.throughput.items, "valid": report.valid,
                  "why": report.reasons}))
"""


def write_items(path: Path, count: int, make: Callable[[int], dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for n in range(count):
            file.write(json.dumps(make(n)) + "\n")


def run_command(folder: Path, script: str, command: list[str], arguments: list[str]) -> dict[str, float]:
    """The figures of one run of the command line; CPU time and peak are those of the launcher's process alone."""
    program, report = folder / "program.py", folder / "report.json"
    program.write_text(script)
    words = [sys.executable, "-m", "ipexlaunch", *command, "--ninstances", "2", "--report", str(report)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    code = (
        "import os, resource, sys, json\n"
        "from ipexlaunch.cli.main import main\n"
        "code = main(sys.argv[2:])\n"
        "used = resource.getrusage(resource.RUSAGE_SELF)\n"
        "peak = [l for l in open('/proc/self/status') if l.startswith('VmHWM')][0]\n"
        "open(sys.argv[1], 'w').write(json.dumps([used.ru_utime + used.ru_stime, int(peak.split()[1]) / 1024]))\n"
        "sys.exit(code)"
    )
    words[1:3] = ["-c", code, str(folder / "used.json")]
    subprocess.run([*words, str(program), *arguments], check=True, env=environment, stderr=subprocess.DEVNULL)
    throughput = json.loads(report.read_text())["throughput"]
    cpu_s, peak_mb = json.loads((folder / "used.json").read_text())
    return {"rate": throughput["makespan"], "seconds": throughput["seconds"], "cpu_s": cpu_s, "peak_mb": peak_mb}


def batch_words(folder: Path, size: int) -> list[str]:
    files = ["--input", str(folder / "in.jsonl"), "--output", str(folder / "out.jsonl"), "--overwrite"]
    return ["batch", *files, "--batch-size", str(size)]


def trivial(folder: Path, lines: int) -> dict[str, float]:
    write_items(folder / "in.jsonl", lines, lambda n: {"n": n, "text": "x" * (n * 37 % 60)})
    return run_command(folder, TRIVIAL, batch_words(folder, 64), [])


def overhead(folder: Path, lines: int) -> dict[str, float]:
    write_items(folder / "in.jsonl", lines, lambda n: {"n": n})
    figures: dict[str, float] = {}
    write_items(folder / "one.jsonl", 1, lambda n: {"n": n})
    words = ["batch", "--input", str(folder / "one.jsonl"), "--output", str(folder / "one.out"), "--overwrite"]
    start_s = run_command(folder, WAITING, words, [])["cpu_s"]
    for size in (1, 8):
        alone = run_command(folder, IN_MEMORY, [], [str(folder / "in.jsonl"), str(size)])
        queued = run_command(folder, WAITING, batch_words(folder, size), [])
        figures[f"in memory, batches of {size}: items/s"] = alone["rate"]
        figures[f"from the queue, batches of {size}: items/s"] = queued["rate"]
        figures[f"overhead, batches of {size}: %"] = 100 * (alone["rate"] / queued["rate"] - 1)
        figures[f"launcher, batches of {size}: % of a core"] = 100 * (queued["cpu_s"] - start_s) / queued["seconds"]
    return figures


def unequal(folder: Path, lines: int, seed: int) -> dict[str, float]:
    randomness = random.Random(seed)
    # A gamma distribution has this coefficient of variation at shape 1 / cv^2.
    shape = 1 / CV**2
    seconds = [randomness.gammavariate(shape, MEAN_S / shape) for _ in range(lines)]
    write_items(folder / "in.jsonl", lines, lambda n: {"n": n, "s": seconds[n], "pad": "x" * int(seconds[n] * 2e4)})
    speeds = [HALF, *(randomness.gauss(1.0, SPREAD) for _ in range(WORKERS - 1))]
    ideal = sum(seconds) / sum(speeds)
    figures: dict[str, float] = {"ideal s": ideal}
    for name, script in (("queue", FROM_QUEUE), ("static shards", FROM_SHARD)):
        program = folder / "program.py"
        program.write_text(script)
        (folder / "out.jsonl").unlink(missing_ok=True)
        (folder / "out.jsonl.ledger").unlink(missing_ok=True)
        words = [str(program), str(WORKERS), name, json.dumps(speeds), str(folder / "in.jsonl")]
        result = subprocess.run(
            [sys.executable, "-c", MANY, *words, str(folder / "out.jsonl")],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, check=True,
        )  # fmt: skip
        run = json.loads(result.stdout.splitlines()[-1])
        if run["items"] != lines or not run["valid"]:
            sys.exit(f"{name}: {run}")
        figures[f"{name}: s"] = run["seconds"]
        figures[f"{name}: of the ideal"] = ideal / run["seconds"]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=("trivial", "overhead", "unequal", "memory"), help="just this one")
    parser.add_argument("--lines", type=int, help="items of each (default: what takes about 20 s)")
    parser.add_argument("--seed", type=int, default=0, help="of the lengths and speeds (default: %(default)s)")
    parser.add_argument("--json", help="write the figures there too")
    options = parser.parse_args()
    parts: dict[str, Callable[[Path], dict[str, float]]] = {
        "trivial": lambda folder: trivial(folder, options.lines or 500_000),
        "overhead": lambda folder: overhead(folder, options.lines or 2_000),
        "unequal": lambda folder: unequal(folder, options.lines or 12_000, options.seed),
        "memory": lambda folder: trivial(folder, options.lines or 1_000_000),
    }
    results = {}
    for name, part in parts.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                results[name] = part(Path(folder))
            print(name)
            for words, figure in results[name].items():
                print(f"  {words:<48}{figure:>12.4g}", flush=True)
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
