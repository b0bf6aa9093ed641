"""A decoder with paged attention: rows of different lengths run together, and come and go between any two steps.

Keys and values lie in blocks of one pool, as vLLM has them (Kwon et al., Efficient Memory Management for Large Language
Model Serving with PagedAttention); the kernel is OpenVINO's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy
import openvino
from openvino import opset13
from openvino._offline_transformations import paged_attention_transformation

from ipexlaunch.errors import RequestError
from ipexlaunch.models.run.load_model import first_line
from ipexlaunch.models.run.rewrite_openvino import has_tiles, keep_gates_apart

TOKENS_AT_ONCE = 512
"""Of one step, at most: rows that generate wait no longer for the prompts of others, and what lies between layers stays
small. Prompts of 1024 tokens are read in 1.015 of the time that one step takes (160 million parameters, Zen 5)."""

_CHOSEN = "rows_with_logits"

_WINDOW = 10
"""The input of OpenVINO's paged attention that says how far back it sees."""


@dataclass(eq=False)
class Row:
    """One text that is being generated."""

    pending: list[int]
    """Tokens that the model has not read yet."""
    blocks: list[int]
    """Where its keys and values lie, in the pool."""
    read: int = field(default=0, init=False)
    """Tokens whose keys and values lie there."""


class PagedDecoder:
    """A compiled program, its pool of blocks, and the rows that run."""

    def __init__(self, graph: openvino.Model, properties: Mapping[str, object], windows: Sequence[int]) -> None:
        """Compile it for this process; there is no pool yet.

        Args:
            graph: one that `convert_decoder` made; it is changed.
            properties: what OpenVINO is told.
            windows: tokens that each layer sees back; 0 for all.

        Raises:
            RequestError: OpenVINO knows no paged attention for this architecture.
        """
        try:
            paged_attention_transformation(graph)
            _slide(graph, windows)
            _only_chosen_logits(graph)
            keep_gates_apart(graph, properties, tiles=has_tiles())
        except RuntimeError as error:
            raise RequestError(
                "generate with engine openvino",
                f"its paged attention does not know this architecture ({first_line(error)})",
                "use --engine torch or --engine eager",
            ) from error
        compiled = openvino.Core().compile_model(graph, "CPU", dict(properties))
        self._request = compiled.create_infer_request()
        self._pools = [port for port in compiled.inputs if port.any_name.startswith(("key_cache", "value_cache"))]
        # Keys that are kept as integers have their scales among the positions; values have them elsewhere.
        self._block: int = min(port.partial_shape[2].get_length() for port in self._pools)
        self._inputs: dict[str, numpy.ndarray[Any, Any]] = {}
        """What the request reads, by name; the tensors' own memory."""
        self._running: list[Row] = []
        self._blocks = 0
        self._free: list[int] = []

    def make_room(self, rows: int, positions: int) -> None:
        """Have a pool for so many rows of so many tokens; a larger one takes the place of a smaller while nobody runs.

        Args:
            rows: how many will run together.
            positions: tokens of each.
        """
        wanted = rows * self._blocks_for(positions)
        if self._running or wanted <= self._blocks:
            return
        for port in self._pools:
            sizes = [length.get_length() for length in list(port.partial_shape)[1:]]
            self._request.set_tensor(port, openvino.Tensor(port.element_type, openvino.Shape([wanted, *sizes])))
        self._blocks = wanted
        self._free = list(range(wanted))

    def enter(self, prompt: Sequence[int], positions: int) -> Row | None:
        """A new row; None while the others leave it no room.

        Args:
            prompt: its tokens, at least one.
            positions: tokens that it may come to have, the prompt among them.
        """
        if not self._running:
            self.make_room(1, positions)
        needed = self._blocks_for(positions)
        if needed > len(self._free):
            return None
        row = Row(pending=list(prompt), blocks=[self._free.pop() for _ in range(needed)])
        self._running.append(row)
        return row

    def leave(self, row: Row) -> None:
        """Give a row's room to others."""
        self._running.remove(row)
        self._free += row.blocks

    def step(self) -> tuple[list[Row], numpy.ndarray[Any, Any]]:
        """Read what is pending, and give the rows of which nothing is pending any more, with the logits of each.

        Tokens are then chosen and put among the pending ones, or the row leaves.
        """
        parts: list[tuple[Row, list[int]]] = []
        left = TOKENS_AT_ONCE
        # A row with one token waits for nobody's prompt.
        for row in sorted((row for row in self._running if row.pending), key=lambda row: len(row.pending)):
            part = row.pending[:left]
            if part:
                parts.append((row, part))
            left -= len(part)
        whole = [place for place, (row, part) in enumerate(parts) if len(part) == len(row.pending)]
        logits = self._read(parts, whole)
        for row, part in parts:
            row.read += len(part)
            del row.pending[: len(part)]
        return [parts[place][0] for place in whole], logits[: len(whole)]

    def _read(self, parts: Sequence[tuple[Row, list[int]]], whole: Sequence[int]) -> numpy.ndarray[Any, Any]:
        after = numpy.cumsum([0, *(len(part) for _, part in parts)])
        # Blocks are named up to where a row has come, not all that are its own.
        blocks = [row.blocks[: self._blocks_for(row.read + len(part))] for row, part in parts]
        inputs = {
            "input_ids": _of([token for _, part in parts for token in part], "int64"),
            "position_ids": _of([at for row, part in parts for at in range(row.read, row.read + len(part))], "int64"),
            "past_lens": _of([row.read for row, _ in parts], "int32"),
            "subsequence_begins": _of(after, "int32"),
            "block_indices": _of([block for each in blocks for block in each], "int32"),
            "block_indices_begins": _of(numpy.cumsum([0, *map(len, blocks)]), "int32"),
            "max_context_len": _of(max(row.read + len(part) for row, part in parts), "int32"),
            # Where no row is read to its end there must be one all the same, which nobody looks at.
            _CHOSEN: _of([after[place + 1] - 1 for place in whole] or [0], "int64"),
        }
        for name, values in inputs.items():
            self._give(name, values)
        self._request.infer(share_outputs=True)  # or it would copy them, and so do we
        # The request writes its next answer to the same place.
        logits: numpy.ndarray[Any, Any] = self._request.get_output_tensor(0).data[:, 0].copy()
        return logits

    def _give(self, name: str, values: numpy.ndarray[Any, Any]) -> None:
        """Write an input where the request reads it; another tensor for each of a step's takes 0.03 of the step."""
        room = self._inputs.get(name)
        if room is None or room.shape != values.shape:
            tensor = openvino.Tensor(values)
            self._request.set_tensor(name, tensor)
            self._inputs[name] = tensor.data
        else:
            room[...] = values

    def _blocks_for(self, positions: int) -> int:
        return -(-positions // self._block)


def _of(values: object, dtype: str) -> numpy.ndarray[Any, Any]:
    return numpy.asarray(values, dtype=dtype)


def _slide(graph: openvino.Model, windows: Sequence[int]) -> None:
    """Let each layer see as far back as it does; without that it sees all that was read."""
    layers = [node for node in graph.get_ordered_ops() if node.get_type_name() == "PagedAttentionExtension"]
    if len(layers) != len(windows):
        raise RuntimeError(f"{len(layers)} of its {len(windows)} layers have one")
    for node, window in zip(layers, windows, strict=True):
        node.input(_WINDOW).replace_source_output(opset13.constant(window, dtype=numpy.int32).output(0))
    graph.validate_nodes_and_infer_types()


def _only_chosen_logits(graph: openvino.Model) -> None:
    """Compute logits for tokens that are asked for, not for every token of a prompt."""
    node = graph.get_results()[0].input_value(0).get_node()
    while node.get_type_name() != "MatMul":
        if node.get_input_size() == 0:
            raise RuntimeError("its logits are no product")
        node = node.input_value(0).get_node()
    chosen = opset13.parameter([-1], numpy.int64, name=_CHOSEN)
    chosen.output(0).get_tensor().set_names({_CHOSEN})
    kept = opset13.gather(node.input_value(0), chosen, opset13.constant(0, dtype=numpy.int64))
    node.input(0).replace_source_output(kept.output(0))
    graph.add_parameters([chosen])
    graph.validate_nodes_and_infer_types()
