"""What ipexlaunch costs a real model: examples/embed.py under it against the same processes under bare numactl.

    python benchmarks/embed_throughput.py --ipex-python .venv-ipex/bin/python

Pairs of runs, in alternating order. Both sides run the same script in the same interpreter with OMP_NUM_THREADS on the
cpus and memory nodes of the same plan, and their figure is formed in the same way: the sum over the workers of the
rate that each prints (sentences over the seconds from its start to its last batch). The ratio is taken in each pair;
the median of the pairs is the result, so that a slow drift of the machine cancels.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from statistics import median

from launch_overhead import ROOT, check_output, machine, numactl

SCRIPT = "examples/embed.py"
RATE = re.compile(r"([0-9.]+) sentences/s")
LEAST_RATIO = 0.99


def main() -> int:
    options = parse_options()
    if shutil.which("numactl") is None:
        raise SystemExit("embed_throughput: no numactl here: apt-get install numactl")
    ours, bare = commands(options)
    rates: list[dict[str, float]] = []
    for pair in range(options.pairs):
        order = [("ipexlaunch", ours), ("numactl", bare)]
        found = {name: total_rate(command, options.ninstances) for name, command in order[:: 1 if pair % 2 else -1]}
        rates.append(found)
        ratio = found["ipexlaunch"] / found["numactl"]
        line = f"ipexlaunch {found['ipexlaunch']:.1f}, numactl {found['numactl']:.1f} sentences/s, ratio {ratio:.3f}"
        print(f"embed_throughput: pair {pair + 1} of {options.pairs}: {line}", file=sys.stderr, flush=True)
    ratios = [pair["ipexlaunch"] / pair["numactl"] for pair in rates]
    result = median(ratios)
    record = {
        "schema": "ipexlaunch/benchmark-embed-throughput/1",
        "machine": machine(),
        "options": {**vars(options), "output": str(options.output)},
        "sentences_per_second": rates,
        "ratio": result,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print("| pair | ipexlaunch | numactl | ratio |\n|---|---|---|---|")
    for index, (pair_, ratio) in enumerate(zip(rates, ratios, strict=True)):
        print(f"| {index + 1} | {pair_['ipexlaunch']:.1f} | {pair_['numactl']:.1f} | {ratio:.3f} |")
    holds = result >= LEAST_RATIO
    print(f"\n{'holds' if holds else 'FAILS'}  {SCRIPT} under ipexlaunch / under bare numactl: {result:.3f}, "
          f"median of {len(ratios)} ({min(ratios):.3f} to {max(ratios):.3f}); at least {LEAST_RATIO}")  # fmt: skip
    return 0 if holds else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ipex-python", default=sys.executable, help="interpreter with IPEX and ipexlaunch")
    parser.add_argument("--ninstances", type=int, default=2, help="workers (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=7, help="pairs of runs (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=15.0, help="measured time of a run (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/embed_throughput.json", help="the JSON file")
    return parser.parse_args()


def commands(options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The command under ipexlaunch, and the loop of numactl lines on the same cpus and nodes."""
    python, count = options.ipex_python, str(options.ninstances)
    script = [SCRIPT, "--seconds", str(options.seconds)]
    ours = [python, "-m", "ipexlaunch", "--ninstances", count, *script]
    plan = json.loads(check_output([python, "-m", "ipexlaunch", "plan", "--ninstances", count, "--format", "json"]))
    lines = [
        f"OMP_NUM_THREADS={part['threads']} {numactl(part)} {shlex.join([python, *script])} &"
        for part in plan["instances"]
    ]
    return ours, ["bash", "-c", "\n".join([*lines, "wait"])]


def total_rate(command: list[str], count: int) -> float:
    """The sum of the rates that the workers print."""
    done = subprocess.run(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    rates = [float(rate) for rate in RATE.findall(done.stdout)]
    if done.returncode != 0 or len(rates) != count:
        raise SystemExit(f"{done.stdout}\nembed_throughput: {len(rates)} of {count} rates, exit {done.returncode}")
    return sum(rates)


if __name__ == "__main__":
    sys.exit(main())
