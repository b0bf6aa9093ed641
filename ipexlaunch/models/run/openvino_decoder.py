"""Generates with a paged decoder as transformers' generate does: a whole batch, one token of each row after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.run.batches import special_tokens
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
        if do_sample or num_beams != 1 or min_new_tokens not in (0, max_new_tokens):
            raise RequestError(
                "generate with engine openvino",
                "its search is the greedy one",
                "give do_sample=False, num_beams=1 and min_new_tokens=0 or max_new_tokens, or use --engine eager",
            )
        rows = self._enter(input_ids, attention_mask, max_new_tokens)
        try:
            text = torch.cat([input_ids, torch.zeros(len(rows), max_new_tokens, dtype=torch.long)], dim=1)
            forbidden = [] if min_new_tokens == 0 else special_tokens(self.generation_config, "eos_token_id")
            for end in range(input_ids.shape[1], text.shape[1]):
                scores = self._scores(rows)
                scores[:, forbidden] = -torch.inf
                for process in logits_processor:
                    scores = process(text[:, :end], scores)
                chosen = text[:, end] = scores.argmax(-1)
                for row, token in zip(rows, chosen.tolist(), strict=True):
                    row.pending.append(token)
                ended = [call(text[:, : end + 1], scores) for call in stopping_criteria]
                if any(isinstance(answer, torch.Tensor) and bool(answer.all()) for answer in ended):
                    return text[:, : end + 1]
            return text
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

    def _scores(self, rows: Sequence[Row]) -> torch.Tensor:
        """The logits of every row; long prompts take several steps."""
        found: dict[Row, torch.Tensor] = {}
        while len(found) < len(rows):
            done, logits = self.paged.step()
            found |= zip(done, torch.from_numpy(logits), strict=True)
        return torch.stack([found[row] for row in rows])
