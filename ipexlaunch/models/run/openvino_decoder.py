"""Generates with a paged decoder as transformers' generate does: a whole batch, one token of each row after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ipexlaunch.models.run.batches import special_tokens
from ipexlaunch.models.run.greedy_search import refuse_other_searches, search_greedily
from ipexlaunch.models.run.paged_decoder import PagedDecoder, Row


class OpenVinoDecoder(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """A decoder of engine openvino; batches and single rows go through the same program."""

    def __init__(self, model: torch.nn.Module, paged: PagedDecoder) -> None:
        """Take the program.

        Args:
            model: its configuration is kept, and the tokens that end a text.
            paged: made of the same model.
        """
        super().__init__()
        self.config: Any = getattr(model, "config", None)
        self.generation_config: Any = getattr(model, "generation_config", None)
        self.paged = paged
        """Takes single rows, too; no batch is generated meanwhile."""

    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        max_new_tokens: int,
        min_new_tokens: int = 0,
        do_sample: bool = False,
        num_beams: int = 1,
        logits_processor: Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = (),
        stopping_criteria: Sequence[Callable[[torch.Tensor, torch.Tensor], object]] = (),
        pad_token_id: int | None = None,
    ) -> torch.Tensor:
        """Like transformers' generate; arguments as those of compiled_model.py's.

        Raises:
            RequestError: a search that is not greedy.
        """
        refuse_other_searches(
            "openvino",
            do_sample=do_sample,
            num_beams=num_beams,
            min_new_tokens=min_new_tokens,
            max_new_tokens=max_new_tokens,
        )
        rows = self._enter(input_ids, attention_mask, max_new_tokens)

        def scores_after(chosen: torch.Tensor | None, _: int) -> torch.Tensor:
            if chosen is not None:
                for row, token in zip(rows, chosen.tolist(), strict=True):
                    row.pending.append(token)
            return self._scores(rows)

        ends = special_tokens(self.generation_config or self.config, "eos_token_id")
        may_end = min_new_tokens == 0
        try:
            return search_greedily(
                input_ids, max_new_tokens, scores_after, ends, logits_processor, stopping_criteria, may_end=may_end
            )
        finally:
            for row in rows:
                self.paged.leave(row)

    def _enter(self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None, new_tokens: int) -> list[Row]:
        """The rows of a batch; padding is left out."""
        masks = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        prompts = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids, masks, strict=True)]
        positions = max(map(len, prompts)) + new_tokens
        self.paged.make_room(len(prompts), positions)
        entered = (self.paged.enter(prompt, positions) for prompt in prompts)
        return [row for row in entered if row is not None]

    def _scores(self, rows: list[Row]) -> torch.Tensor:
        """The logits of every row; long prompts take several steps."""
        done, logits = self.paged.step()
        if done == rows:
            return torch.from_numpy(logits)
        found = dict(zip(done, torch.from_numpy(logits), strict=True))
        while len(found) < len(rows):
            done, logits = self.paged.step()
            found |= zip(done, torch.from_numpy(logits), strict=True)
        return torch.stack([found[row] for row in rows])
