"""Runs one batch through a prepared model: forward, embed, classify or generate, with the time of every token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Any

import torch

from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.make_inputs import Batch
from ipexlaunch.models.run.prepared import Prepared


@dataclass(frozen=True, kw_only=True)
class Call:
    """What one batch gave, and how long it took."""

    answer: torch.Tensor
    """forward: the hidden states or logits; embed: unit vectors; classify: logits; generate: the new tokens."""
    seconds: float
    first_token_s: float | None = None
    """From the start to the first new token of every input; None for other tasks."""
    next_token_s: tuple[float, ...] = ()
    """Between one new token and the next."""


def run_task(prepared: Prepared, task: Task, batch: Batch, new_tokens: int) -> Call:
    """Run one batch to its end.

    Args:
        prepared: the model.
        task: what to do with it.
        batch: its inputs.
        new_tokens: how many to generate for each input, no fewer and no more (task generate).
    """
    if task == "generate":
        return _generate(prepared, batch, new_tokens)
    with torch.no_grad(), prepared.context():
        began = monotonic()
        batch = prepared.place(batch)
        answer = prepared.fetch(_answer(prepared.model(**batch), task, batch))
        return Call(answer=answer, seconds=monotonic() - began)


def _answer(output: Any, task: Task, batch: Batch) -> torch.Tensor:
    if task == "embed":
        return embed(field_of(output, "last_hidden_state"), batch["attention_mask"])
    if task == "classify":
        return field_of(output, "logits")
    return field_of(output, "logits", "last_hidden_state")


def embed(hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """One unit vector for each input: the mean over its tokens, normalised (as sentence-transformers pools MiniLM)."""
    weights = attention_mask.unsqueeze(-1).float()
    mean = (hidden.float() * weights).sum(1) / weights.sum(1).clamp(min=1)
    return torch.nn.functional.normalize(mean, dim=1)


def field_of(output: Any, *names: str) -> torch.Tensor:
    """The first of the named tensors that a model's output has; traced models give plain dicts or tuples."""
    for name in names:
        found = output.get(name) if isinstance(output, dict) else getattr(output, name, None)
        if isinstance(found, torch.Tensor):
            return found
    first = output[0]
    if not isinstance(first, torch.Tensor):
        raise TypeError(f"the model gave {type(output).__name__} without {' or '.join(names)}")
    return first


class StepTimes:
    """A stopping criterion that never stops: `generate` asks it after every token, and it notes the time."""

    def __init__(self, settle: Callable[[], None]) -> None:
        """Nothing was asked yet.

        Args:
            settle: waits until the token is there.
        """
        self.settle = settle
        self.at: list[float] = []

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """Note the time; go on with every input."""
        self.settle()
        self.at.append(monotonic())
        return torch.zeros(input_ids.shape[0], dtype=torch.bool, device=input_ids.device)


def greedy(prepared: Prepared, batch: Batch, new_tokens: int, **more: object) -> torch.Tensor:
    """The batch's inputs with exactly `new_tokens` more, each the likeliest.

    Args:
        prepared: a decoder.
        batch: padded on the left.
        new_tokens: how many.
        more: further arguments of transformers' generate.
    """
    model: Any = prepared.model
    options: dict[str, object] = {
        "do_sample": False,
        "num_beams": 1,
        "max_new_tokens": new_tokens,
        "min_new_tokens": new_tokens,
        "pad_token_id": _pad_token(model.config),
        **more,
    }
    with torch.no_grad(), prepared.context():
        made = model.generate(**prepared.place(batch), **options)
    # IPEX's own loops give a tuple where they were asked for latencies.
    tokens: torch.Tensor = made if isinstance(made, torch.Tensor) else made[0]
    return prepared.fetch(tokens)


def _generate(prepared: Prepared, batch: Batch, new_tokens: int) -> Call:
    times = StepTimes(prepared.settle)
    began = monotonic()
    made = greedy(prepared, batch, new_tokens, stopping_criteria=[times])
    seconds = monotonic() - began
    answer = made[:, batch["input_ids"].shape[1] :]
    if answer.shape[1] != new_tokens or len(times.at) < new_tokens:
        raise RuntimeError(
            f"generate gave {answer.shape[1]} new tokens in {len(times.at)} steps where {new_tokens} were asked for"
        )
    steps = times.at[:new_tokens]
    return Call(
        answer=answer,
        seconds=seconds,
        first_token_s=steps[0] - began,
        next_token_s=tuple(after - before for before, after in pairwise(steps)),
    )


def _pad_token(config: Any) -> int:
    """Any token will do, nothing is ever padded in a greedy search without an end."""
    for name in ("pad_token_id", "eos_token_id"):
        token = getattr(config, name, None)
        if isinstance(token, Sequence) and token:
            token = token[0]
        if isinstance(token, int) and token >= 0:
            return token
    return 0
