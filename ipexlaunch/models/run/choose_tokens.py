"""Chooses tokens, each row's by that row's own rules, whatever else is in its batch; and says when rows are done."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from ipexlaunch.models.engines.openai_request import Sampling


class RowSampler:
    """A logits processor that leaves each row one token: the likeliest, or one drawn with the row's own generator.

    `generate` then picks it greedily, on every engine alike. A row with a seed gives the same tokens in every batch.
    """

    def __init__(self, rows: Sequence[Sampling], seeds: Sequence[int]) -> None:
        """Make a generator for each row.

        Args:
            rows: how tokens are chosen in each.
            seeds: for the rows that name none.
        """
        self._rows = rows
        self._generators = []
        for row, seed in zip(rows, seeds, strict=True):
            generator = torch.Generator()
            generator.manual_seed(seed if row.seed is None else row.seed)
            self._generators.append(generator)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores in which every row has one token left.

        Args:
            input_ids: rows x tokens so far.
            scores: rows x vocabulary; rows beyond ours only fill the batch.
        """
        for at, (row, generator) in enumerate(zip(self._rows, self._generators, strict=True)):
            if row.temperature == 0:
                continue  # greedy search takes the likeliest by itself
            chosen = _draw(scores[at].float().cpu(), row, generator)
            scores[at] = float("-inf")
            scores[at, chosen] = 0.0
        return scores


def _draw(scores: torch.Tensor, row: Sampling, generator: torch.Generator) -> int:
    """One token: softmax at the temperature, cut to the fewest tokens that hold top_p of it.

    Source: Holtzman et al., The Curious Case of Neural Text Degeneration (nucleus sampling).
    """
    shares = torch.softmax(scores / row.temperature, dim=-1)
    if row.top_p < 1:
        ordered, places = shares.sort(descending=True)
        before = ordered.cumsum(-1) - ordered
        ordered[before >= row.top_p] = 0.0
        ordered[0] = max(float(ordered[0]), 1e-30)  # top_p 0 leaves the likeliest
        return int(places[torch.multinomial(ordered, 1, generator=generator)])
    return int(torch.multinomial(shares, 1, generator=generator))


class StopWhenDone:
    """A stopping criterion that ends a batch once every row has all that it asked for."""

    def __init__(self, done: Callable[[int, list[int]], bool], rows: int, prompt: int) -> None:
        """Begin with no row done.

        Args:
            done: whether a row, by its number and its new tokens, needs no more.
            rows: how many are asked.
            prompt: tokens of the prompts, padding included.
        """
        self._done = done
        self._left = set(range(rows))
        self._prompt = prompt

    def __call__(self, input_ids: torch.Tensor, scores: object, **_: object) -> torch.Tensor:
        """True for every row or for none: engines differ in whether they look at single rows."""
        new = input_ids[:, self._prompt :]
        self._left = {row for row in self._left if not self._done(row, new[row].tolist())}
        return torch.full((input_ids.shape[0],), not self._left, dtype=torch.bool, device=input_ids.device)


def first_stop(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop sequence begins; None where there is none."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return min(places, default=None)
