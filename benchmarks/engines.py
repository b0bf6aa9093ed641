"""Engines beside each other: eager torch, IPEX, ours, and what users find elsewhere, one pinned core and thread each.

    make env-ipex env-torch env-peers
    .venv/bin/python benchmarks/engines.py                                           # everything, some hours
    .venv/bin/python benchmarks/engines.py --shapes minilm-8x128 --rows 'eager,ours' # some rows of one shape, minutes

Every engine is loaded in a process of its own, which then makes so many calls as it is told (one_engine.py; peers by
the calls that their documentation shows, peers.py). All get the same token ids without padding: real text (docs/*.md)
for encoders, whose answers are mean-pooled unit vectors; made up weights and tokens for the decoder. Turns of all
engines alternate, each round in the opposite order of the one before. A figure is process cpu time per item, the ratio
of a round is the first row's over it, and the table has medians with the least and the largest.

ready: cpu seconds from the start of the process to its first answer, compilers that it started included; what was
converted or compiled before (in --work) is loaded. PSS is of then. cosine: the worst input's against eager fp32,
decoders' of the logits along the tokens that eager fp32 chose. `auto` is what the product chooses for that model, batch
and length (as `ipexlaunch bench --engine auto` does, from its own measurement), and has the figure of that candidate's
row. The verdict compares it with every row whose answers keep the bound, peers included; llama.cpp is a slot, a program
that the launcher places, and is printed but not an engine that `auto` could take.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import cache
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from launch_overhead import ROOT, machine
from one_engine import SHAPES, Shape
from peers import DECODERS, ENCODERS

from ipexlaunch.cli.dtypes_command import workers_job
from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.models.engines.candidate import REFERENCE, Candidate, floating
from ipexlaunch.models.engines.choose import expected
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.tune.dtypes import MeasureContext, make_measure_context, resolve_candidate

LEAST_AUTO = 0.97
BOUND = 0.995
SLOTS = ("llama.cpp",)

NEEDED_GB = 3.0
"""Free memory without which no further engine is loaded."""

BARS = {
    "minilm-8x128": (("ours: openvino bf16", "ours: torch", 1.05), ("ours: openvino int8 dynamic", "ours: torch", 1.15),
                     ("ours: openvino int8-calibrated", "ours: torch", 1.7)),
    "bert-base-8x128": (("ours: openvino int8-calibrated", "ours: torch", 1.4),),
    "llama-160m-1x128+64": (("auto", "IPEX bf16", 1.4),),
    "llama-160m-8x128+64": (("auto", "IPEX bf16", 2.0),),
}  # fmt: skip
"""Who must be how many times as fast as the fastest of whose names begin so."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """An engine of the table."""

    name: str
    python: str
    engine: str
    """As benchmarks/one_engine.py takes it."""


@dataclass(kw_only=True)
class Seen:
    """What an engine did with one shape."""

    row: Row
    said: dict[str, Any] = field(default_factory=dict)
    """Its first line."""
    item_s: list[float] = field(default_factory=list)
    """Cpu seconds of an item, a round each."""
    trouble: str = ""

    @property
    def right(self) -> bool:
        """Whether its answers keep the bound."""
        return (self.said.get("cosine") or 0.0) >= BOUND

    def times(self, base: "Seen") -> list[float]:
        """How many times as fast as the other, in each round."""
        return [there / here for here, there in zip(self.item_s, base.item_s, strict=True)]


def main() -> int:
    options = parse_options()
    if not (options.work / "calibration.txt").exists():
        say("making models, inputs and eager fp32's answers (about 3 minutes)")
        command = [options.torch_python, str(ROOT / "benchmarks/one_engine.py"), "--make", str(options.work)]
        subprocess.run(command, check=True, env=environment(), stdin=subprocess.DEVNULL)
    record: dict[str, Any] = {"schema": "ipexlaunch/benchmark-engines/2", "machine": machine(), "shapes": {}}
    record["versions"] = {name: versions(python) for name, python in pythons(options).items()}
    verdicts: list[tuple[bool, str]] = []
    for name in options.shapes.split(","):
        shape = SHAPES[name]
        chosen = choose(shape, options) if options.auto else None
        seen = measure(shape, rows(shape, options, chosen), options)
        record["shapes"][name] = {"auto": chosen and chosen.name, "rows": [asdict(each) for each in seen]}
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(record, indent=1) + "\n")
        print_table(shape, seen, chosen)
        verdicts += judge(shape, seen, chosen)
    print("\n" + "; ".join(f"{name} {value}" for name, value in record["machine"].items()))
    for name, found in record["versions"].items():
        print(f"{name}: {found}")
    print()
    for holds, text in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return 0 if all(holds for holds, _ in verdicts) else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shapes", default=",".join(SHAPES), help="of these (default: %(default)s)")
    parser.add_argument("--rows", default="", help="those whose names contain one of these words (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.0, help="cpu time of a turn, about (default: %(default)s)")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="(default: %(default)s)")
    parser.add_argument("--no-auto", dest="auto", action="store_false", help="leave out what auto chooses")
    parser.add_argument("--torch-python", default=str(ROOT / ".venv-torch/bin/python"), help="the product's")
    parser.add_argument("--ipex-python", default=str(ROOT / ".venv-ipex/bin/python"), help="with IPEX")
    parser.add_argument("--peers-python", default=str(ROOT / ".venv-peers/bin/python"), help="of make env-peers")
    parser.add_argument("--work", type=Path, default=ROOT / "runs/engines", help="models, inputs, what was compiled")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/engines.json", help="the JSON file")
    return parser.parse_args()


def pythons(options: argparse.Namespace) -> dict[str, str]:
    return {"torch": options.torch_python, "ipex": options.ipex_python, "peers": options.peers_python}


def environment() -> dict[str, str]:
    """One thread wherever a variable says it, nothing from a hub, and the product of this checkout."""
    told = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1",
            "TRANSFORMERS_VERBOSITY": "error", "PYTHONPATH": str(ROOT)}  # fmt: skip
    return {**os.environ, **told}


def versions(python: str) -> str:
    """Of the engines in an environment; "" where it is not there."""
    names = ("torch", "transformers", "intel-extension-for-pytorch", "torchao", "openvino", "openvino-genai", "nncf",
             "onnxruntime", "ctranslate2", "sentence-transformers", "llama-cpp-python")  # fmt: skip
    code = (f"import importlib.metadata as m\nfor n in {names!r}:\n try: print(n, m.version(n))\n"
            " except m.PackageNotFoundError: pass\n")  # fmt: skip
    try:
        said = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ", ".join(said.splitlines())


@cache
def ground(python: str, cpu: int) -> MeasureContext:
    """Where the product measures: one instance of one core."""
    os.sched_setaffinity(0, {cpu})
    topology = open_topology("live")
    plan = make_plan(topology, Request(ninstances=1))
    return make_measure_context(topology, plan, workers_job(python, ()), environment(), say, use_cache=True)


def choose(shape: Shape, options: argparse.Namespace) -> Candidate:
    """What `--engine auto --dtype auto` takes for the shape."""
    return resolve_candidate(
        job_of(shape, options), "auto", "auto", ground(options.torch_python, options.cpu)
    ).choice.candidate


def job_of(shape: Shape, options: argparse.Namespace) -> ModelJob:
    # The weights that were made up are known to be so, or their near ties would be taken for wrong answers.
    text = "" if shape.new else str(options.work / "calibration.txt")
    model = f"random:{shape.model}" if shape.new else str(options.work / shape.model)
    return ModelJob(model=model, task=shape.task, batch_size=shape.rows, input_tokens=shape.tokens,
                    new_tokens=shape.new or 1, text=text, cache=str(options.work / "cache"))  # fmt: skip


def rows(shape: Shape, options: argparse.Namespace, chosen: Candidate | None) -> list[Row]:
    """Eager fp32, with which all are compared; then those that are asked for, and what auto chose."""

    def of(name: str, python: str, candidate: Candidate) -> Row:
        return Row(name=name, python=python, engine=json.dumps(asdict(candidate)))

    context = ground(options.torch_python, options.cpu)
    known = expected(context.dispatch, context.software, shape.task)
    candidates = [each.candidate for each in known if each.expectation.fares not in ("unavailable", "slow")]
    own = [each for each in candidates if each.engine in ("torch", "openvino") and each.dtype not in ("fp16",)]
    found = [
        of("IPEX bf16", options.ipex_python, floating("ipex", "bf16")),
        *(of(f"ours: {each.name}", options.torch_python, each) for each in own),
        *(Row(name=name, python=options.peers_python, engine=name) for name in (DECODERS if shape.new else ENCODERS)),
    ]
    words = [word for word in options.rows.split(",") if word]
    kept = [row for row in found
            if not words or any(word in row.name for word in words)
            or (chosen is not None and row.name == f"ours: {chosen.name}")]  # fmt: skip
    return [of("eager fp32", options.torch_python, REFERENCE), *kept]


def measure(shape: Shape, wanted: list[Row], options: argparse.Namespace) -> list[Seen]:
    """Load every engine, then let them take turns."""
    seen = [Seen(row=row) for row in wanted]
    with ExitStack() as started:
        running: list[tuple[Seen, subprocess.Popen[str]]] = []
        for each in seen:
            if not os.access(each.row.python, os.X_OK):
                each.trouble = f"there is no {each.row.python}"
                continue
            if free_gb() < NEEDED_GB:
                each.trouble = f"not loaded: {free_gb():.1f} GB of memory are free"
                continue
            process = started.enter_context(start(each.row, shape, options))
            first = process.stdout.readline() if process.stdout else ""
            if first:
                each.said = json.loads(first)
                running.append((each, process))
            else:
                each.trouble = trouble_of(options, process.wait())
            say(f"{shape.name}: {each.row.name}: {each.trouble or each.said}")
        for turn in range(options.rounds):
            for each, process in running[:: -1 if turn % 2 else 1]:
                count = max(1, ceil(options.seconds / max(each.said["call_s"], 1e-6)))
                each.item_s.append(ask(process, count) / count / shape.rows)
            say(f"{shape.name}: round {turn + 1} of {options.rounds}")
        for _, process in running:
            assert process.stdin is not None
            process.stdin.close()
    return seen


def start(row: Row, shape: Shape, options: argparse.Namespace) -> subprocess.Popen[str]:
    command = [row.python, str(ROOT / "benchmarks/one_engine.py"), str(options.work), shape.name, row.engine,
               str(options.cpu)]  # fmt: skip
    with open(log_of(options), "w", encoding="utf-8") as log:
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                env=environment())  # fmt: skip


def log_of(options: argparse.Namespace) -> Path:
    path: Path = options.work / "last.log"
    return path


def trouble_of(options: argparse.Namespace, code: int) -> str:
    if code < 0:
        return f"does not run: dies of {signal.Signals(-code).name}"
    lines = log_of(options).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"does not run: {lines[-1] if lines else 'it said nothing'}"


def ask(process: subprocess.Popen[str], count: int) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"run {count}\n")
    process.stdin.flush()
    return float(json.loads(process.stdout.readline())["cpu_s"])


def free_gb() -> float:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1e6


def print_table(shape: Shape, seen: list[Seen], chosen: Candidate | None) -> None:
    base = seen[0]
    print(f"\n| {shape.name} | cpu ms an item | x {base.row.name} | cosine | ready, cpu s | PSS MB | |")
    print("|---|---|---|---|---|---|---|", flush=True)
    for each in seen:
        if not each.item_s:
            print(f"| {each.row.name} | | | | | | {each.trouble} |")
            continue
        times = each.times(base)
        ratios = f"{median(times):.2f} [{min(times):.2f}-{max(times):.2f}]"
        cosine = each.said["cosine"]
        words = ["auto"] * is_auto(each, chosen) + ["below the bound"] * (cosine is not None and not each.right)
        print(f"| {each.row.name} | {median(each.item_s) * 1e3:.3f} | {ratios} | "
              f"{'' if cosine is None else f'{cosine:.4f}'} | {each.said['ready_s']:.1f} | {each.said['pss_mb']:.0f} | "
              f"{'; '.join(filter(None, [*words, each.said['note']]))} |")  # fmt: skip
    sys.stdout.flush()


def is_auto(each: Seen, chosen: Candidate | None) -> bool:
    return chosen is not None and each.row.engine == json.dumps(asdict(chosen))


def judge(shape: Shape, seen: list[Seen], chosen: Candidate | None) -> list[tuple[bool, str]]:
    """Auto against the best of all whose answers are right, and the bars of the shape whose rows are there."""
    ran = [each for each in seen if each.item_s]
    auto = next((each for each in ran if is_auto(each, chosen)), None)
    found = []
    if auto is not None:
        rivals = [each for each in ran if each.right and not each.row.name.startswith(SLOTS)]
        shares = {each.row.name: median(auto.times(each)) for each in rivals}
        name = min(shares, key=lambda each: shares[each])
        found.append((shares[name] >= LEAST_AUTO and auto.right,
                      f"{shape.name}: auto ({auto.row.name}) / the best within the bound ({name}): {shares[name]:.3f} "
                      f"of {len(rivals)}; at least {LEAST_AUTO}"))  # fmt: skip
    for who, others, least in BARS.get(shape.name, ()):
        here = [each for each in ran if (each is auto if who == "auto" else each.row.name.startswith(who))]
        there = [each for each in ran if each.row.name.startswith(others) and each.right]
        if here and there:
            best = min(there, key=lambda each: median(each.item_s))
            times = median(here[0].times(best))
            found.append((times >= least, f"{shape.name}: {who} / {best.row.name}: {times:.2f}; at least {least}"))
    return found


def say(text: str) -> None:
    print(f"engines: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
