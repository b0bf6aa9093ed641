"""One step of a decoder as a function of tensors, and the greedy search that calls it: a prompt, then token by token.

The keys and values of all positions are tensors of a fixed size that a step writes into, so that every step is the same
compiled program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.run.greedy_search import search_greedily

StepFunction = Callable[[list[torch.Tensor]], torch.Tensor]
"""Of input_ids, position_ids, mask, slots and the state's tensors; gives the logits of the last position."""


class StaticState:
    """What a transformers model takes for its cache while a step is traced: it writes into given tensors."""

    def __init__(self, tensors: Sequence[torch.Tensor], slots: torch.Tensor, whole: bool) -> None:
        """Use these tensors.

        Args:
            tensors: keys of the first layer, its values, keys of the second, ...: inputs x heads x positions x size.
            slots: the positions that this step fills.
            whole: give attention all positions (a step); else only those just filled (the prompt, all there is).
        """
        self.tensors = tensors
        self.slots = slots
        self.whole = whole
        self.is_sliding = [False] * (len(tensors) // 2)
        self.is_compileable = True

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write what a layer computed, and give what its attention shall see."""
        kept_keys, kept_values = self.tensors[2 * layer], self.tensors[2 * layer + 1]
        kept_keys.index_copy_(2, self.slots, keys)
        kept_values.index_copy_(2, self.slots, values)
        return (kept_keys, kept_values) if self.whole else (keys, values)

    def get_seq_length(self, _layer: int = 0) -> int:
        """Of nothing: positions are given to the model, it need not reckon them."""
        return 0

    def __len__(self) -> int:
        return len(self.is_sliding)


@contextmanager
def _attention_of_one_query() -> Iterator[None]:
    """Inside, attention of one query for each input is a plain sum over all positions, which compiles into two loops.

    aten's kernel is made for many queries: of 12 layers, 8 inputs and 256 positions it took 27 ms of a step's 45 on one
    core of a Zen 5, the loops take 5.
    """
    usual = torch.nn.functional.scaled_dot_product_attention
    torch.nn.functional.scaled_dot_product_attention = attend
    try:
        yield
    finally:
        torch.nn.functional.scaled_dot_product_attention = usual


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, **options: Any) -> torch.Tensor:
    """What torch's scaled_dot_product_attention gives of few queries, without dropout.

    Args:
        query: inputs x heads x queries x size; one query, or those of all heads that share keys and values.
        key: inputs x heads x positions x size.
        value: likewise.
        options: attn_mask and scale as torch has them.
    """
    scale, mask = options.get("scale"), options.get("attn_mask")
    scores = (query.float().unsqueeze(3) * key.float().unsqueeze(2)).sum(-1)
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if mask is not None:
        scores = torch.where(mask, scores, -torch.inf) if mask.dtype == torch.bool else scores + mask
    shares = torch.softmax(scores, dim=-1).unsqueeze(-1)
    return (shares * value.float().unsqueeze(2)).sum(3).to(query.dtype)


class DecodeStep(torch.nn.Module):  # type: ignore[misc]
    """A decoder's forward pass without anything but tensors among its arguments."""

    def __init__(self, model: torch.nn.Module, whole: bool) -> None:
        """Wrap a model.

        Args:
            model: a transformers model with a language-modelling head.
            whole: see StaticState; of one token for each input.
        """
        super().__init__()
        self.model = model
        self.whole = whole

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        mask: torch.Tensor,
        slots: torch.Tensor,
        *state: torch.Tensor,
    ) -> torch.Tensor:
        """The logits of the last position; the state's tensors are written into."""
        with _attention_of_one_query() if self.whole else nullcontext():
            made = self.model(
                input_ids=input_ids,
                position_ids=position_ids,
                attention_mask=mask,
                past_key_values=StaticState(state, slots, self.whole),
                use_cache=True,
                logits_to_keep=1,
            )
        logits: torch.Tensor = made.logits[:, -1]
        return logits


def state_shapes(model: torch.nn.Module) -> tuple[list[list[int]], str]:
    """Heads and head size of each layer's keys and values in turn, and their type's name; asked with one token.

    Args:
        model: converted, called once.
    """
    decoder: Any = model
    with torch.no_grad():
        cache = decoder(input_ids=torch.zeros(1, 1, dtype=torch.long), use_cache=True).past_key_values
    pairs = [(layer.keys, layer.values) for layer in cache.layers]
    shapes = [[tensor.shape[1], tensor.shape[3]] for pair in pairs for tensor in pair]
    return shapes, str(pairs[0][0].dtype).removeprefix("torch.")


def windows_of(config: Any) -> list[int]:
    """How many tokens each layer's attention sees back, the token itself among them; 0 for all.

    A step knows no windows: its attention sees what the mask says that all layers share.

    Args:
        config: transformers' configuration.

    Raises:
        RequestError: a layer attends otherwise.
    """
    window = getattr(config, "sliding_window", None) or 0
    kinds = getattr(config, "layer_types", None) or ["sliding_attention"] * config.num_hidden_layers
    others = sorted(set(kinds) - {"sliding_attention", "full_attention"})
    if others:
        found = f"layers of {', '.join(others)} are not known here"
        raise RequestError(f"generate with {config.model_type}", found, "use --engine eager")
    return [window if kind == "sliding_attention" else 0 for kind in kinds]


class GreedySearch:
    """Generates the likeliest tokens with two compiled programs of one batch shape."""

    def __init__(
        self,
        prompt: StepFunction,
        step: StepFunction,
        state: list[torch.Tensor],
        input_tokens: int,
        forbidden: Sequence[int],
    ) -> None:
        """Take the programs and the state they share.

        Args:
            prompt: of `input_tokens` tokens for each input.
            step: of one token for each input.
            state: zeros; whatever an earlier batch left is never looked at.
            input_tokens: length of every prompt.
            forbidden: tokens that are never chosen: those that would end a text before its length.
        """
        self.prompt = prompt
        self.step = step
        self.state = state
        self.input_tokens = input_tokens
        self.forbidden = forbidden
        self.positions = state[0].shape[2]

    def generate(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        new_tokens: int,
        processors: Sequence[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = (),
        after_token: Sequence[Callable[[torch.Tensor, torch.Tensor], object]] = (),
        may_end: bool = False,
    ) -> torch.Tensor:
        """The inputs followed by so many new tokens, or fewer where texts may end.

        Args:
            input_ids: padded on the left.
            attention_mask: 0 where there is padding.
            new_tokens: how many.
            processors: change the scores before the choice, as transformers' logits processors do.
            after_token: called with the text so far and the scores after each token.
            may_end: whether tokens that end a text may be chosen, and `after_token` may end the search: by True for
                every input.
        """
        seen = torch.zeros(input_ids.shape[0], 1, 1, self.positions, dtype=torch.bool)
        seen[:, 0, 0, : self.input_tokens] = attention_mask.bool()
        positions = (attention_mask.cumsum(1) - 1).clamp(min=0)
        position = positions[:, -1:].clone()
        slots = torch.arange(self.input_tokens)

        def scores_after(chosen: torch.Tensor | None, end: int) -> torch.Tensor:
            if chosen is None:
                return self.prompt([input_ids.contiguous(), positions, _causal(attention_mask), slots, *self.state])
            seen[:, :, :, end - 1] = True
            position.add_(1)
            return self.step([chosen.unsqueeze(1), position, seen, torch.tensor([end - 1]), *self.state])

        return search_greedily(
            input_ids, new_tokens, scores_after, self.forbidden, processors, after_token, may_end=may_end
        )


def _causal(attention_mask: torch.Tensor) -> torch.Tensor:
    """Who sees whom in the prompt: inputs x 1 x tokens x tokens.

    Padding sees itself, for a row that sees nothing would be no number, and nothing else ever sees padding.
    """
    tokens = attention_mask.shape[1]
    before = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    itself = torch.eye(tokens, dtype=torch.bool)
    return (before & attention_mask.bool()[:, None, None, :]) | itself


def example_step(
    inputs: int, tokens: int, positions: int, shapes: Sequence[Sequence[int]], dtype: torch.dtype, whole: bool
) -> list[torch.Tensor]:
    """Arguments of a step of these sizes, to compile it with.

    Args:
        inputs: of a batch.
        tokens: of each input in one step.
        positions: of the state.
        shapes: heads and head size of each tensor of the state.
        dtype: of the state.
        whole: whether attention sees the whole state.
    """
    seen = positions if whole else tokens
    return [
        torch.zeros(inputs, tokens, dtype=torch.long),
        torch.arange(tokens).expand(inputs, -1).contiguous(),
        torch.ones(inputs, 1, tokens, seen, dtype=torch.bool).tril(),
        torch.arange(tokens),
        *empty_state(inputs, positions, shapes, dtype),
    ]


def empty_state(inputs: int, positions: int, shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> list[torch.Tensor]:
    """The state before a prompt; see `example_step`."""
    return [torch.zeros(inputs, heads, positions, size, dtype=dtype) for heads, size in shapes]
