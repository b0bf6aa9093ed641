"""A prepared model: what an engine made of it, ready to be called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ipexlaunch.models.engines.candidate import Candidate

if TYPE_CHECKING:
    import torch


Anything = TypeVar("Anything")


def _itself(value: Anything) -> Anything:
    return value


def _nothing() -> None:
    """On the cpu a call is over when it returns, and most engines keep one form of the model."""


@dataclass(kw_only=True)
class Prepared:
    """A model as one candidate runs it; every engine's `prepare` returns one."""

    model: torch.nn.Module
    """Called like the transformers model that it was made from, with the same result type."""
    candidate: Candidate
    context: Callable[[], AbstractContextManager[object]] = nullcontext
    """Entered around every call (autocast); inference mode is the caller's."""
    place: Callable[[Mapping[str, torch.Tensor]], Mapping[str, torch.Tensor]] = _itself
    """Puts a call's inputs where the model is."""
    fetch: Callable[[torch.Tensor], torch.Tensor] = _itself
    """Brings an answer into the host's memory."""
    settle: Callable[[], None] = _nothing
    """Waits until what was asked of an accelerator is done; before a time is noted."""
    release: Callable[[], None] = _nothing
    """Gives back what only batches of further shapes would need; call it when every shape has been run."""
    convert_s: float = 0.0
    """Seconds of casting, packing and quantising; compilation happens in the first calls and is not in it."""
    notes: tuple[str, ...] = ()
    """What the engine did otherwise than asked (an unknown architecture that it only half optimises)."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What really runs: layers replaced, kernels, versions, for the report."""
