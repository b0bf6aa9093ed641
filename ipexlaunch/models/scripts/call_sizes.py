"""How much work one call of a model is: its items and its tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

DEEPEST = 4
"""Arguments inside arguments that are looked through for a tensor."""


def items_of(tensor: type, args: Sequence[object], kwargs: Mapping[str, object]) -> int:
    """Items of a call: the first dimension of its first tensor, or the length of a list of tensors; 1 without any.

    Args:
        tensor: torch.Tensor.
        args: positional arguments, looked through first.
        kwargs: the named ones, in their order.
    """
    for value in args[:1] or kwargs.values():  # what nearly every call begins with, found without more ado
        if isinstance(value, tensor):
            return int(value.shape[0]) if value.dim() else 1  # type: ignore[attr-defined]
        break
    size = _size(tensor, (*args, *kwargs.values()), DEEPEST + 1)
    return 1 if size is None else size


def vmapped_items(torch: Any, tensor: type, args: Sequence[object], kwargs: Mapping[str, object]) -> int | None:
    """Items of a call within torch.vmap: how many samples its first mapped tensor stands for; None outside of one.

    Within it a model sees one sample, whose first dimension is none of samples.

    Args:
        torch: the module.
        tensor: torch.Tensor.
        args: positional arguments.
        kwargs: the named ones.
    """
    functorch = getattr(getattr(torch, "_C", None), "_functorch", None)
    if functorch is None or functorch.peek_interpreter_stack() is None:
        return None
    for value in _tensors(tensor, (*args, *kwargs.values()), DEEPEST):
        items, found = 1, False
        while functorch.is_functorch_wrapped_tensor(value):
            inner = functorch.get_unwrapped(value)
            if functorch.is_batchedtensor(value):
                items, found = items * int(inner.shape[functorch.maybe_get_bdim(value)]), True
            value = inner
        if found:
            return items
    return None


def _tensors(tensor: type, values: Iterable[object], deeper: int) -> Iterator[Any]:
    for value in values:
        if isinstance(value, tensor):
            yield value
        elif deeper and isinstance(value, list | tuple | Mapping):
            inner = value.values() if isinstance(value, Mapping) else value
            yield from _tensors(tensor, inner, deeper - 1)


def _size(tensor: type, value: Any, deeper: int) -> int | None:
    if isinstance(value, tensor):
        return int(value.shape[0]) if value.dim() else 1  # type: ignore[attr-defined]
    if not deeper or not isinstance(value, list | tuple | Mapping):
        return None
    if isinstance(value, list) and value and isinstance(value[0], tensor):
        return len(value)  # of images of many sizes, as detection models take them
    inner = value.values() if isinstance(value, Mapping) else value
    sizes = (_size(tensor, each, deeper - 1) for each in inner)
    return next((size for size in sizes if size is not None), None)


def new_tokens(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> int:
    """Tokens that a `generate` of transformers made, without the prompt and what follows the end of a text.

    Args:
        model: what generated.
        args: its positional arguments.
        kwargs: its named ones.
        output: its result, a tensor of ids or an object with `sequences`; 0 tokens for anything else.
    """
    ids = getattr(output, "sequences", output)
    if not hasattr(ids, "dim") or ids.dim() != 2:
        return 0
    fresh = ids[:, _prompt_length(model, args, kwargs) :]
    ends = _end_tokens(model, kwargs)
    if not ends or not fresh.numel():
        return int(fresh.numel())
    ended = fresh == ends[0]
    for end in ends[1:]:
        ended |= fresh == end
    counted = ended.int()
    return int((counted.cumsum(1) - counted == 0).sum())  # the end itself was generated too


def _prompt_length(model: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
    """How much of the result was there before: for an encoder-decoder model, what the decoder began with."""
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        begun = kwargs.get("decoder_input_ids")
        return 1 if begun is None else int(begun.shape[1])
    for prompt in (kwargs.get("input_ids"), kwargs.get("inputs"), *args[:1]):
        if prompt is not None and hasattr(prompt, "shape") and len(prompt.shape) == 2:
            return int(prompt.shape[1])
    return 0 if kwargs.get("inputs_embeds") is not None else 1


def _end_tokens(model: Any, kwargs: Mapping[str, Any]) -> list[int]:
    ends = kwargs.get("eos_token_id")
    for config in (kwargs.get("generation_config"), getattr(model, "generation_config", None)):
        if ends is None:
            ends = getattr(config, "eos_token_id", None)
    return [] if ends is None else [int(end) for end in (ends if isinstance(ends, list | tuple) else [ends])]
