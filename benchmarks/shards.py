"""What a shard costs beside its items and its loading, and how fast `make` cuts.

    python benchmarks/shards.py --rounds 5

A program whose load and whose items take a known time is run as shards; what the wall clock shows beyond that is the
shard's own cost. Medians; the machine should be quiet, and the load average is printed because it rarely is.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

LOAD_S = 1.0
ITEM_S = 0.01

PROGRAM = f"""
import time
time.sleep({LOAD_S})
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep({ITEM_S} * len(batch))
    batch.done([item["n"] for item in batch.items])
"""


def command(folder: Path, *words: str) -> float:
    """Seconds that a command takes."""
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True,
    )  # fmt: skip
    return time.monotonic() - began


def cost_of_a_shard(folder: Path, rounds: int, items: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds of a shard beyond its load and items, its processor seconds; and the first of these of a batch job."""
    (folder / "program.py").write_text(PROGRAM)
    (folder / "in.jsonl").write_text("".join(f'{{"n":{n}}}\n' for n in range(items * rounds)))
    words = ("--input", "in.jsonl", "--output", "out.jsonl", "--shards", str(rounds), "--ninstances", "1", "program.py")
    command(folder, "shards", "make", "job", *words)
    (folder / "part.jsonl").write_text("".join(f'{{"n":{n}}}\n' for n in range(items)))
    batch = ("--input", "part.jsonl", "--output", "part-out.jsonl", "--overwrite", "--ninstances", "1", "program.py")
    command(folder, "batch", *batch)  # whose bytecode is written now
    costs, cpu, plain = [], [], []
    for index in range(rounds):
        before = used()
        costs.append(
            command(folder, "shards", "run", "job", "--index", str(index), "--no-progress") - LOAD_S - ITEM_S * items
        )
        cpu.append(used() - before)
        plain.append(command(folder, "batch", "--no-progress", *batch) - LOAD_S - ITEM_S * items)
    return costs, cpu, plain


def used() -> float:
    """Processor seconds of everything that was started and has ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def speed_of_make(folder: Path, megabytes: int, *options: str, csv: bool = False) -> float:
    """MB that `make` cuts in a second of a processor, beside its start."""
    seconds = []
    for size in (0.001, megabytes):
        line = "1,abcdefghij,0123456789\n" if csv else f'{{"id": 1000000, "text": "{"x" * 80}"}}\n'
        path = folder / ("big.csv" if csv else "big.jsonl")
        with path.open("w") as file:
            file.write("a,b,c\n" if csv else "")
            for n in range(int(size * 1_000_000 / len(line))):
                file.write(line if csv else f'{{"id": {1_000_000 + n}, "text": "{"x" * 80}"}}\n')
        place, before = f"make-{len(list(folder.glob('make-*')))}", used()
        command(folder, "shards", "make", place, "--input", path.name, "--shards", "24", *options, "program.py")
        seconds.append(used() - before)
    return megabytes / (seconds[1] - seconds[0])


def shown(seconds: list[float]) -> str:
    """The median and what it lies between."""
    return f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="shards that are timed (default: %(default)s)")
    parser.add_argument("--items", type=int, default=100, help="of each (default: %(default)s)")
    parser.add_argument("--megabytes", type=int, default=100, help="of the inputs that are cut (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        costs, cpu, plain = cost_of_a_shard(folder, options.rounds, options.items)
        beside = f"beside {LOAD_S:g} s of load and its items"
        print(f"| a shard {beside} | {shown(costs)} |")
        print(f"| a batch job {beside}, in turn | {shown(plain)} |")
        print(f"| processor time of a shard, its worker's too | {shown(cpu)} |")
        print(f"| make, JSON lines | {speed_of_make(folder, options.megabytes):.0f} MB per processor second |")
        with_ids = speed_of_make(folder, max(1, options.megabytes // 8), "--id-field", "id")
        print(f"| make, JSON lines with --id-field | {with_ids:.0f} MB per processor second |")
        of_csv = speed_of_make(folder, max(1, options.megabytes // 8), csv=True)
        print(f"| make, CSV | {of_csv:.0f} MB per processor second |")
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
