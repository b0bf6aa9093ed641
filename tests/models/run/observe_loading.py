"""Loads models and makes inputs in one process, and prints what came out as JSON: {name: finding}.

python -m tests.models.run.observe_loading FOLDER MINILM
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.models.engines.candidate import REFERENCE
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.prepare import import_engine

LLAMA = ModelJob(model="random:llama-15m", task="generate", batch_size=2, input_tokens=8, new_tokens=4)
BERT = ModelJob(model="random:bert-tiny", task="embed", batch_size=2, input_tokens=8)


def error_of(act: Callable[[], object]) -> str:
    """The message of the error that a user would see; "" where there is none."""
    try:
        act()
    except IpexLaunchError as error:
        return str(error)
    return ""


def sum_of(model: Any) -> float:
    """Of all weights, exactly enough to tell models apart."""
    return float(sum(weight.double().abs().sum() for weight in model.parameters()))


def loading(folder: Path) -> dict[str, Any]:
    """Random models, directories that transformers wrote, and directories that are spoilt."""
    from safetensors.torch import load_file, save_file

    from ipexlaunch.models.run.load_model import load_model

    llama, bert = load_model(LLAMA, layers=2), load_model(BERT)
    saved, encoder = str(folder / "llama"), str(folder / "bert")
    llama.model.save_pretrained(saved)
    bert.model.save_pretrained(encoder)
    again = load_model(replace(LLAMA, model=saved))
    one = load_model(replace(LLAMA, model=saved), layers=1)
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if ".safetensors" in line]

    spoilt = {name: folder / name for name in ("no-weights", "no-config", "cut-off", "bad-config", "incomplete")}
    for directory in spoilt.values():
        directory.mkdir()
        for file in (folder / "bert").iterdir():
            (directory / file.name).write_bytes(file.read_bytes())
    (spoilt["no-weights"] / "model.safetensors").rename(spoilt["no-weights"] / "pytorch_model.bin")
    (spoilt["no-config"] / "config.json").unlink()
    whole = (spoilt["cut-off"] / "model.safetensors").read_bytes()
    (spoilt["cut-off"] / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    (spoilt["bad-config"] / "config.json").write_text("{")
    weights = load_file(spoilt["incomplete"] / "model.safetensors")
    gone = next(name for name in weights if "attention.self.query.weight" in name)
    save_file({name: w for name, w in weights.items() if name != gone}, spoilt["incomplete"] / "model.safetensors")
    return {
        "same seed": sum_of(load_model(LLAMA, layers=2).model) == sum_of(llama.model),
        "other seed": sum_of(load_model(replace(LLAMA, seed=1), layers=2).model) != sum_of(llama.model),
        "layers": [model.model.config.num_hidden_layers for model in (llama, again, one)],
        "parameters": [model.parameters for model in (llama, again, one)],
        "random": [llama.random, again.random],
        "read back": sum_of(again.model) == sum_of(llama.model),
        "mapped": mapped,
        "errors": {
            "task generate": error_of(lambda: load_model(replace(LLAMA, model=encoder))),
            "task classify": error_of(lambda: load_model(replace(BERT, model=encoder, task="classify"))),
            **{
                name: error_of(lambda path=path: load_model(replace(BERT, model=str(path))))  # type: ignore[misc]
                for name, path in spoilt.items()
            },
        },
    }


def inputs(folder: Path, minilm: str) -> dict[str, Any]:
    """Generated and read batches."""
    from ipexlaunch.models.run.batches import make_inputs
    from ipexlaunch.models.run.load_model import load_model

    bert = load_model(BERT)
    made, again = make_inputs(BERT, bert), make_inputs(BERT, bert)
    ids = [batch["input_ids"].flatten().tolist() for batch in made.batches]
    text, empty = folder / "three.txt", folder / "empty.txt"
    text.write_text("Short.\n\nA valve broke.\n" + "Long words follow. " * 20 + "\n")
    empty.write_text("\n \n")
    reads = ModelJob(model=minilm, task="embed", batch_size=2, input_tokens=12, text=str(text))
    real = load_model(reads)
    read = make_inputs(reads, real, batches=3)
    left = make_inputs(replace(reads, task="generate"), real, batches=2)
    return {
        "shape": list(made.batches[0]["input_ids"].shape),
        "distinct": len({tuple(batch) for batch in ids}),
        "same again": ids == [batch["input_ids"].flatten().tolist() for batch in again.batches],
        "padding drawn": any(0 in batch for batch in ids),
        "tokens": list(made.tokens),
        "read masks": [batch["attention_mask"].sum(1).tolist() for batch in read.batches],
        "read tokens": list(read.tokens),
        "text": read.text == str(text),
        "starts with a token": all(bool(batch["attention_mask"][:, 0].all()) for batch in read.batches),
        "ends with a token": all(bool(batch["attention_mask"][:, -1].all()) for batch in left.batches),
        "errors": {
            "too long": error_of(lambda: make_inputs(replace(BERT, input_tokens=513), bert)),
            "too long with new": error_of(
                lambda: make_inputs(replace(LLAMA, input_tokens=250, new_tokens=7), load_model(LLAMA, layers=1))
            ),
            "no tokenizer": error_of(lambda: make_inputs(replace(BERT, text=str(text)), bert)),
            "empty": error_of(lambda: make_inputs(replace(reads, text=str(empty)), real)),
            "no file": error_of(lambda: make_inputs(replace(reads, text=str(folder / "none.txt")), real)),
        },
    }


def main(folder: Path, minilm: str) -> None:
    """Print all findings."""
    import_engine(REFERENCE)
    import torch

    torch.set_num_threads(1)
    print(json.dumps({"loading": loading(folder), "inputs": inputs(folder, minilm)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
