"""Prepares small models with engine ipex in one process, and prints what came out as JSON: {name: finding}.

    python -m tests.models.run.observe_ipex FOLDER

One process for all, since importing takes longer than the rest.
"""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.models.engines.candidate import REFERENCE, Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob, Task
from ipexlaunch.models.run.prepare import import_engine

IPEX_BF16 = floating("ipex", "bf16")
GROUP_SIZE = 32
SHAPES = {"decoder": "random:llama-15m", "encoder": "random:bert-tiny", "unknown": "random:gpt2"}


def woq(dtype: str, activations: str = "bf16", **more: Any) -> Candidate:
    """A weight-only candidate."""
    return Candidate(engine="ipex", dtype=dtype, scheme="weight-only", activations=activations, **more)  # type: ignore[arg-type]


class Models:
    """Each model loaded once, two layers of it, with its batches."""

    def __init__(self) -> None:
        from ipexlaunch.models.run.batches import make_inputs
        from ipexlaunch.models.run.load_model import load_model

        self.loaded: dict[tuple[str, Task], tuple[Any, tuple[Any, ...]]] = {}
        self.load, self.inputs = load_model, make_inputs

    def get(self, kind: str, task: Task) -> tuple[Any, tuple[Any, ...]]:
        """A copy of the model, and its batches: the first to prepare with, the last to compare."""
        if (kind, task) not in self.loaded:
            job = ModelJob(model=SHAPES[kind], task=task, batch_size=2, input_tokens=16, new_tokens=4)
            loaded = self.load(job, layers=2)
            batches = self.inputs(job, loaded, batches=2).batches
            # The compared batch has padding, the one that a graph is recorded with has none.
            padded = slice(0, 5) if task == "generate" else slice(-5, None)
            batches[-1]["attention_mask"][0, padded] = 0
            self.loaded[kind, task] = loaded.model, batches
        model, batches = self.loaded[kind, task]
        return copy.deepcopy(model), batches


def observe(models: Models, kind: str, task: Task, candidate: Candidate, checkpoint: str = "") -> dict[str, Any]:
    """Prepare and compare; or the error's text."""
    from ipexlaunch.models.run.prepare import prepare
    from ipexlaunch.models.run.run_task import compare, take_reference

    model, batches = models.get(kind, task)
    try:
        reference = take_reference(model, task, batches[-1:], new_tokens=4)
        prepared = prepare(model, candidate, batches[0], task, checkpoint=checkpoint)
        answers = asdict(compare(prepared, reference))
    except IpexLaunchError as error:
        return {"error": str(error)}
    return answers | {"notes": list(prepared.notes), "facts": dict(prepared.facts)}


def load_checkpoint(models: Models, folder: Path, method: str) -> dict[str, Any]:
    """Write a checkpoint of the decoder, load it through IPEX, and compare with the widened weights in fp32."""
    import torch
    from safetensors.torch import save_file

    from ipexlaunch.models.run.prepare import prepare
    from ipexlaunch.models.run.run_task import compare, take_reference
    from tests.models.run.pack_low_precision import awq, gptq, round_to_4_bits

    model, batches = models.get("decoder", "generate")
    exact, _ = models.get("decoder", "generate")
    weights: dict[str, torch.Tensor] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and name != "lm_head":
            rounded = round_to_4_bits(layer.weight.data, GROUP_SIZE)
            layer.weight.data = rounded.widened()
            packed = {"gptq": gptq, "awq": awq}[method](rounded)
            weights |= {f"{name}.{key}": value.contiguous() for key, value in packed.items()}
    save_file(weights, folder / "model.safetensors")
    about = {"quant_method": method, "bits": 4, "group_size": GROUP_SIZE, "desc_act": False}
    (folder / "config.json").write_text(json.dumps({"quantization_config": about}))
    widened = take_reference(model, "generate", batches[-1:], new_tokens=4)
    original = take_reference(exact, "generate", batches[-1:], new_tokens=4)
    candidate = woq("int4", "fp32", lowp_mode="NONE")
    prepared = prepare(exact, candidate, batches[0], "generate", checkpoint=str(folder))
    return {
        "widened": compare(prepared, widened).logit_error,
        "original": compare(prepared, original).logit_error,
        "facts": dict(prepared.facts),
    }


def main(folder: Path) -> None:
    """Print all findings."""
    import_engine(REFERENCE)
    import_engine(IPEX_BF16)
    import torch

    torch.set_num_threads(1)
    models = Models()
    found = {
        "encoder fp32": observe(models, "encoder", "embed", floating("ipex", "fp32")),
        "encoder bf16": observe(models, "encoder", "forward", IPEX_BF16),
        "encoder classify bf16": observe(models, "encoder", "classify", IPEX_BF16),
        "encoder int8": observe(models, "encoder", "embed", woq("int8")),
        "encoder int4": observe(models, "encoder", "embed", woq("int4", group_size=32)),
        "encoder dynamic": observe(
            models, "encoder", "embed", Candidate(engine="ipex", dtype="int8", scheme="dynamic")
        ),
        "decoder fp32": observe(models, "decoder", "generate", floating("ipex", "fp32")),
        "decoder bf16": observe(models, "decoder", "generate", IPEX_BF16),
        "decoder bf16 embed": observe(models, "decoder", "embed", IPEX_BF16),
        "decoder bf16 forward": observe(models, "decoder", "forward", IPEX_BF16),
        "decoder int8": observe(models, "decoder", "generate", woq("int8", lowp_mode="BF16")),
        "decoder int4": observe(models, "decoder", "generate", woq("int4", group_size=32, lowp_mode="INT8")),
        "unknown bf16": observe(models, "unknown", "generate", IPEX_BF16),
        "unknown int8": observe(models, "unknown", "generate", woq("int8")),
        "no such checkpoint": observe(models, "decoder", "generate", woq("int4"), str(folder / "none")),
        "checkpoint as bf16": observe(models, "decoder", "generate", IPEX_BF16, str(folder)),
    }
    for method in ("gptq", "awq"):
        (folder / method).mkdir()
        found[method] = load_checkpoint(models, folder / method, method)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
