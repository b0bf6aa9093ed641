"""What tests ask in the environment with torch: `python -m tests.models.run.torch_checks WHAT`, one line of JSON."""

from __future__ import annotations

import gc
import json
import os
import sys
import weakref
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import REFERENCE, Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.engines.worth_measuring import KERNEL_ROWS
from ipexlaunch.models.run import prepare_torch, quantise
from ipexlaunch.models.run.compile_program import compile_program, load, load_a_copy
from ipexlaunch.models.run.compiled_model import ANY_SHAPE, FirstField
from ipexlaunch.models.run.decode_step import DecodeStep, attend, empty_state, example_step, state_shapes
from ipexlaunch.models.run.identify_weights import identify_weights
from ipexlaunch.models.run.load_model import load_model
from ipexlaunch.models.run.prepare import Prepared, prepare
from ipexlaunch.models.run.run_task import run_task


def wrapped(model: torch.nn.Module) -> bool:
    """Whether any parameter is a tensor of torchao's classes."""
    return any(type(parameter).__module__.startswith("torchao.") for parameter in model.parameters())


def layers() -> dict[str, Any]:
    """How far unwrapped layers are from torchao's own, for few rows and for many, relative to the largest output."""
    found: dict[str, Any] = {}
    for dtype, group, few in (("int8", 0, KERNEL_ROWS["int8"]),
                              ("int4", 32, KERNEL_ROWS["int4"])):  # fmt: skip
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


def attention() -> dict[str, Any]:
    """How far our attention of one query is from torch's, relative to its size: with and without a mask, and groups."""
    torch.manual_seed(0)
    keys, values = torch.randn(2, 4, 33, 16), torch.randn(2, 4, 33, 16)
    some = torch.rand(2, 1, 1, 33) < 0.5
    found = {}
    for name, heads, mask, scale in (
        ("plain", 1, None, None), ("some", 1, some, None), ("added", 1, torch.randn(2, 1, 1, 33), 0.3),
        ("groups", 3, some, 0.3),
    ):  # fmt: skip
        query = torch.randn(2, 4, heads, 16)
        usual = torch.nn.functional.scaled_dot_product_attention(query, keys, values, attn_mask=mask, scale=scale)
        ours = attend(query, keys, values, attn_mask=mask, dropout_p=0.0, scale=scale, is_causal=False)
        found[name] = float((ours - usual).norm() / usual.norm())
    return found


SMALL = {
    "llama": {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 4},
    "qwen2": {"hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 64, "n_head": 4, "n_layer": 2},
    "opt": {"hidden_size": 64, "ffn_dim": 96, "num_attention_heads": 4, "word_embed_proj_dim": 64},
}


def steps() -> dict[str, Any]:
    """How far a token's logits by a prompt and a step are from those of one call of all tokens, by architecture."""
    found = {}
    for name, fields in SMALL.items():
        torch.manual_seed(0)
        config = AutoConfig.for_model(name, vocab_size=50, num_hidden_layers=2, **fields)
        model = AutoModelForCausalLM.from_config(config).eval()
        text = torch.randint(3, 50, (3, 9))
        shapes, _ = state_shapes(model)
        state = empty_state(3, 16, shapes, torch.float32)
        seen = (torch.arange(16) < 9).expand(3, 1, 1, 16).contiguous()
        with torch.no_grad():
            places = torch.arange(9).expand(3, -1)
            mask = torch.ones(3, 1, 8, 8, dtype=torch.bool).tril()
            DecodeStep(model, whole=False)(text[:, :8], places[:, :8], mask, torch.arange(8), *state)
            ours = DecodeStep(model, whole=True)(text[:, 8:], places[:, 8:], seen, torch.tensor([8]), *state)
            usual = model(input_ids=text).logits[:, -1]
        found[name] = float((ours - usual).norm() / usual.norm())
    return found


def windows() -> dict[str, Any]:
    """What is said of texts that are longer than the attention sees."""
    config = AutoConfig.for_model("mistral", vocab_size=50, num_hidden_layers=1, **SMALL["llama"], sliding_window=8)
    batch = {name: torch.ones(2, 7, dtype=torch.long) for name in ("input_ids", "attention_mask")}
    try:
        prepare(AutoModelForCausalLM.from_config(config), floating("torch", "bf16"), batch, "generate", new_tokens=2)
    except RequestError as error:
        return {"refused": str(error)}
    return {}


def any_shape() -> dict[str, Any]:
    """Whether models of all these kinds can be exported for any shape; of the first, how far a compiled one is."""
    found: dict[str, Any] = {"exported": []}
    for name in ANY_SHAPE:
        torch.manual_seed(0)
        sizes = {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
        config = AutoConfig.for_model(name, vocab_size=50, max_position_embeddings=40, **sizes)
        model = AutoModel.from_config(config).eval()
        rows, columns = (
            torch.export.Dim("rows", min=1, max=99),
            torch.export.Dim("columns", min=1, max=config.max_position_embeddings),
        )
        example = (torch.ones(8, 30, dtype=torch.long), torch.ones(8, 30, dtype=torch.long))
        free = {"tensors": ({0: rows, 1: columns},) * 2}
        whole = FirstField(model, ["input_ids", "attention_mask"])
        torch.export.export(whole, example, dynamic_shapes=free, strict=False)
        found["exported"].append(name)
        if name != ANY_SHAPE[0]:
            continue
        batches = []
        for size in ((3, 17), (1, 1), (9, 40)):
            ids = torch.randint(3, 50, size)
            mask = torch.ones_like(ids)
            mask[0, size[1] // 2 + 1 :] = 0
            batches.append({"input_ids": ids, "attention_mask": mask})
        with torch.no_grad():
            usual = [run_task(Prepared(model=model, candidate=REFERENCE), "embed", each, 0).answer for each in batches]
        prepared = prepare(model, floating("torch", "bf16"), batches[0], "embed")
        prepared.release()
        ours = [run_task(prepared, "embed", each, 0).answer.float() for each in batches]
        found["cosines"] = [float((one * other).sum(1).min()) for one, other in zip(ours, usual, strict=True)]
        found["programs"] = len(prepared.model.programs)
    return found


def forms() -> dict[str, Any]:
    """Whether programs mapped where they lie say, and write, what extracted packages of them do, to the bit."""
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 1, "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 64}
    encoder = AutoModel.from_config(AutoConfig.for_model("bert", vocab_size=50, **sizes)).eval().bfloat16()
    decoder = AutoModelForCausalLM.from_config(
        AutoConfig.for_model("llama", vocab_size=50, num_hidden_layers=1, **SMALL["llama"])
    )
    shapes, _ = state_shapes(decoder)
    step = example_step(2, 1, 8, shapes, torch.float32, whole=True)
    ids = torch.ones(8, 16, dtype=torch.long)
    calls = [[torch.randint(3, 50, size), torch.ones(size, dtype=torch.long)] for size in ((1, 1), (3, 17), (9, 40))]
    found: dict[str, Any] = {}
    with TemporaryDirectory() as folder:
        encoding, stepping = Path(folder, "encoder"), Path(folder, "step")
        compile_program(FirstField(encoder, ["input_ids", "attention_mask"]), [ids, ids], encoding, longest=64)
        compile_program(DecodeStep(decoder.eval(), whole=True), step, stepping)
        for path, inputs in ((encoding, calls), (stepping, [step])):
            mapped, extracted = load(path), load_a_copy(path)
            same = []
            for given in inputs:
                ours, theirs = ([tensor.clone() for tensor in given] for _ in range(2))
                ours, theirs = [*mapped(ours), *ours], [*extracted(theirs), *theirs]
                same.append(all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True)))
            found[path.name] = same
        with open("/proc/self/maps", encoding="utf-8") as maps:
            found["mapped"] = sorted(
                {Path(line.split()[-1]).relative_to(folder).parts[0] for line in maps if folder in line}
            )
        libraries = [library.read_bytes() for library in Path(folder).rglob("*.so")]
        found["rooms by"] = sorted(
            {name for each in libraries for name in ("malloc", "valloc") if _imports(each, name)}
        )
        found["left beside them"] = sorted(path.name for path in Path(folder).iterdir())
    return found


def _imports(library: bytes, name: str) -> bool:
    """Whether a dynamic library has a name among those that it looks for elsewhere: .dynstr, near its beginning."""
    return b"\0" + name.encode() + b"\0" in library[: 1 << 20]


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
    # Of integers there is a program for each shape.
    weights = Candidate(engine="torch", dtype="int8", scheme="weight-only", activations="fp32")
    prepared = prepare(model, weights, batch, "embed")
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
    print(
        json.dumps(
            {
                "layers": layers,
                "attention": attention,
                "steps": steps,
                "windows": windows,
                "any_shape": any_shape,
                "forms": forms,
                "keys": keys,
                "release": release,
            }[sys.argv[1]]()
        )
    )
