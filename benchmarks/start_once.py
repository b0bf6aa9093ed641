"""What the start of workers costs: processor time, memory of their own, processes.

    python benchmarks/start_once.py --ipex-python .venv-ipex/bin/python --torch-python .venv-torch/bin/python

Every row is a function that measures its alternatives in turn, in alternating order, and gives their medians and what
is asked of them (--rows chooses some):

pool     one worker of examples/embed.py on two cpus: with inductor's compile pool, which importing IPEX starts, or not.
program  four workers that load one compiled BERT-base shape: mapped where it lies, or extracted by each.

Other programs on the host change wall times, which are not measured here; what is compared comes from one run.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import psutil
from launch_overhead import ROOT, machine

POLL_S = 0.1
MOST_CPU, MOST_ANONYMOUS = 0.75, 0.45
"""Without the compile pool, of what a start with it costs."""
MOST_OWN = 1.15
"""Own memory of a worker that has loaded a program, of its weights."""
PROGRAM_WORKERS = 4


@dataclass(frozen=True)
class Row:
    """What one function below has measured."""

    title: str
    figures: Mapping[str, Mapping[str, float]]
    """Alternative to its figures, each with its unit in the name."""
    verdicts: Sequence[tuple[bool, str]] = field(default=())
    """What is asked of them, and whether it holds."""


def main() -> int:
    options = parse_options()
    rows = [ROWS[name](options) for name in options.rows.split(",")]
    for row in rows:
        names = list(next(iter(row.figures.values())))
        print(f"\n| {row.title} | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
        for name, figures in row.figures.items():
            print(f"| {name} | {' | '.join(f'{figures[each]:.4g}' for each in names)} |")
    print()
    verdicts = [verdict for row in rows for verdict in row.verdicts]
    for holds, text in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    record = {"schema": "ipexlaunch/benchmark-start-once/1", "machine": machine(),
              "rows": {row.title: {"figures": row.figures, "verdicts": row.verdicts} for row in rows}}  # fmt: skip
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return 0 if all(holds for holds, _ in verdicts) else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ipex-python", default=".venv-ipex/bin/python", help="interpreter with IPEX")
    parser.add_argument("--torch-python", default=".venv-torch/bin/python", help="interpreter with current torch")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each alternative (default: %(default)s)")
    parser.add_argument("--rows", default=",".join(ROWS), help="what to measure (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/start_once.json", help="the JSON file")
    return parser.parse_args()


def alternate(rounds: int, ways: Mapping[str, Callable[[], Mapping[str, float]]]) -> dict[str, dict[str, float]]:
    """The medians of what each way gives, the ways in turn and every second time in the other order."""
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways)[:: 1 if turn % 2 else -1]:
            found[name].append(ways[name]())
            print(f"start_once: {name}: {found[name][-1]}", file=sys.stderr, flush=True)
    return {name: {key: median(each[key] for each in runs) for key in runs[0]} for name, runs in found.items()}


def watch(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    """What the workers of one launch cost, all of their processes together: processor time as the report has it, which
    the kernel counts to the end of each, and the most memory and processes that are seen as it runs.

    Args:
        command: a launch, without its report.
        environment: variables to set.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        seen = look_at([*command[:3], "--report", str(report), *command[3:]], environment)
        instances = json.loads(report.read_text(encoding="utf-8"))["instances"]
    return {"cpu-s": sum(instance["cpu_s"] for instance in instances), **seen}


def look_at(command: Sequence[str], environment: Mapping[str, str]) -> dict[str, float]:
    launch = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env={**os.environ, **environment})  # fmt: skip
    anonymous, processes = 0.0, 0
    while launch.poll() is None:
        seen = {}
        for process in psutil.Process(launch.pid).children(recursive=True):
            try:
                if "IPEXLAUNCH_INDEX" in process.environ():
                    seen[process.pid] = anonymous_mib(process.pid)
            except (psutil.Error, OSError):
                continue  # it has ended meanwhile
        anonymous, processes = max(anonymous, sum(seen.values())), max(processes, len(seen))
        time.sleep(POLL_S)
    said = launch.stdout.read() if launch.stdout else ""
    if launch.returncode not in (0, 4):  # 4: INVALID, where other programs used the cores; no rate is looked at here
        raise SystemExit(f"{said}\nstart_once: exit {launch.returncode} of {' '.join(command)}")
    return {"anonymous MiB": anonymous, "processes": processes}


def anonymous_mib(pid: int) -> float:
    """Memory of a process that is in no file, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon:")), 0.0)


def pool(options: argparse.Namespace) -> Row:
    command = [sys.executable, "-m", "ipexlaunch", "--python", options.ipex_python, "--ninstances", "1",
               "--ncores-per-instance", "2", str(ROOT / "examples/embed.py"), "--seconds", "0.1"]  # fmt: skip
    on, off = "started at import", "not started (as ipexlaunch has it)"
    figures = alternate(options.rounds, {
        on: lambda: watch(command, {"TORCH_WARM_POOL": "1"}),
        off: lambda: watch(command, {}),
    })  # fmt: skip
    cpu, anonymous = (figures[off][each] / figures[on][each] for each in ("cpu-s", "anonymous MiB"))
    return Row("inductor's compile pool, 1 worker on 2 cpus", figures, [
        (cpu <= MOST_CPU, f"cpu time without the pool / with it: {cpu:.2f}, at most {MOST_CPU}"),
        (anonymous <= MOST_ANONYMOUS, f"anonymous memory likewise: {anonymous:.2f}, at most {MOST_ANONYMOUS}"),
        (figures[off]["processes"] == 1, f"processes without it: {figures[off]['processes']:.0f}, exactly 1"),
    ])  # fmt: skip


def program(options: argparse.Namespace) -> Row:
    command = [options.torch_python, "-m", "benchmarks.loaded_program"]
    with tempfile.TemporaryDirectory() as folder:
        compiled = subprocess.run([*command, "compile", folder], cwd=ROOT, check=True, capture_output=True, text=True)
        weights = float(compiled.stdout.splitlines()[-1])
        figures = alternate(options.rounds, {
            "extracted by each (as before)": lambda: load_together([*command, "extracted", folder], weights),
            "mapped where it lies": lambda: load_together([*command, "mapped", folder], weights),
        })  # fmt: skip
    share, left = (figures["mapped where it lies"][each] for each in ("of the weights", "temporary MiB"))
    return Row(f"a compiled BERT-base shape, bf16, {PROGRAM_WORKERS} workers", figures, [
        (share <= MOST_OWN, f"own memory of a loaded program / its weights: {share:.2f}, at most {MOST_OWN}"),
        (left == 0, f"files of all workers in the directory for temporary files: {left:.0f} MiB, exactly 0"),
    ])  # fmt: skip


def load_together(command: Sequence[str], weights_mib: float) -> dict[str, float]:
    """The median of what the program adds to each of several processes, and what all have put into $TMPDIR."""
    with tempfile.TemporaryDirectory() as temporary:
        workers = [
            subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL, text=True, env={**os.environ, "TMPDIR": temporary})
            for _ in range(PROGRAM_WORKERS)
        ]  # fmt: skip
        told = [worker.stdout.readline() if worker.stdout else "" for worker in workers]
        if told != ["loaded\n"] * len(workers):
            raise SystemExit(f"start_once: a worker could not load the program: {told}")
        files = sum(path.stat().st_size for path in Path(temporary).rglob("*") if path.is_file())
        own = []
        for worker in workers:
            if worker.stdin and worker.stdout:
                print(file=worker.stdin, flush=True)
                own.append(float(worker.stdout.readline()))
        for worker in workers:
            worker.communicate("\n")
    return {
        "own MiB each": median(own),
        "of the weights": median(own) / weights_mib,
        "temporary MiB": files / (1 << 20),
    }


ROWS: dict[str, Callable[[argparse.Namespace], Row]] = {"pool": pool, "program": program}


if __name__ == "__main__":
    sys.exit(main())
