"""Makes the batches that a model runs on: lines of a text file, or seeded random tokens; reads the text file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.run.load_model import Loaded

if TYPE_CHECKING:
    import torch

DISTINCT_BATCHES = 16
"""So many different batches are used in turn, so that no call finds its activations in the caches of the one before."""

Batch = Mapping[str, "torch.Tensor"]
"""input_ids and attention_mask, as a tokenizer gives them."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Batches of one shape, with what they hold."""

    batches: tuple[Batch, ...]
    tokens: tuple[int, ...]
    """Tokens of each batch, without padding."""
    text: str
    """For the report: which text this is."""


def make_inputs(job: ModelJob, loaded: Loaded, *, batches: int = DISTINCT_BATCHES) -> Inputs:
    """Make different batches of exactly `input_tokens` tokens for each input, the same in every worker.

    Args:
        job: its text, seed, batch size, tokens and task are used.
        loaded: the model they are for.
        batches: how many.

    Raises:
        RequestError: more tokens than the model has positions, or a text file that cannot be used.
    """
    _check_length(job, loaded.config)
    if job.text:
        made = _tokenised(job, loaded, batches)
        text = job.text
    else:
        made = _generated(job, loaded.config, batches)
        text = f"generated, seed {job.seed}"
    return Inputs(batches=made, tokens=tuple(int(batch["attention_mask"].sum()) for batch in made), text=text)


def _check_length(job: ModelJob, config: Any) -> None:
    wanted = job.input_tokens + (job.new_tokens if job.task == "generate" else 0)
    positions = getattr(config, "max_position_embeddings", None)
    # RoBERTa and its kin count positions from the padding index on.
    usable = (
        positions - 2 if positions and getattr(config, "model_type", "") in ("roberta", "xlm-roberta") else positions
    )
    if usable and wanted > usable:
        new = f" and {job.new_tokens} new ones" if job.task == "generate" else ""
        raise RequestError(
            f"run inputs of {job.input_tokens} tokens{new}", f"the model has {usable} positions", "ask for fewer tokens"
        )


def _generated(job: ModelJob, config: Any, batches: int) -> tuple[Batch, ...]:
    """Tokens drawn evenly from the vocabulary without the special ones, which would end or mask a text."""
    import torch

    special = {getattr(config, name, None) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    allowed = torch.ones(config.vocab_size, dtype=torch.bool)
    allowed[[token for token in special if isinstance(token, int) and 0 <= token < config.vocab_size]] = False
    vocabulary = allowed.nonzero().flatten()
    generator = torch.Generator().manual_seed(job.seed)
    shape = (batches, job.batch_size, job.input_tokens)
    tokens = vocabulary[torch.randint(len(vocabulary), shape, generator=generator)]
    return tuple({"input_ids": ids.contiguous(), "attention_mask": torch.ones_like(ids)} for ids in tokens)


def _tokenised(job: ModelJob, loaded: Loaded, batches: int) -> tuple[Batch, ...]:
    """The file's lines from its beginning, and again from there where it is short; cut or padded to one length."""
    if loaded.tokenizer is None:
        raise RequestError(
            f"use the text {job.text}",
            f"{job.model} has no tokenizer",
            "leave the text away for generated tokens, or give a directory that has a tokenizer",
        )
    lines = _lines(job.text)
    tokenizer = loaded.tokenizer
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    # A decoder goes on from its last position, which must not be padding.
    tokenizer.padding_side = "left" if job.task == "generate" else "right"
    endless = cycle(lines)
    made = []
    for _ in range(batches):
        part = list(islice(endless, job.batch_size))
        batch = tokenizer(part, padding="max_length", truncation=True, max_length=job.input_tokens, return_tensors="pt")
        made.append({name: batch[name] for name in ("input_ids", "attention_mask")})
    return tuple(made)


def _lines(path: str) -> list[str]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"use the text {path}", str(error)) from error
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        raise RequestError(f"use the text {path}", "it has no line with text", "give one input a line")
    return lines
