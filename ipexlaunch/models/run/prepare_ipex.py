"""Prepares a model for engine ipex: ipex.optimize, ipex.llm.optimize, weight-only integers, GPTQ and AWQ checkpoints.

What IPEX would silently do otherwise than asked is found by looking at the modules that resulted, and told.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from types import SimpleNamespace
from typing import Any

import intel_extension_for_pytorch as ipex
import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import Task
from ipexlaunch.models.run.load_model import Checkpoint, first_line, read_checkpoint
from ipexlaunch.models.run.prepare import Batch, Context, Prepared, torch_dtype

_GROUP_SIZE = {"int8": -1, "int4": 128}
"""What Intel's run.py takes for --group-size 0: a whole channel for INT8, 128 weights for INT4."""

_LOWP_MODE = {"int8": "BF16", "int4": "INT8"}
"""What Intel's run.py takes for --lowp-mode AUTO."""

_LONGEST_MESSAGE = 160
"""Some of torch's errors print whole tensors in their first line."""

_QUANTISED = "WeightOnlyQuantizedLinear"
DECODER_LAYER = "_IPEXDecoderLayerCPU"

_FAST_LEVEL = "AVX512_FP16"
"""The dispatch level with weight-only kernels (csrc/cpu/aten/kernels/Woq*Krnl.cpp of 2.8: "We only build optimized
kernels if AVX512_FP16 is supported"); every other takes woq_gemm_ref_impl."""

Graph = Callable[..., Mapping[str, torch.Tensor]]


def prepare(
    model: torch.nn.Module, candidate: Candidate, example_inputs: Batch, task: Task, *, checkpoint: str
) -> Prepared:
    """Convert the model as Intel's own examples do, and say where IPEX could not.

    Arguments as those of models/run/prepare.py: fp32, bf16, fp16, and weight-only int8 and int4 with a group size and a
    low-precision mode; graphs are recorded for the example's shape; task generate goes through ipex.llm.optimize; a
    checkpoint is one of int4 for decoders that IPEX knows.

    Raises:
        RequestError: IPEX refuses the candidate on this machine or for this model.
    """
    began = monotonic()
    _check(candidate, checkpoint)
    dtype = torch_dtype(candidate.activations)
    context = autocast(dtype)
    packed = read_checkpoint(checkpoint) if checkpoint else None
    notes: list[str] = []
    with quietly():
        try:
            if task == "generate" or packed or is_decoder(model):
                made = _optimise_decoder(model, candidate, dtype, packed, task, notes)
            else:
                made = _optimise_encoder(model, candidate, dtype)
        except (AssertionError, RuntimeError, NotImplementedError, ValueError) as error:
            said = first_line(error)[:_LONGEST_MESSAGE]
            raise RequestError(f"run {candidate.name}", f"IPEX refused: {said}", "use --engine torch") from error
    if candidate.scheme:
        _note_quantisation(made, candidate, notes)
    graph = "none"
    if getattr(made, "trace_graph", None) is not None:
        graph = "traced by ipex.llm.optimize"
    elif task != "generate" and not candidate.scheme and not is_decoder(made):
        # A traced graph of weight-only layers under bf16 autocast gives wrong answers in IPEX 2.8 (MiniLM: cosine
        # -0.01 to eager where the untraced model has 0.9997), and a decoder's graph would bake its cache in.
        made, graph = _traced(made, example_inputs, context, notes)
    facts: dict[str, object] = {"graph": graph}
    if candidate.scheme:
        facts |= {"quantised_layers": _count(made, _QUANTISED), "group_size": _group_size(candidate, packed)}
        facts["lowp_mode"] = _lowp_mode(candidate)
    return Prepared(
        model=made,
        candidate=candidate,
        context=context,
        convert_s=monotonic() - began,
        notes=tuple(notes),
        facts=facts,
    )


def _check(candidate: Candidate, checkpoint: str) -> None:
    if candidate.scheme == "dynamic":
        hint = "use --engine torch for dynamic int8"
        raise RequestError(f"run {candidate.name}", "engine ipex has integers as weights only here", hint)
    if checkpoint and candidate.dtype != "int4":
        raise RequestError(
            f"load the low-precision checkpoint {checkpoint} as {candidate.dtype}",
            "its weights have 4 bits",
            "use --dtype int4",
        )


def _optimise_encoder(model: torch.nn.Module, candidate: Candidate, dtype: torch.dtype) -> torch.nn.Module:
    if candidate.scheme:
        return _quantise(model, candidate)
    # For fp32 IPEX can pick MKL or oneDNN for each layer; for the others there is nothing to pick.
    pick = {"auto_kernel_selection": True} if dtype == torch.float32 else {}
    made: torch.nn.Module = ipex.optimize(model, dtype=dtype, inplace=True, **pick)
    return made


def _optimise_decoder(
    model: Any, candidate: Candidate, dtype: torch.dtype, packed: Checkpoint | None, task: Task, notes: list[str]
) -> torch.nn.Module:
    """ipex.llm.optimize; where it knows the architecture as little as it is documented to, its plain way."""
    name = type(model).__name__
    # It looks up the architecture here; a decoder without its output layer is not what the name would say.
    model.config.architectures = [name]
    extra: dict[str, object] = {}
    if candidate.scheme:
        extra["quantization_config"] = _woq_config(candidate, packed)
    if packed:
        about = {"quant_method": packed.method, "group_size": packed.group_size, "desc_act": packed.act_order}
        extra["low_precision_checkpoint"] = (packed.weights, about)
    made: torch.nn.Module = ipex.llm.optimize(
        model, dtype=dtype, inplace=True, deployment_mode=task == "generate", **extra
    )
    if _count(made, DECODER_LAYER):
        return made
    if packed:
        raise RequestError(
            "load a low-precision checkpoint",
            f"ipex.llm.optimize does not know {name}",
            "llama, qwen2, mistral, gpt-j, opt, falcon and others of its documentation can be loaded",
        )
    if candidate.scheme:
        notes.append(f"ipex.llm.optimize does not know {name} and would not quantise it; its linear layers alone are")
        return _quantise(made, candidate)
    notes.append(f"ipex.llm.optimize does not know {name}; ipex.optimize was applied: no fused attention, no graph")
    return made


def _quantise(model: torch.nn.Module, candidate: Candidate) -> torch.nn.Module:
    """Replace linear layers by weight-only ones, without the rest of ipex.llm.optimize."""
    config = _woq_config(candidate, None)
    ready = ipex.quantization.prepare(model, config, inplace=True, bn_folding=False)
    made: torch.nn.Module = ipex.quantization.convert(ready, inplace=True)
    return made


def _woq_config(candidate: Candidate, packed: Checkpoint | None) -> Any:
    kinds = ipex.quantization
    return kinds.get_weight_only_quant_qconfig_mapping(
        weight_dtype=kinds.WoqWeightDtype[candidate.dtype.upper()],
        lowp_mode=kinds.WoqLowpMode[_lowp_mode(candidate)],
        group_size=_group_size(candidate, packed),
    )


def _lowp_mode(candidate: Candidate) -> str:
    return candidate.lowp_mode.upper() or _LOWP_MODE[candidate.dtype]


def _group_size(candidate: Candidate, packed: Checkpoint | None) -> int:
    if packed:
        return packed.group_size
    return candidate.group_size or _GROUP_SIZE[candidate.dtype]


def _traced(
    made: torch.nn.Module, example_inputs: Batch, context: Context, notes: list[str]
) -> tuple[torch.nn.Module, str]:
    try:
        with quietly():
            traced = TracedModel(made, context)
            traced.graph(example_inputs)
            return traced, "torch.jit"
    except (RuntimeError, TypeError, ValueError) as error:
        notes.append(f"graph mode is off: {first_line(error)[:_LONGEST_MESSAGE].split('(')[0]}")
        return made, "none"


def _note_quantisation(made: torch.nn.Module, candidate: Candidate, notes: list[str]) -> None:
    quantised, left = _count(made, _QUANTISED), sum(_is_linear(layer) for layer in made.modules())
    if not quantised:
        raise RequestError(
            f"run {candidate.name}",
            f"IPEX quantised none of the model's {left} linear layers",
            "use --dtype bf16, or --engine torch",
        )
    if left:
        notes.append(f"IPEX quantised {quantised} of {quantised + left} linear layers")
    level = ipex._C._get_current_isa_level()
    if level != _FAST_LEVEL:
        notes.append(
            f"IPEX has weight-only kernels for {_FAST_LEVEL} alone; at {level} each call widens all weights first"
        )


def is_decoder(model: torch.nn.Module) -> bool:
    """Whether it is a decoder with its output layer, by its name."""
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def _is_linear(layer: torch.nn.Module) -> bool:
    """Not quantised: torch's, IPEX's, and GPT-2's Conv1D, which is one with its weight the other way round."""
    return isinstance(layer, torch.nn.Linear) or type(layer).__name__ in ("_IPEXLinear", "Conv1D")


def _count(model: torch.nn.Module, name: str) -> int:
    return sum(type(layer).__name__ == name for layer in model.modules())


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without what IPEX prints to stdout and warns of; stdout is for documents."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def autocast(dtype: torch.dtype) -> Context:
    """What is entered around calls in that type; nothing for fp32."""
    return nullcontext if dtype == torch.float32 else lambda: torch.autocast("cpu", dtype=dtype)


class TracedModel(torch.nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """Frozen graphs of torch.jit, one for each shape of batch, called like the model; a new shape is recorded first.

    As IPEX documents for its graph mode.
    """

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
