"""Runs one batch through a prepared model, with the time of every token; compares its answers with eager fp32's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Any

import torch

from ipexlaunch.models.engines.candidate import REFERENCE
from ipexlaunch.models.engines.measurement import AnswerSimilarity
from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.batches import special_tokens
from ipexlaunch.models.run.prepare import Batch, Prepared


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
        output = prepared.model(**batch)
        answer = prepared.fetch(output[0] if prepared.pools else _answer(output, task, batch))
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
        """Note the time; continue with every input."""
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
        # Any token will do, nothing is ever padded in a greedy search without an end.
        "pad_token_id": next(iter(special_tokens(model.config, "pad_token_id", "eos_token_id")), 0),
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


CHECKED_TOKENS = 8
"""So many generated tokens of every input are compared: the first comes from the prompt, the others from the cache."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """What eager fp32 answers; taken before the model is converted, so that it need not be kept."""

    task: Task
    batches: tuple[Batch, ...]
    answers: tuple[torch.Tensor, ...]
    """For generate the logits of every new token: inputs, tokens, vocabulary."""
    tokens: tuple[torch.Tensor, ...] = ()
    """The new tokens that were chosen (generate)."""


def take_reference(
    model: torch.nn.Module, task: Task, batches: Sequence[Batch], new_tokens: int = CHECKED_TOKENS
) -> Reference:
    """Run the model as it was loaded.

    Args:
        model: in fp32 and eval mode, not prepared by any engine.
        task: what to do.
        batches: the inputs to compare on.
        new_tokens: how many tokens of each input to compare (generate).
    """
    plain = Prepared(model=model, candidate=REFERENCE)
    if task != "generate":
        answers = tuple(run_task(plain, task, batch, 0).answer.float().clone() for batch in batches)
        return Reference(task=task, batches=tuple(batches), answers=answers)
    tokens = tuple(greedy(plain, batch, new_tokens)[:, batch["input_ids"].shape[1] :] for batch in batches)
    logits = tuple(_forced_logits(plain, batch, made) for batch, made in zip(batches, tokens, strict=True))
    return Reference(task=task, batches=tuple(batches), answers=logits, tokens=tokens)


def compare(prepared: Prepared, reference: Reference) -> AnswerSimilarity:
    """How far the prepared model's answers are from the reference's.

    A decoder is led along the reference's own tokens, through the very `generate` that is measured, so that one
    different choice does not make everything after it different, and so that the cached steps are compared too.

    Args:
        prepared: the model of one engine.
        reference: from the same weights.
    """
    if reference.task == "generate":
        parts = [
            _forced_logits(prepared, batch, tokens)
            for batch, tokens in zip(reference.batches, reference.tokens, strict=True)
        ]
        return _logit_errors(parts, reference.answers)
    parts = [run_task(prepared, reference.task, batch, 0).answer.float() for batch in reference.batches]
    if reference.task == "classify":
        return _logit_errors(parts, reference.answers)
    masks = [batch["attention_mask"] for batch in reference.batches]
    return _cosines(parts, reference.answers, masks)


class _Leader:
    """A logits processor that notes what the model said and then leaves it one choice."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self.tokens = tokens
        self.said: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        step = len(self.said)
        self.said.append(scores.float().cpu().clone())
        only = torch.full_like(scores, -torch.inf)
        return only.scatter_(1, self.tokens[:, step : step + 1].to(scores.device), 0.0)


def _forced_logits(prepared: Prepared, batch: Batch, tokens: torch.Tensor) -> torch.Tensor:
    leader = _Leader(tokens)
    made = greedy(prepared, batch, tokens.shape[1], logits_processor=[leader])
    if not torch.equal(made[:, batch["input_ids"].shape[1] :], tokens):
        raise RuntimeError("generate did not follow the tokens that a logits processor left it")
    return torch.stack(leader.said, dim=1)


def _logit_errors(ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor]) -> AnswerSimilarity:
    """Over the last dimension, the worst input's; what `generate` forbids (an end too early) is -inf in both."""
    same = total = 0
    worst = 0.0
    for here, there in zip(ours, theirs, strict=True):
        agree = here.argmax(-1) == there.argmax(-1)
        same += int(agree.sum())
        total += agree.numel()
        allowed = torch.isfinite(there)
        # Adding a constant to all logits changes nothing, so the means go.
        error, spread = _centred(here - there, allowed), _centred(there, allowed)
        # One class in two says little alone, so inputs share their spread; an input's tokens are taken together.
        size = spread.flatten(1).norm(dim=1) if there.dim() == 3 else spread.norm(dim=1).square().mean().sqrt()
        relative = error.flatten(1).norm(dim=1) / size.clamp(min=1e-6)
        worst = max(worst, float(relative.nan_to_num(nan=torch.inf).max()))
    return AnswerSimilarity(agreement=same / total, logit_error=worst)


def _centred(values: torch.Tensor, allowed: torch.Tensor) -> torch.Tensor:
    kept = torch.where(allowed, values, 0.0)
    return torch.where(allowed, kept - kept.sum(-1, keepdim=True) / allowed.sum(-1, keepdim=True), 0.0)


def _cosines(
    ours: Sequence[torch.Tensor], theirs: Sequence[torch.Tensor], masks: Sequence[torch.Tensor]
) -> AnswerSimilarity:
    """Of each input's answer with the reference's: its vector, or all its states of real tokens as one vector."""
    worst = 1.0
    for here, there, mask in zip(ours, theirs, masks, strict=True):
        if here.dim() == 3:
            here, there = here * mask.unsqueeze(-1), there * mask.unsqueeze(-1)
        cosine = torch.nn.functional.cosine_similarity(here.flatten(1).double(), there.flatten(1).double(), dim=1)
        worst = min(worst, float(cosine.nan_to_num(nan=-1.0).min()))
    return AnswerSimilarity(cosine=worst)
