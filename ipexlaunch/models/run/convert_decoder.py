"""Converts a decoder of transformers to a graph of OpenVINO that keeps keys and values as its state.

That is the form which OpenVINO's own transformation turns into paged attention; it knows it by its shape: ReadValue,
Gather by `beam_idx`, Concat, ScaledDotProductAttention.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy
import openvino
import torch
from openvino import opset13
from openvino._offline_transformations import apply_make_stateful_transformation

from ipexlaunch.models.run.decode_step import state_shapes

_PAST, _NEW = 4, 3
"""Tokens of the example that it is traced with; any others will do later."""


def convert_decoder(model: torch.nn.Module) -> openvino.Model:
    """The model as a graph of input_ids, attention_mask, position_ids and beam_idx that gives logits.

    Args:
        model: a transformers model with a language-modelling head, in fp32 and eval mode.
    """
    shapes, _ = state_shapes(model)
    example = (
        torch.zeros(2, _NEW, dtype=torch.long),
        torch.ones(2, _PAST + _NEW, dtype=torch.long),
        torch.arange(_PAST, _PAST + _NEW).expand(2, -1).contiguous(),
        *(torch.zeros(2, heads, _PAST, size) for heads, size in shapes),
    )
    with torch.no_grad(), warnings.catch_warnings():
        # Each branch on a tensor's value is warned of; the answers are checked.
        warnings.simplefilter("ignore")
        made = openvino.convert_model(_GrowingStep(model), example_input=example)
    layers = [f"{layer}.{what}" for layer in range(len(shapes) // 2) for what in ("key", "value")]
    for port, name in zip(made.inputs, ["input_ids", "attention_mask", "position_ids", *_named(layers)], strict=True):
        port.tensor.set_names({name})
        port.node.set_friendly_name(name)
    for port, name in zip(made.outputs, ["logits", *(f"present.{layer}" for layer in layers)], strict=True):
        port.tensor.set_names({name})
    free = openvino.PartialShape([-1, -1])
    for port, sizes in zip(made.inputs, [None] * 3 + list(shapes), strict=True):
        port.node.set_partial_shape(openvino.PartialShape([-1, sizes[0], -1, sizes[1]]) if sizes else free)
    _reorder_by_beam(made, _named(layers))
    apply_make_stateful_transformation(
        made, {name: f"present.{at}" for name, at in zip(_named(layers), layers, strict=True)}
    )
    _begin_empty(made)
    return made


def _named(layers: Sequence[str]) -> list[str]:
    return [f"past_key_values.{layer}" for layer in layers]


class _GrowingState:
    """What a transformers model takes for its cache: new keys and values are appended to the given ones."""

    def __init__(self, past: Sequence[torch.Tensor]) -> None:
        self.tensors = list(past)
        self.is_sliding = [False] * (len(past) // 2)
        self.is_compileable = False

    def update(
        self, keys: torch.Tensor, values: torch.Tensor, layer: int, *_: object, **__: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Append what a layer computed, and give what its attention shall see."""
        at = slice(2 * layer, 2 * layer + 2)
        pairs = zip(self.tensors[at], (keys, values), strict=True)
        self.tensors[at] = [torch.cat([past, new], dim=2) for past, new in pairs]
        return self.tensors[2 * layer], self.tensors[2 * layer + 1]

    def get_seq_length(self, _layer: int = 0) -> int:
        """Of nothing: positions are given to the model, it need not reckon them."""
        return 0

    def __len__(self) -> int:
        return len(self.is_sliding)


class _GrowingStep(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """A decoder's forward pass as a function of tensors: new tokens, who is seen, positions, and the past."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, position_ids: torch.Tensor, *past: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        """The logits of every new token, then each layer's keys and values, the new ones among them."""
        places = torch.arange(attention_mask.shape[1])
        before = places[None, :] <= places[attention_mask.shape[1] - input_ids.shape[1] :][:, None]
        state = _GrowingState(past)
        made = self.model(
            input_ids=input_ids,
            attention_mask=before[None, None] & attention_mask.bool()[:, None, None, :],
            position_ids=position_ids,
            past_key_values=state,
            use_cache=True,
        )
        return (made.logits, *state.tensors)


def _reorder_by_beam(model: openvino.Model, past: Sequence[str]) -> None:
    """Let each row's state be any row's of the step before, as beam searches need it and the transformation expects."""
    beam = opset13.parameter([-1], numpy.int32, name="beam_idx")
    beam.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([beam])
    for name in past:
        port = model.input(name)
        users = list(port.get_target_inputs())
        taken = opset13.gather(port.node, beam, opset13.constant(0, dtype=numpy.int32))
        for user in users:
            user.replace_source_output(taken.output(0))
    model.validate_nodes_and_infer_types()


def _begin_empty(model: openvino.Model) -> None:
    """Begin with a state of no positions, and as many rows as there are inputs."""
    whole = opset13.shape_of(model.input("input_ids"), output_type="i64")
    zero = opset13.constant([0], dtype=numpy.int64)
    rows = opset13.gather(whole, zero, opset13.constant(0, dtype=numpy.int64))
    for node in model.get_ops():
        if node.get_type_name() == "ReadValue":
            _, heads, _, size = (length.get_min_length() for length in node.get_output_partial_shape(0))
            sizes = (opset13.constant([length], dtype=numpy.int64) for length in (heads, 0, size))
            nothing = opset13.constant(0.0, dtype=node.get_output_element_type(0))
            node.set_arguments([opset13.broadcast(nothing, opset13.concat([rows, *sizes], 0))])
    model.validate_nodes_and_infer_types()
