"""A model job: everything the built-in worker needs to know to run a model, as one value that travels as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from ipexlaunch.models.engines.candidate import REFERENCE, Candidate

Task = Literal["forward", "embed", "classify", "generate"]
TASKS: tuple[Task, ...] = ("forward", "embed", "classify", "generate")
"""forward: one call of the model; embed: a unit vector per input; classify: the largest logit; generate: tokens."""

Device = Literal["cpu", "xpu", "cuda"]

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
    requests: bool = False
    """Whether items are requests of an OpenAI batch file instead of texts."""
    check: bool = True
    """Compare the answers with eager fp32 before the start."""

    def to_json(self) -> str:
        """One line, which `from_json` reads back to the same value."""
        fields = asdict(self)
        if not self.requests:
            del fields["requests"]  # a job of texts is called as it was before there were requests, and can be resumed
        return json.dumps(fields, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ModelJob:
        """The job that `to_json` wrote; it is read by the version that wrote it, so a mismatch is a TypeError."""
        return cls.from_fields(json.loads(text))

    @classmethod
    def from_fields(cls, fields: Mapping[str, Any]) -> ModelJob:
        """The same of the fields that `asdict` gives."""
        return cls(**{**fields, "candidate": Candidate(**fields["candidate"])})
