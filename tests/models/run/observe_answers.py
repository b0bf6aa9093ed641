"""Compares answers that are known to be right or wrong, and prints the figures as JSON: {name: figures}."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ipexlaunch.models.engines.candidate import REFERENCE
from ipexlaunch.models.engines.model_job import ModelJob, Task
from ipexlaunch.models.run.prepare import import_engine


def main() -> None:
    """Print all figures."""
    import_engine(REFERENCE)
    import torch

    from ipexlaunch.models.run.batches import make_inputs
    from ipexlaunch.models.run.load_model import load_model
    from ipexlaunch.models.run.prepare import Prepared
    from ipexlaunch.models.run.run_task import compare, take_reference

    torch.set_num_threads(1)

    def spoil(model: Any, name: str, act: Any) -> None:
        for found, weight in model.named_parameters():
            if name in found:
                act(weight.data)

    found = {}
    tasks: tuple[Task, ...] = ("forward", "embed", "classify", "generate")
    for task in tasks:
        name = "random:llama-15m" if task == "generate" else "random:bert-tiny"
        job = ModelJob(model=name, task=task, batch_size=3, input_tokens=8)
        loaded = load_model(job, layers=2)
        batches = make_inputs(job, loaded, batches=2).batches
        reference = take_reference(loaded.model, task, batches, new_tokens=3)
        prepared = Prepared(model=loaded.model, candidate=REFERENCE)
        found[f"{task} same"] = asdict(compare(prepared, reference))
        spoil(loaded.model, "1.mlp.down_proj" if task == "generate" else "1.output.dense.weight", lambda w: w.mul_(1.5))
        found[f"{task} louder"] = asdict(compare(prepared, reference))
        words = "embed_tokens" if task == "generate" else "word_embeddings"
        spoil(loaded.model, words, lambda w: w.copy_(torch.randn_like(w) * w.std()))
        found[f"{task} other"] = asdict(compare(prepared, reference))
        spoil(loaded.model, words, lambda w: w.fill_(torch.nan))
        found[f"{task} not a number"] = asdict(compare(prepared, reference))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
