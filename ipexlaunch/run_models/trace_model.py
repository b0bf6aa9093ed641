"""Records a model's graph with torch.jit and freezes it, as IPEX documents for its graph mode."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from types import SimpleNamespace

import torch

from ipexlaunch.run_models.make_inputs import Batch


class TracedModel(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """A frozen graph that is called like the model it was recorded from, for batches of one shape."""

    def __init__(self, graph: torch.nn.Module, shape: torch.Size, config: object) -> None:
        """Keep the graph.

        Args:
            graph: what `torch.jit.freeze` gave.
            shape: of the input_ids that it was recorded with.
            config: the model's configuration.
        """
        super().__init__()
        self.graph = graph
        self.shape = shape
        self.config = config

    def forward(self, **batch: torch.Tensor) -> SimpleNamespace:
        """The model's outputs by their names.

        Raises:
            ValueError: another shape than the recorded one, for which constants of the graph may be wrong.
        """
        if batch["input_ids"].shape != self.shape:
            raise ValueError(f"traced for inputs of shape {tuple(self.shape)}, got {tuple(batch['input_ids'].shape)}")
        return SimpleNamespace(**self.graph(**batch))


def trace_model(model: torch.nn.Module, example_inputs: Batch, context: AbstractContextManager[object]) -> TracedModel:
    """Record and freeze the graph that the example runs through.

    Args:
        model: prepared, in eval mode; it is left as it is.
        example_inputs: a batch of the shape that will be run.
        context: autocast, as it will be entered around the calls.

    Raises:
        RuntimeError: the model cannot be traced, or gives something else than named tensors.
    """
    inputs = dict(example_inputs)
    with torch.no_grad(), context, warnings.catch_warnings():
        # Each branch on a tensor's value is warned of; the answers are checked on another batch than this one.
        warnings.simplefilter("ignore")
        graph = torch.jit.freeze(torch.jit.trace(model, example_kwarg_inputs=inputs, strict=False, check_trace=False))
        # The first two runs specialise and fuse; what fails, fails here.
        for _ in range(2):
            outputs = graph(**inputs)
    if not isinstance(outputs, dict) or not all(isinstance(value, torch.Tensor) for value in outputs.values()):
        raise RuntimeError(f"its graph gives {type(outputs).__name__}, not named tensors")
    return TracedModel(graph, inputs["input_ids"].shape, getattr(model, "config", None))
