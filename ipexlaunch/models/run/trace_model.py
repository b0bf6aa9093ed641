"""Records a model's graph with torch.jit and freezes it, as IPEX documents for its graph mode."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import SimpleNamespace

import torch

from ipexlaunch.models.run.make_inputs import Batch

Graph = Callable[..., Mapping[str, torch.Tensor]]

Context = Callable[[], AbstractContextManager[object]]


class TracedModel(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """Frozen graphs of a model, one for each shape of batch, called like the model; a new shape is recorded first."""

    def __init__(self, model: torch.nn.Module, context: Context) -> None:
        """Nothing is recorded yet.

        Args:
            model: prepared, in eval mode; it is left as it is.
            context: autocast, as it will be entered around the calls.
        """
        super().__init__()
        self.config = getattr(model, "config", None)
        self._model = [model]  # in a list, so that its weights are not counted as this module's own
        self._context = context
        self._graphs: dict[torch.Size, Graph] = {}

    def forward(self, **batch: torch.Tensor) -> SimpleNamespace:
        """The model's outputs by their names.

        Raises:
            RuntimeError: it cannot be traced for this shape.
        """
        return SimpleNamespace(**self.graph(batch)(**batch))

    def graph(self, batch: Batch) -> Graph:
        """The graph for batches of this shape; constants in it may be wrong for another."""
        shape = batch["input_ids"].shape
        if shape not in self._graphs:
            self._graphs[shape] = _record(self._model[0], batch, self._context())
        return self._graphs[shape]


def trace_model(model: torch.nn.Module, example_inputs: Batch, context: Context) -> TracedModel:
    """Record and freeze the graph that the example runs through.

    Args:
        model: prepared, in eval mode; it is left as it is.
        example_inputs: a batch of a shape that will be run; others are recorded when they come.
        context: autocast, as it will be entered around the calls.

    Raises:
        RuntimeError: the model cannot be traced, or gives something else than named tensors.
    """
    traced = TracedModel(model, context)
    traced.graph(example_inputs)
    return traced


def _record(model: torch.nn.Module, example_inputs: Batch, context: AbstractContextManager[object]) -> Graph:
    inputs = dict(example_inputs)
    with torch.no_grad(), context, warnings.catch_warnings():
        # Each branch on a tensor's value is warned of; the answers are checked on another batch than this one.
        warnings.simplefilter("ignore")
        graph: Graph = torch.jit.freeze(
            torch.jit.trace(model, example_kwarg_inputs=inputs, strict=False, check_trace=False)
        )
        # The first two runs specialise and fuse; what fails, fails here.
        for _ in range(2):
            outputs = graph(**inputs)
    if not isinstance(outputs, dict) or not all(isinstance(value, torch.Tensor) for value in outputs.values()):
        raise RuntimeError(f"its graph gives {type(outputs).__name__}, not named tensors")
    return graph
