"""Prepares a model for engine openvino: converted once to a program of dynamic shape, quantised by nncf, and kept.

The weights of a converted model lie in a file that every worker maps; what oneDNN packs of them is each worker's own.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

import openvino
import torch

import ipexlaunch
from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.compile_cache import CompileCache, Program
from ipexlaunch.models.run.compiled_model import FirstField
from ipexlaunch.models.run.convert_decoder import convert_decoder
from ipexlaunch.models.run.decode_step import windows_of
from ipexlaunch.models.run.identify_weights import identify_weights
from ipexlaunch.models.run.load_model import first_line
from ipexlaunch.models.run.openvino_decoder import OpenVinoDecoder
from ipexlaunch.models.run.paged_decoder import PagedDecoder
from ipexlaunch.models.run.prepare import Batch, Calibration, Prepared
from ipexlaunch.models.run.quantise_openvino import (
    CALIBRATION,
    DECODER_WEIGHTS,
    DYNAMIC_GROUP,
    group_of_decoder,
    quantise,
)
from ipexlaunch.models.run.rewrite_openvino import has_tiles, join_products, keep_gates_apart, pool, scale_once

MODEL = "openvino_model.xml"
"""What the model is called in its directory; its weights lie beside it."""

FEW_TOKENS = 32
"""Of a call, up to which products of the same values are joined."""

_HINTS = {"fp32": "f32", "bf16": "bf16"}
"""OpenVINO's names of what the network runs in."""

_PACKAGES = ("openvino", "nncf", "torch", "transformers")


def prepare(
    model: torch.nn.Module,
    candidate: Candidate,
    example_inputs: Batch,
    task: Task,
    *,
    calibration: Calibration | None,
    cache: str,
    cache_limit_bytes: int,
    say: Callable[[str], None],
) -> Prepared:
    """Convert the model, or load it from the cache; one that is kept takes any shape of batch.

    Arguments as those of models/run/prepare.py; the model is left as it is.

    Raises:
        RequestError: nncf refuses the model, or there is nothing to calibrate on.
    """
    began = monotonic()
    if candidate.scheme == "static" and calibration is None:
        raise RequestError(f"run {candidate.name}", "there is no text to calibrate it on", "use --dtype int8")
    # Without a cache its files go when they are mapped.
    kept = nullcontext(cache) if cache else TemporaryDirectory(prefix="ipexlaunch-programs-")
    with kept as directory:
        program = CompileCache(directory, say, limit_bytes=cache_limit_bytes).program(
            _key(model, candidate, task, calibration),
            lambda place: _build(model, candidate, task, example_inputs, calibration, place),
        )
        path = program.path / MODEL
        compiled = (
            _decoder(model, path, candidate)
            if task == "generate"
            else OpenVinoModel(model, path, candidate, example_inputs, pools=task == "embed")
        )
    waited = program.compile_s + program.wait_s
    return Prepared(
        model=compiled,
        candidate=candidate,
        pools=task == "embed",
        paged=compiled.paged if isinstance(compiled, OpenVinoDecoder) else None,
        convert_s=monotonic() - began - waited,
        facts=facts_of(program, calibration),
    )


def facts_of(program: Program, calibration: Calibration | None) -> dict[str, object]:
    """What the report says of a program that is kept."""
    facts: dict[str, object] = {
        "cache": program.cache,
        "compile_s": round(program.compile_s, 3),
        "compile_wait_s": round(program.wait_s, 3),
        **program.details,
    }
    return facts | ({"calibrated_on": calibration.words} if calibration else {})


def properties_of(candidate: Candidate) -> dict[str, object]:
    """What OpenVINO is told for one worker: the plan's threads, one stream, and what the network runs in.

    Source: the pages "CPU Device" and "Optimizing for Latency" of OpenVINO's documentation.
    """
    told: dict[str, object] = {
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": _HINTS[candidate.activations],
        "ENABLE_MMAP": True,
    }
    if candidate.scheme == "dynamic":
        told["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = DYNAMIC_GROUP
    return told


class OpenVinoModel(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """Called with a batch of any shape, it gives the first field of the model's own result, or vectors, as a tuple.

    It is compiled for one shape until another one comes, and then for all: that of one takes 0.8 of the time at 1 x 16
    tokens and 0.93 at 8 x 128 (MiniLM's calibrated int8 on a Zen 4), for OpenVINO joins more operations, and reckons no
    shapes in a call.
    """

    def __init__(
        self, model: torch.nn.Module, path: Path, candidate: Candidate, example: Batch, *, pools: bool
    ) -> None:
        """Compile it for this process; no compiler is called, it takes parts of a second.

        Args:
            model: its configuration is kept.
            path: of the converted model; it may be gone later.
            candidate: what it runs in.
            example: a batch of the shape that comes first.
            pools: give a unit vector for each input instead of hidden states.
        """
        super().__init__()
        self.config: Any = getattr(model, "config", None)
        self._properties = properties_of(candidate)
        self._graph = openvino.Core().read_model(path)
        if pools:
            pool(self._graph)
        fixed = self._graph.clone()
        fixed.reshape({name: openvino.PartialShape(list(tensor.shape)) for name, tensor in example.items()})
        if all(tensor.numel() <= FEW_TOKENS for tensor in example.values()):
            join_products(fixed)
        self._request = self._compiled(fixed)
        self._any_shape = False
        self._inputs = self._room_for(example)

    def _compiled(self, graph: openvino.Model) -> openvino.InferRequest:
        keep_gates_apart(graph, self._properties, tiles=has_tiles())
        return openvino.Core().compile_model(graph, "CPU", self._properties).create_infer_request()

    def _room_for(self, batch: Batch) -> dict[str, torch.Tensor]:
        """What the request reads batches of this shape from; other tensors for each call cost 0.02 of one of 1 x 16."""
        room = {name: openvino.Tensor(tensor.contiguous().numpy()) for name, tensor in batch.items()}
        for name, tensor in room.items():
            self._request.set_tensor(name, tensor)
        return {name: torch.from_numpy(tensor.data) for name, tensor in room.items()}

    def forward(self, **batch: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the model says of the batch; only its first field, logits or last_hidden_state, is computed."""
        if any(tensor.shape != self._inputs[name].shape for name, tensor in batch.items()):
            if not self._any_shape:
                self._any_shape = True
                scale_once(self._graph)
                self._request = self._compiled(self._graph)
            self._inputs = self._room_for(batch)
        for name, tensor in batch.items():
            self._inputs[name].copy_(tensor)
        self._request.infer(share_outputs=True)  # or it would copy them, and so do we
        # The request writes its next answer to the same place.
        return (torch.from_numpy(self._request.get_output_tensor(0).data.copy()),)


def _key(
    model: torch.nn.Module, candidate: Candidate, task: Task, calibration: Calibration | None
) -> dict[str, object]:
    """Everything that decides what a converted model is; what OpenVINO makes of it for a processor comes later."""
    return {
        "weights": identify_weights(model),
        # The same program runs with activations of bf16 and fp32.
        "candidate": {**candidate.fields, "activations": ""} if candidate.scheme else "plain",
        "generates": DECODER_WEIGHTS if task == "generate" else False,
        "calibration": [_digest(calibration.rows), CALIBRATION] if calibration else [],
        "ipexlaunch": ipexlaunch.__version__,
        **{name: metadata.version(name) for name in _PACKAGES if name != "nncf" or candidate.scheme},
    }


def _digest(rows: Sequence[Batch]) -> str:
    seen = hashlib.sha256()
    for row in rows:
        for name, tensor in row.items():
            seen.update(f"{name} {tuple(tensor.shape)}".encode())
            seen.update(tensor.contiguous().numpy().tobytes())
    return seen.hexdigest()


def _decoder(model: torch.nn.Module, path: Path, candidate: Candidate) -> OpenVinoDecoder:
    graph = openvino.Core().read_model(path)
    told = properties_of(candidate) | {"KV_CACHE_PRECISION": _HINTS[candidate.activations]}
    if candidate.scheme == "dynamic" and candidate.activations == "fp32":
        # A step takes 0.87 of the time that keys and values of fp32 take, and its attention 0.77 of that with one scale
        # for a token's key instead of one for each channel of a block's (160 million parameters, 8 rows, with AMX).
        told |= {"KV_CACHE_PRECISION": "u8", "KEY_CACHE_QUANT_MODE": "BY_TOKEN"}
    if candidate.dtype == "int4":
        # A step of one row takes 1.4 times as long where its activations are quantised in wider groups than weights.
        del told["DYNAMIC_QUANTIZATION_GROUP_SIZE"]
    elif candidate.scheme == "dynamic":
        told["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = group_of_decoder(graph, candidate.activations)
    return OpenVinoDecoder(model, PagedDecoder(graph, told, windows_of(model.config)))


def _build(
    model: torch.nn.Module,
    candidate: Candidate,
    task: Task,
    example: Batch,
    calibration: Calibration | None,
    place: Path,
) -> Mapping[str, object]:
    try:
        plain = convert_decoder(model) if task == "generate" else convert(model, example)
    except (
        openvino.frontend.OpConversionFailure,
        openvino.frontend.GeneralFailure,
        RuntimeError,
        AttributeError,
    ) as error:
        raise RequestError(
            "run the model on openvino", f"it cannot be converted: {_what_failed(error)}", "use --engine torch"
        ) from error
    converted, facts = quantise(plain, candidate, calibration, generates=task == "generate")
    # fp16 on disk would lose what fp32 keeps; weights that stay whole are mapped as they are.
    openvino.save_model(converted, str(place / MODEL), compress_to_fp16=False)
    return facts


def convert(model: torch.nn.Module, example: Batch) -> openvino.Model:
    """The model as a graph of OpenVINO with any number of inputs and tokens.

    Args:
        model: in fp32 and eval mode.
        example: a batch to trace it with.
    """
    shapes = [(openvino.PartialShape([-1, -1]), openvino.Type.i64) for _ in example]
    with torch.no_grad(), warnings.catch_warnings():
        # Each branch on a tensor's value is warned of; the answers are checked on another batch than this one.
        warnings.simplefilter("ignore")
        made = openvino.convert_model(
            FirstField(model, list(example)), example_input=tuple(example.values()), input=shapes
        )
    for name, entry in zip(example, made.inputs, strict=True):
        entry.tensor.set_names({name})
    return made


def _what_failed(error: Exception) -> str:
    """The operators that a message of many lines names, or its first line."""
    named = [line for line in str(error).splitlines() if line.startswith("-- ")]
    return named[0].removeprefix("-- ") if named else first_line(error)
