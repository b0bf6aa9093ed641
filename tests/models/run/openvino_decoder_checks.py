"""What tests ask of a paged decoder, in the environment with OpenVINO: `python -m ...openvino_decoder_checks WHAT`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from typing import Any

import torch
import transformers

from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.run import paged_decoder
from ipexlaunch.models.run.convert_decoder import convert_decoder
from ipexlaunch.models.run.greedy_search import search_greedily
from ipexlaunch.models.run.prepare import Prepared, import_engine, prepare
from ipexlaunch.models.run.quantise_openvino import quantise
from ipexlaunch.models.run.run_task import compare, greedy, run_task, take_reference

SIZES = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 97}
CONFIGS = {
    "llama": transformers.LlamaConfig(**SIZES, intermediate_size=128),
    "mistral": transformers.MistralConfig(**SIZES, intermediate_size=128, num_key_value_heads=2, sliding_window=8),
    # One layer sees everything, the other as far as its window.
    "qwen2": transformers.Qwen2Config(
        **SIZES,
        intermediate_size=128,
        num_key_value_heads=2,
        use_sliding_window=True,
        sliding_window=8,
        max_window_layers=1,
        tie_word_embeddings=True,
    ),
    "opt": transformers.OPTConfig(**SIZES, ffn_dim=128, word_embed_proj_dim=64, max_position_embeddings=256),
    "gpt2": transformers.GPT2Config(
        n_embd=64, n_layer=2, n_head=4, vocab_size=97, n_positions=256, bos_token_id=1, eos_token_id=2
    ),
}
INT8 = Candidate(engine="openvino", dtype="int8", scheme="dynamic", activations="fp32")


def decoder(name: str) -> torch.nn.Module:
    """A small one with random weights of an architecture."""
    torch.manual_seed(1)
    return transformers.AutoModelForCausalLM.from_config(CONFIGS[name]).eval()


def batch_of(lengths: list[int]) -> dict[str, torch.Tensor]:
    """Prompts of these lengths, padded on the left."""
    generator = torch.Generator().manual_seed(2)
    ids = torch.randint(3, 97, (len(lengths), max(lengths)), generator=generator)
    mask = torch.tensor([[0] * (max(lengths) - length) + [1] * length for length in lengths])
    return {"input_ids": ids * mask, "attention_mask": mask}


def prepared_of(model: torch.nn.Module, candidate: Candidate = floating("openvino", "fp32")) -> Prepared:  # noqa: B008
    """The model in engine openvino."""
    return prepare(model, candidate, batch_of([4]), "generate")


def architectures() -> dict[str, Any]:
    """How far each architecture's logits are from eager fp32's, prompts of several lengths in one batch."""
    found: dict[str, Any] = {}
    for name in CONFIGS:
        model = decoder(name)
        reference = take_reference(model, "generate", [batch_of([40, 7, 33])])
        found[name] = compare(prepared_of(model), reference).logit_error
        if name == "llama":
            found["int8"] = compare(prepared_of(model, INT8), reference).logit_error
    return found


def parts() -> dict[str, Any]:
    """Whether prompts that are read in parts, in a pool that grows, give what they give at once."""
    prepared, batch = prepared_of(decoder("llama")), batch_of([40, 7, 33])
    whole = run_task(prepared, "generate", batch, 6)
    paged_decoder.TOKENS_AT_ONCE = 16
    in_parts = run_task(prepared, "generate", batch, 6)
    longer = greedy(prepared, batch_of([90, 90, 90, 90]), 20)
    return {
        "same": torch.equal(whole.answer, in_parts.answer),
        "times": [1 + len(call.next_token_s) for call in (whole, in_parts)],
        "longer": list(longer.shape),
        "free": len(prepared.paged._free) == prepared.paged._blocks if prepared.paged else None,
    }


def places() -> dict[str, Any]:
    """Whether a row that enters when another has left gives what it gives alone."""
    model = decoder("llama")
    prepared, prompts = prepared_of(model), [[5, 6, 7], list(range(3, 50)), [90, 4]]
    alone = []
    for prompt in prompts:
        made = greedy(prepared, {"input_ids": torch.tensor([prompt])}, 6, min_new_tokens=0)
        alone.append(made[0, len(prompt) :].tolist())
    paged = prepared.paged
    assert paged is not None
    paged.make_room(2, 64)
    limits, waiting, refused = [6, 3, 6], [0, 1, 2], 0
    made_of: dict[int, list[int]] = {}
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting:
            row = paged.enter(prompts[waiting[0]], 64)
            if row is None:
                refused += 1
                break
            running[row] = waiting.pop(0)
        for row, scores in zip(*paged.step(), strict=True):
            tokens = made_of.setdefault(running[row], [])
            tokens.append(int(scores.argmax()))
            row.pending.append(tokens[-1])
            if len(tokens) == limits[running[row]]:
                paged.leave(row)
                del running[row]
    together = [made_of[number] for number in range(3)]
    return {
        "same": together == [tokens[:limit] for tokens, limit in zip(alone, limits, strict=True)],
        "refused": refused,
    }


def integers() -> dict[str, Any]:
    """What int8 decoders of some widths and two kinds of activations run in, and how far they are off."""
    found: dict[str, Any] = {}
    half = replace(INT8, activations="bf16")
    wide, thirds = (
        transformers.LlamaConfig(**SIZES | {"hidden_size": width}, intermediate_size=768) for width in (256, 384)
    )
    kinds = {"narrow": (CONFIGS["llama"], half), "wide": (wide, half), "fp32": (wide, INT8), "thirds": (thirds, INT8)}
    for name, (config, candidate) in kinds.items():
        torch.manual_seed(1)
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        reference = take_reference(model, "generate", [batch_of([40, 7, 33])])
        prepared = prepared_of(model, candidate)
        assert prepared.paged is not None
        compiled = prepared.paged._request.get_compiled_model()
        graph = quantise(convert_decoder(model), INT8, None, generates=True)[0]
        types = {str(node.get_element_type()) for node in graph.get_ops() if node.get_type_name() == "Constant"}
        found[name] = {
            "group": compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE"),
            "keys": str(compiled.get_property("KV_CACHE_PRECISION")),
            "eight_bits": sorted(kind for kind in types if kind.endswith("int8_t'>")),
            "error": compare(prepared, reference).logit_error,
        }
    return found


def chooses() -> dict[str, Any]:
    """What a search takes of scores with ties, in both kinds of numbers, with tokens that end a text and without."""
    scores = torch.tensor([[1.0, 7.0, 7.0, 2.0], [9.0, 3.0, 4.0, 4.0]])
    ids = torch.zeros(2, 1, dtype=torch.long)

    def tokens(kind: torch.dtype, may_end: bool) -> list[int]:
        def always(_: torch.Tensor | None, __: int) -> torch.Tensor:
            return scores.to(kind, copy=True)

        made = search_greedily(ids, 1, always, [0, 1], (), (), may_end=may_end)
        taken: list[int] = made[:, 1].tolist()
        return taken

    return {str(kind): [tokens(kind, True), tokens(kind, False)] for kind in (torch.float32, torch.bfloat16)}


if __name__ == "__main__":
    import_engine(INT8)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    checks = (architectures, parts, places, integers, chooses)
    print(json.dumps({check.__name__: check for check in checks}[sys.argv[1]]()))
