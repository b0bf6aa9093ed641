"""What the built-in workers are asked to do, as values that travel as JSON: a model to run, candidates to measure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import REFERENCE, Candidate

Task = Literal["forward", "embed", "classify", "generate"]
TASKS: tuple[Task, ...] = ("forward", "embed", "classify", "generate")
"""forward: one call of the model; embed: a unit vector per input; classify: the largest logit; generate: tokens."""

Device = Literal["cpu", "xpu", "cuda"]

CACHE_LIMIT_BYTES = 20 * 2**30
"""Of the compile cache where none is given: a dozen programs of a model of 500 million parameters in bf16."""

RANDOM_PREFIX = "random:"
"""`random:NAME` is a seeded, randomly initialised model of a published shape (model_shapes.py)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelJob:
    """What to run, in which numbers, on which text, for how long."""

    model: str
    """A transformers directory (config.json, *.safetensors), or random:NAME."""
    task: Task = "forward"
    candidate: Candidate = REFERENCE
    batch_size: int = 8
    """Inputs of one call."""
    input_tokens: int = 128
    """Length of every input; a text file's lines are cut or padded to it."""
    new_tokens: int = 32
    """Tokens to generate for each input (task generate)."""
    text: str = ""
    """A text file, one input a line; "" for generated text."""
    text_name: str = ""
    """What messages and the report call the text; "" for its path."""
    checkpoint: str = ""
    """A low-precision checkpoint (GPTQ or AWQ) of the model; engine ipex."""
    warmup_batches: int = 3
    """Calls after compilation and before the common start; not measured."""
    seconds: float = 10.0
    """How long to measure; a call that has begun is finished."""
    seed: int = 0
    device: Device = "cpu"
    cache: str = ""
    """Directory of the compile caches; "" for none."""
    cache_limit_bytes: int = CACHE_LIMIT_BYTES
    """What is built there makes room for itself above this."""
    requests: bool = False
    """Whether items are requests of an OpenAI batch file instead of texts."""
    check: bool = True
    """Compare the answers with eager fp32 before the start."""
    min_cosine: float | None = None
    """What their cosine must be at least, instead of what is asked of the dtype; None for that."""

    def to_json(self) -> str:
        """One line, which `from_json` reads back to the same value."""
        fields = {**asdict(self), "candidate": self.candidate.fields}
        # What is not asked for is left out: a job is called as it was before there was such a thing, and goes on.
        for name in ("requests", "min_cosine", "text_name"):
            if not fields[name]:
                del fields[name]
        if self.cache_limit_bytes == CACHE_LIMIT_BYTES:
            del fields["cache_limit_bytes"]
        return json.dumps(fields, separators=(",", ":"))

    @property
    def product_rows(self) -> int:
        """Rows of the products that it makes most of: the inputs of a decoder's step, else all tokens of a call."""
        return self.batch_size if self.task == "generate" else self.batch_size * self.input_tokens

    def unlimited(self) -> ModelJob:
        """The same with the usual limit of the cache, which decides over no answer and no rate."""
        return replace(self, cache_limit_bytes=CACHE_LIMIT_BYTES)

    @classmethod
    def from_json(cls, text: str) -> ModelJob:
        """The job that `to_json` wrote; it is read by the version that wrote it, so a mismatch is a TypeError."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ModelJob:
        """The same of the fields that `asdict` gives."""
        return cls(**{**fields, "candidate": Candidate(**fields["candidate"])})


SECONDS = 2.0
"""How long one candidate is timed, its reference aside."""

LARGEST_WHOLE_MODEL = 500_000_000
"""A model of more parameters is measured by its first layers: all are alike, and several copies must fit."""

FEW_LAYERS = 2

_ORDER = ("eager", "torch", "openvino", "ipex")


def measuring_order(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates as they should be measured: IPEX and zentorch change torch when imported, so theirs come last."""
    return tuple(sorted(candidates, key=lambda each: (each.backend, _ORDER.index(each.engine))))


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuringJob:
    """What the measuring worker does."""

    job: ModelJob
    """The model, the task and its sizes; its own candidate and its seconds are not used."""
    candidates: tuple[Candidate, ...]
    """In the order in which they are measured (`measuring_order`)."""
    seconds: float = SECONDS
    layers: int | None = None
    """Measure so many of the first layers; None for all, or FEW_LAYERS of a large model."""
    one_stretch: bool = False
    """Time each candidate's calls one after the other, with the reference before and after them only."""
    barrier: str = ""
    """A directory in which the workers wait for each other, so that all measure the same at the same time."""
    workers: int = 1
    """How many wait there."""

    def to_json(self) -> str:
        """One line, which `from_json` reads back to the same value."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> MeasuringJob:
        """The job that `to_json` wrote; it is read by the version that wrote it, so a mismatch is a TypeError."""
        fields = json.loads(text)
        candidates = tuple(Candidate(**each) for each in fields["candidates"])
        return cls(**{**fields, "job": ModelJob.from_fields(fields["job"]), "candidates": candidates})


def default_task(architecture: str) -> Task:
    """generate for models with a language head, classify for classifiers, embed for the rest.

    Args:
        architecture: as transformers' config.json names it, e.g. "BertModel"; "" where it names none.
    """
    if architecture.endswith("ForSequenceClassification"):
        return "classify"
    if architecture.endswith(("ForCausalLM", "LMHeadModel")) and not architecture.startswith("Bert"):
        return "generate"
    return "embed"


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
        raise RequestError(f"make the random model {name!r}", "that shape is not known here", f"take one of {known}")
    return shape


SHORTEST = 32
"""Tokens; a shorter shape saves little of a call and costs a graph of its own."""

STEP = 8
"""Where any shape runs, lengths are multiples of this: oneDNN keeps what it prepared for a shape."""

SMALLER = 4
"""At the end of the input batches shrink; those of up to a quarter of the rows have shapes of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchShapes:
    """The shapes of one model job."""

    rows: int
    """Texts of a batch, at most."""
    longest: int
    """Tokens of a text, at most."""
    fixed: bool
    """Whether every batch must have one of few shapes, because a graph is recorded or compiled for each."""

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths that are run before the start, ascending: doubling where shapes are fixed, else the longest."""
        if not self.fixed:
            return (self.longest,)
        lengths = []
        length = SHORTEST
        while length < self.longest:
            lengths.append(length)
            length *= 2
        return (*lengths, self.longest)

    @property
    def row_counts(self) -> tuple[int, ...]:
        """The numbers of rows that are run, descending: where shapes are fixed, whole batches and the small ones of the
        end, else any, of which only the largest is run before the start."""
        few = self.rows // SMALLER
        return (self.rows, few) if self.fixed and few else (self.rows,)

    def fitting(self, texts: Sequence[int]) -> tuple[int, int]:
        """Rows and length of the smallest shape that holds texts of so many tokens.

        Args:
            texts: tokens of each, none above `longest`.
        """
        most = max(texts, default=1)
        if self.fixed:
            rows = min(rows for rows in self.row_counts if rows >= len(texts))
            return rows, next(length for length in self.lengths if length >= most)
        return len(texts), min(self.longest, -(-most // STEP) * STEP)
