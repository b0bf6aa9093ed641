"""What a compiled call pays for torchao's tensor classes: run by benchmarks/engines.py in an environment with torch.

    .venv-torch/bin/python -m benchmarks.subclass_overhead

As many linear layers as a BERT-base shape has, but 64 wide and called with one row, so that kernels take little and
most is the host's time: by torch.compile with torchao's own layers, by torch.compile with plain ones, and compiled
ahead of time as engine torch does. One thread, processor time of the calling thread, medians of rounds in turn. Prints
one line of JSON: milliseconds of a call.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import thread_time

import torch

from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.run.compile_program import LoadedProgram, compile_program
from ipexlaunch.models.run.quantise import convert

LAYERS, WIDTH, CALLS, ROUNDS = 72, 64, 100, 7

CANDIDATES = {
    "bf16": floating("torch", "bf16"),
    "int8 weight-only": Candidate(engine="torch", dtype="int8", scheme="weight-only", activations="bf16"),
    "int4 weight-only": Candidate(
        engine="torch", dtype="int4", scheme="weight-only", activations="bf16", group_size=32
    ),
}  # fmt: skip


def main() -> int:
    torch.set_num_threads(1)
    values = torch.randn(1, WIDTH, dtype=torch.bfloat16)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        for name, candidate in CANDIDATES.items():
            wrapped, plain = stack(candidate, unwrap=False), stack(candidate, unwrap=True)
            path = Path(folder) / name
            compile_program(plain, [values], path)
            program = LoadedProgram(path)
            ways = {
                "torch.compile, torchao's layers": partial(torch.compile(wrapped), values),
                "torch.compile, plain layers": partial(torch.compile(plain), values),
                "ahead of time, plain layers": partial(program, [values]),
            }
            calls |= {(name, way): call for way, call in ways.items()}
        for call in calls.values():
            call(), call(), call()
        taken: dict[tuple[str, str], list[float]] = {key: [] for key in calls}
        for number in range(ROUNDS):
            for key in list(calls)[:: 1 if number % 2 else -1]:
                began = thread_time()
                for _ in range(CALLS):
                    calls[key]()
                taken[key].append((thread_time() - began) / CALLS * 1e3)
    found: dict[str, dict[str, float]] = {}
    for (name, way), times in taken.items():
        found.setdefault(way, {})[name] = round(median(times), 4)
    print(json.dumps(found))
    return 0


def stack(candidate: Candidate, unwrap: bool) -> torch.nn.Module:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for _ in range(LAYERS):
        layers += [torch.nn.Linear(WIDTH, WIDTH), torch.nn.GELU()]
    model = torch.nn.Sequential(*layers).eval()
    convert(model, candidate, unwrap=unwrap)
    return model


if __name__ == "__main__":
    sys.exit(main())
