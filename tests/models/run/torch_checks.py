"""What tests ask in the environment with torch: `python -m tests.models.run.torch_checks WHAT`, one line of JSON."""

from __future__ import annotations

import gc
import json
import os
import sys
import weakref
from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run import prepare_torch, quantise
from ipexlaunch.models.run.identify_weights import identify_weights
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import prepare
from ipexlaunch.models.run.run_task import run_task


def wrapped(model: torch.nn.Module) -> bool:
    """Whether any parameter is a tensor of torchao's classes."""
    return any(type(parameter).__module__.startswith("torchao.") for parameter in model.parameters())


def layers() -> dict[str, Any]:
    """How far unwrapped layers are from torchao's own, for few rows and for many, relative to the largest output."""
    found: dict[str, Any] = {}
    for dtype, group, few in (("int8", 0, quantise.ROWS_OF_INT8_KERNEL),
                              ("int4", 32, quantise.ROWS_OF_INT4_KERNEL)):  # fmt: skip
        candidate = Candidate(engine="torch", dtype=dtype, scheme="weight-only", activations="bf16", group_size=group)  # type: ignore[arg-type]
        torch.manual_seed(0)
        whole = torch.nn.Sequential(torch.nn.Linear(96, 64), torch.nn.Linear(64, 32, bias=False))
        plain = torch.nn.Sequential(torch.nn.Linear(96, 64), torch.nn.Linear(64, 32, bias=False))
        plain.load_state_dict(whole.state_dict())
        quantise.convert(whole, candidate, unwrap=False)
        facts = quantise.convert(plain, candidate)
        for rows in (1, few, few + 1):
            values = torch.randn(rows, 96).bfloat16()
            with torch.no_grad():
                theirs, ours = whole(values).float(), plain(values).float()
            found[f"{dtype} {rows}"] = float((theirs - ours).abs().max() / theirs.abs().max())
        found[f"{dtype} unwrapped"] = facts["unwrapped_layers"]
        found[f"{dtype} wrapped before"] = wrapped(whole)
        found[f"{dtype} wrapped after"] = wrapped(plain)
    return found


def keys() -> dict[str, Any]:
    """Which things change the identity of kernels and of weights."""
    torch.set_num_threads(1)
    one = prepare_torch.identify_kernels()
    torch.set_num_threads(2)
    two = prepare_torch.identify_kernels()
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"
    capped = prepare_torch.identify_kernels()
    torch.manual_seed(0)
    model = torch.nn.Linear(64, 64)
    before = identify_weights(model)
    same = identify_weights(model)
    with torch.no_grad():
        model.weight.mul_(1.001)
    return {
        "threads": [name for name in one if one[name] != two[name]],
        "caps": [name for name in two if two[name] != capped[name]],
        "same weights": before == same,
        "other weights": before == identify_weights(model),
    }


def release() -> dict[str, Any]:
    """Whether the model in fp32 is gone once it was given back, and what a compiled one does then."""
    model = load_model(ModelJob(model="random:bert-tiny", task="embed")).model
    batch = {"input_ids": torch.ones(2, 16, dtype=torch.long), "attention_mask": torch.ones(2, 16, dtype=torch.long)}
    weight = weakref.ref(next(model.parameters()))
    prepared = prepare(model, floating("torch", "fp32"), batch, "embed")
    del model
    gc.collect()
    found: dict[str, Any] = {"alive before": weight() is not None}
    before = run_task(prepared, "embed", batch, 0).answer
    prepared.release()
    gc.collect()
    found["alive after"] = weight() is not None
    found["same answers"] = torch.equal(before, run_task(prepared, "embed", batch, 0).answer)
    try:
        run_task(prepared, "embed", {name: tensor[:1] for name, tensor in batch.items()}, 0)
    except RequestError as error:
        found["other shape"] = str(error)
    return found


if __name__ == "__main__":
    print(json.dumps({"layers": layers, "keys": keys, "release": release}[sys.argv[1]]()))
