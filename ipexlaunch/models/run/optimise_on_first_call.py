"""Optimises a model that somebody else's script calls, by IPEX, at its first call and with what that call gave it.

The script keeps its own object; what stands for it in calls is made here: the model as ipex.optimize or
ipex.llm.optimize leave it, a recorded graph where one gives the same answers, and results in the numbers that the
script expects.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.jit import TracerWarning

import intel_extension_for_pytorch as ipex  # isort: skip (it wants torch first)

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Dtype
from ipexlaunch.models.engines.measurement import AnswerSimilarity, judge
from ipexlaunch.models.run.load_model import first_line
from ipexlaunch.models.run.prepare import Context, torch_dtype
from ipexlaunch.models.run.prepare_ipex import DECODER_LAYER, autocast, is_decoder, quietly

_SAME_GRAPH = {torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 2e-2}
"""How far a graph's result may be from that of the modules it was recorded from, as a share of its norm: the kernels
are the same, but a fused one rounds once where two round twice."""

Result = Any


@dataclass(kw_only=True)
class Optimised:
    """What is called in place of a script's model."""

    model: Any
    context: Context
    dtype: torch.dtype
    graph: Any = None
    """A frozen torch.jit graph; None where there is none."""
    signature: inspect.Signature | None = None
    """Of the model's forward, by whose names the graph is called."""
    trusted: dict[tuple[object, ...], bool] = field(default_factory=dict)
    """Shapes to whether the graph gave the modules' answers for them."""
    notes: list[str] = field(default_factory=list)
    how: str = ""
    """What was done, for the report."""

    def call(self, original: Callable[..., Result], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
        """The model's result, floating-point tensors in fp32.

        Args:
            original: the method that the script called; it gets the optimised model.
            args: its positional arguments.
            kwargs: its named ones.
        """
        with torch.no_grad(), self.context():
            result = self._by_graph(original, args, kwargs) if self.graph is not None else None
            if result is None:
                result = original(self.model, *args, **kwargs)
        return result if self.dtype == torch.float32 else _widened(result, self.dtype)

    def _by_graph(self, original: Callable[..., Result], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Result:
        """The result of the graph; None where it is not to be used for such arguments."""
        named = _named(self.signature, args, kwargs)
        if named is None:
            return None
        shapes = tuple((name, value.dtype, value.shape) for name, value in named.items())
        if shapes not in self.trusted:
            # Constants of the graph may be wrong for these shapes: its answer is compared with the modules' once.
            expected = original(self.model, *args, **kwargs)
            self.trusted[shapes] = _is_same(self._graph_result(named, expected), expected)
            return expected
        if not self.trusted[shapes]:
            return None
        return self._graph_result(named, self._like)

    _like: Any = None
    """A result of the model itself: what a graph's is put into."""

    def _graph_result(self, named: Mapping[str, torch.Tensor], like: Any) -> Result:
        try:
            given = self.graph(**named)
        except RuntimeError:
            return None  # a shape that the recorded steps do not allow
        return type(like)(**given) if isinstance(given, dict) else given


def optimise(
    model: Any, original: Callable[..., Result], args: Sequence[Any], kwargs: Mapping[str, Any], *, dtype: Dtype,
    graph: bool, generates: bool,
) -> Optimised:  # fmt: skip
    """Convert a model in eval mode, in place as far as IPEX does.

    Args:
        model: the script's, called for the first time.
        original: the method that it called, `__call__` or `generate`.
        args: its positional arguments.
        kwargs: its named ones.
        dtype: fp32, bf16 or fp16.
        graph: record a graph where that is possible (IPEX's graph mode, deployment mode for decoders).
        generates: whether the method is `generate`.

    Raises:
        RequestError: IPEX refuses the model or the dtype; it may be half converted.
    """
    logging.getLogger("IPEX").setLevel(logging.ERROR)
    numbers = torch_dtype(dtype)
    done = Optimised(model=model, context=autocast(numbers), dtype=numbers)
    # A script may call under inference_mode; weights that are made there could never be used outside.
    with torch.inference_mode(False), torch.no_grad(), quietly():
        try:
            if generates or is_decoder(model):
                _optimise_decoder(done, deploy=graph and generates)
            else:
                done.model = ipex.optimize(model, dtype=numbers, inplace=True)
                done.how = "ipex.optimize"
        except (AssertionError, RuntimeError, NotImplementedError, ValueError, TypeError, AttributeError) as error:
            wanted = f"optimise {type(model).__name__} by IPEX in {dtype}"
            raise RequestError(wanted, f"it refused: {first_line(error)}", "leave out --auto-ipex") from error
    if graph and not generates and not is_decoder(model):
        _record(done, original, args, kwargs)
    return done


def _optimise_decoder(done: Optimised, *, deploy: bool) -> None:
    model, name = done.model, type(done.model).__name__
    if not getattr(model.config, "architectures", None):
        model.config.architectures = [name]  # where IPEX looks it up; a model made of a bare config has none
    done.model = ipex.llm.optimize(model, dtype=done.dtype, inplace=True, deployment_mode=deploy)
    if any(type(layer).__name__ == DECODER_LAYER for layer in done.model.modules()):
        done.how = "ipex.llm.optimize" + (" with a graph" if deploy else "")
    else:
        done.how = "ipex.optimize"
        done.notes.append(f"ipex.llm.optimize does not know {name}; ipex.optimize was applied")


def _record(done: Optimised, original: Callable[..., Result], args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Record a graph of the first call's tensors, and keep it if it gives the same answer."""
    with contextlib.suppress(TypeError, ValueError):
        done.signature = inspect.signature(done.model.forward)
    named = _named(done.signature, args, kwargs)
    if named is None:
        done.notes.append("no graph: the model is called with more than tensors")
        return
    named = {name: value.detach().clone() for name, value in named.items()}  # none of inference mode's
    with torch.inference_mode(False), torch.no_grad(), done.context(), quietly():
        # Each branch that depends on a value is warned of, and would be frozen as this input took it.
        warnings.simplefilter("error", TracerWarning)
        try:
            traced = torch.jit.trace(done.model, example_kwarg_inputs=named, strict=False, check_trace=False)
            done.graph = torch.jit.freeze(traced)
            expected = original(done.model, *args, **kwargs)
            done._like = expected
            for _ in range(2):  # the first runs specialise and fuse
                result = done._graph_result(named, expected)
            fits = _is_same(result, expected)
        except (RuntimeError, TypeError, ValueError, TracerWarning) as error:
            done.graph = None
            done.notes.append(f"no graph: {first_line(error)[:160]}")
            return
    if fits:
        done.trusted[tuple((name, value.dtype, value.shape) for name, value in named.items())] = True
        done.how += " with a graph"
    else:
        done.graph = None
        done.notes.append("no graph: its answers were others than the model's")


def wrong(reference: Result, result: Result, dtype: Dtype) -> tuple[str, str]:
    """(the figures in words, what is wrong with them); both "" where nothing can be compared.

    Args:
        reference: in fp32.
        result: of the optimised model.
        dtype: what it runs in.
    """
    first, second = _first_tensor(reference), _first_tensor(result)
    if first is None or second is None or first.shape != second.shape or not first.dim():
        return "", ""
    rows = [tensor.detach().double().reshape(tensor.shape[0], -1) for tensor in (first, second)]
    answers = AnswerSimilarity(cosine=float(torch.nn.functional.cosine_similarity(*rows, dim=1).min()))
    return answers.words, judge(answers, dtype)


def _first_tensor(result: Result) -> torch.Tensor | None:
    if isinstance(result, torch.Tensor):
        return result if result.is_floating_point() else None
    values = result.values() if isinstance(result, Mapping) else result if isinstance(result, tuple | list) else ()
    return next((found for value in values if (found := _first_tensor(value)) is not None), None)


def _named(
    signature: inspect.Signature | None, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, torch.Tensor] | None:
    """The arguments by their names; None unless all of them are tensors."""
    if args and signature is None:
        return None
    try:
        named = dict(signature.bind(*args, **kwargs).arguments) if args and signature is not None else dict(kwargs)
    except TypeError:
        return None
    return named if named and all(isinstance(value, torch.Tensor) for value in named.values()) else None


def _is_same(result: Result, expected: Result) -> bool:
    """Whether two results have the same structure and nearly the same numbers."""
    if isinstance(expected, torch.Tensor):
        if not isinstance(result, torch.Tensor) or result.shape != expected.shape or result.dtype != expected.dtype:
            return False
        if not expected.is_floating_point():
            return bool((result == expected).all())
        difference = torch.linalg.vector_norm((result - expected).double())
        return bool(difference <= _SAME_GRAPH.get(expected.dtype, 1e-3) * torch.linalg.vector_norm(expected.double()))
    if isinstance(expected, Mapping):
        return isinstance(result, Mapping) and list(result) == list(expected) and all(
            _is_same(result[name], value) for name, value in expected.items()
        )  # fmt: skip
    if isinstance(expected, tuple | list):
        return type(result) is type(expected) and len(result) == len(expected) and all(
            map(_is_same, result, expected)
        )  # fmt: skip
    return False


def _widened(result: Result, dtype: torch.dtype) -> Result:
    """The result with its tensors in fp32: numpy and much of a script know no bf16."""
    if isinstance(result, torch.Tensor):
        return result.float() if result.dtype == dtype else result
    if isinstance(result, dict):
        for name, value in list(result.items()):
            result[name] = _widened(value, dtype)
        return result
    if type(result) in (tuple, list):
        return type(result)(_widened(value, dtype) for value in result)
    return result
