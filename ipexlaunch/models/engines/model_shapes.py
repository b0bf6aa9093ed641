"""Shapes of published models, for `random:NAME`: a seeded, randomly initialised model that needs no download."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.model_job import RANDOM_PREFIX

Field = int | float | bool
"""A value of a transformers configuration."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """A published architecture with its sizes; what is not named has the default of transformers' configuration."""

    name: str
    model_type: str
    """transformers' name of the architecture, e.g. "llama"."""
    decoder: bool
    """Whether it generates text; else it is an encoder."""
    fields: Mapping[str, Field]


def _bert(name: str, hidden: int, layers: int, heads: int) -> ModelShape:
    fields: dict[str, Field] = {
        "vocab_size": 30522,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * hidden,
        "max_position_embeddings": 512,
    }
    return ModelShape(name=name, model_type="bert", decoder=False, fields=fields)


_DECODER_FIELDS = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "vocab_size", "max_position_embeddings",
)  # fmt: skip


def _decoder(name: str, *sizes: int, model_type: str = "llama", tied: bool = False) -> ModelShape:
    fields: dict[str, Field] = {**dict(zip(_DECODER_FIELDS, sizes, strict=True)), "tie_word_embeddings": tied}
    return ModelShape(name=name, model_type=model_type, decoder=True, fields=fields)


_GPT2: dict[str, Field] = {"vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_positions": 1024}
_OPT: dict[str, Field] = {
    "vocab_size": 50272,
    "hidden_size": 768,
    "word_embed_proj_dim": 768,
    "ffn_dim": 3072,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 2048,
}

# Whose config.json the sizes were taken from stands behind each.
_SHAPES = (
    _bert("minilm", 384, 6, 12),  # sentence-transformers/all-MiniLM-L6-v2
    _bert("bert-tiny", 128, 2, 2),  # google/bert_uncased_L-2_H-128_A-2
    _bert("bert-base", 768, 12, 12),  # google-bert/bert-base-uncased
    _bert("bert-large", 1024, 24, 16),  # google-bert/bert-large-uncased
    ModelShape(name="gpt2", model_type="gpt2", decoder=True, fields=_GPT2),  # openai-community/gpt2
    ModelShape(name="opt-125m", model_type="opt", decoder=True, fields=_OPT),  # facebook/opt-125m
    _decoder("llama-15m", 288, 768, 6, 6, 6, 32000, 256, tied=True),  # karpathy/tinyllamas, stories15M
    _decoder("llama-68m", 768, 3072, 2, 12, 12, 32000, 2048),  # JackFram/llama-68m
    _decoder("llama-160m", 768, 3072, 12, 12, 12, 32000, 2048),  # JackFram/llama-160m
    _decoder("llama-1.1b", 2048, 5632, 22, 32, 4, 32000, 2048),  # TinyLlama/TinyLlama-1.1B-Chat-v1.0
    _decoder("llama-2-7b", 4096, 11008, 32, 32, 32, 32000, 4096),  # meta-llama/Llama-2-7b-hf
    _decoder("llama-3.1-8b", 4096, 14336, 32, 32, 8, 128256, 8192),  # meta-llama/Llama-3.1-8B
    _decoder("qwen2.5-0.5b", 896, 4864, 24, 14, 2, 151936, 32768, model_type="qwen2", tied=True),  # Qwen/Qwen2.5-0.5B
)

SHAPES: Mapping[str, ModelShape] = {shape.name: shape for shape in _SHAPES}
"""By name, encoders first."""


def is_random(model: str) -> bool:
    """Whether a `--model` names a randomly initialised model instead of a directory."""
    return model.startswith(RANDOM_PREFIX)


def shape_of(model: str) -> ModelShape:
    """The shape that `random:NAME` names.

    Args:
        model: the whole word, with its prefix.

    Raises:
        RequestError: no such shape.
    """
    name = model.removeprefix(RANDOM_PREFIX)
    shape = SHAPES.get(name)
    if shape is None:
        known = ", ".join(SHAPES)
        raise RequestError(f"make the random model {name!r}", f"the published shapes known here are {known}")
    return shape
