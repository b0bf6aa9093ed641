"""Quantises a graph of OpenVINO by nncf: weights alone, without data, or activations too, in ranges found on texts."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from math import gcd
from typing import Any

import numpy
import openvino
from openvino import opset13

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.run.load_model import first_line
from ipexlaunch.models.run.prepare import Calibration
from ipexlaunch.models.run.rewrite_openvino import above

SMOOTHING = 0.8
"""How much of the spread of activations is moved into weights (SmoothQuant's alpha). Over 600 texts of documentation
the worst cosine of MiniLM is 0.9950 with it, 0.9934 with nncf's own 0.95; the speed is the same."""

OUTLIERS = 4
"""Channels of the first narrowing product that are not quantised. MiniLM has one whose values are four times as large
as all others'. Over 600 texts the worst cosine is 0.9921 with all channels quantised, 0.9946, 0.9953 and 0.9950 with 1,
4 and 16 taken out, and 0.9957 where the whole product stays as it is, which takes 4 % of a call of 8 x 128 tokens."""

DYNAMIC_GROUP = 128
"""Activations that share a scale where they are quantised call by call; with OpenVINO's own default of 32 a call takes
1.2 times as long (MiniLM 8 x 128 on a Zen 5), and with more than a product takes in, 1.4 times."""

_GROUPS_OF_DECODERS: Mapping[str, Sequence[int]] = {
    "bf16": range(1024, DYNAMIC_GROUP, -DYNAMIC_GROUP),
    "fp32": (192,),
}
"""Widths that are better than that for a decoder, the best first. Wide models have channels far larger than all others,
whose scale is then that of few; hence no more than 1024. In fp32 prompts take 0.95 of the time with groups of 192, as
long with 384 as with 128, and 1.4 times as long with wider ones; steps take the same (160 million parameters, a Xeon
whose AMX takes no part in it)."""

DECODER_WEIGHTS = "symmetric int8"
"""A decoder's integers have no zero points, which would have to be taken off each product: a step of 8 rows takes 0.95
of the time, and with groups as wide as its products have in common 0.92 (160 million parameters, Zen 4)."""

CALIBRATION = f"smoothing {SMOOTHING}, {OUTLIERS} channels of the first narrowing product whole, attention too"
"""What a kept program was calibrated by; another way is another program."""


def quantise(
    model: openvino.Model, candidate: Candidate, calibration: Calibration | None, *, generates: bool = False
) -> tuple[openvino.Model, Mapping[str, object]]:
    """The graph as the candidate has it, and what was done.

    Args:
        model: in fp32; it may be changed.
        candidate: of engine openvino.
        calibration: texts to find ranges on, for a static candidate.
        generates: it is a decoder's.

    Raises:
        RequestError: nncf refuses the graph.
    """
    if not candidate.scheme:
        return model, {}
    import nncf  # seconds that floating-point candidates save

    nncf.set_log_level(logging.ERROR)
    try:
        with _quietly():
            if calibration is not None:
                made = _calibrated(model, calibration)
                return made, {"quantised_layers": _count(made, "FakeQuantize")}
            made = _compressed(model, candidate, generates)
    except (nncf.errors.InternalError, nncf.errors.ValidationError, RuntimeError, ValueError) as error:
        raise RequestError(f"run {candidate.name}", f"nncf refused: {first_line(error)}", "use --dtype bf16") from error
    return made, {}


def group_of_decoder(model: openvino.Model, activations: str) -> int:
    """How many activations of a decoder share a scale: the best group that divides what every product takes in.

    Wider than a product it would be computed in floating point (0.6 of the rate).

    Args:
        model: with quantised weights.
        activations: what the network runs in.
    """
    common = gcd(*(_widths(node)[1] for node in model.get_ops()))
    return next((group for group in _GROUPS_OF_DECODERS[activations] if common % group == 0), DYNAMIC_GROUP)


def _compressed(model: openvino.Model, candidate: Candidate, generates: bool) -> openvino.Model:
    import nncf

    if candidate.dtype == "int8":
        modes = nncf.CompressWeightsMode
        return nncf.compress_weights(model, mode=modes.INT8_SYM if generates else modes.INT8_ASYM)
    return nncf.compress_weights(
        model, mode=nncf.CompressWeightsMode.INT4_ASYM, group_size=candidate.group_size or -1, ratio=1.0
    )


def _calibrated(model: openvino.Model, calibration: Calibration) -> openvino.Model:
    import nncf

    rows = [{name: tensor.numpy() for name, tensor in row.items()} for row in calibration.rows]
    whole = [*_attention_of(model), *_set_outliers_apart(model, rows)]
    smoothing = nncf.AdvancedSmoothQuantParameters(matmul=SMOOTHING)
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
        ignored_scope=nncf.IgnoredScope(names=whole) if whole else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smoothing),
    )


def _attention_of(model: openvino.Model) -> list[str]:
    """Names of the products of which neither side is weights; they stay in floating point.

    nncf would have queries and keys multiplied as integers, and probabilities and values not. On processors with AMX
    OpenVINO 2026.4 then multiplies the latter by the tiles of the former where both products are equally large: texts
    of as many tokens as a head has channels, up to 32, got other vectors (MiniLM: a cosine of 0.76 at 32 tokens).
    Integers gain nothing there: a call of 8 x 128 takes as long without, one of 1 x 16 tokens 0.96.
    """
    return [
        node.get_friendly_name()
        for node in model.get_ops()
        if node.get_type_name() == "ScaledDotProductAttention"
        or (
            node.get_type_name() == "MatMul"
            and all(above(node, 1, port=port)[0].get_type_name() != "Constant" for port in (0, 1))
        )
    ]


def _set_outliers_apart(model: openvino.Model, rows: Sequence[Mapping[str, numpy.ndarray[Any, Any]]]) -> list[str]:
    """Let products of their own compute the few channels that would widen the ranges of all others.

    In weights alone: what stands between the two products of an encoder's first feed-forward block stays one pass.

    Args:
        model: it is changed.
        rows: calibration texts, on which the channels with the largest values are found.

    Returns:
        Names of the products that are not to be quantised: the new ones; the narrowing one where it does not follow
        on a GELU; none where nothing narrows.
    """
    down = _first_narrowing_product(model)
    if down is None:
        return []
    gelu, up = above(down, 2)
    added = up if _adds_constant(up) else None
    (up,) = above(added, 1) if added is not None else (up,)
    kinds = [node.get_type_name() for node in (gelu, up, *(above(node, 1, port=1)[0] for node in (down, up)))]
    if kinds != ["Gelu", "MatMul", "Constant", "Constant"]:
        return [down.get_friendly_name()]
    at = _largest_channels(model, gelu, rows)
    # Rows of one, columns of the other, and nothing for the second bias: what is taken out here is computed there.
    widens, narrows = (node.get_attributes()["transpose_b"] for node in (up, down))
    first = opset13.matmul(up.input_value(0), _taken_out(up, at, 0 if widens else 1), False, widens)
    apart = first if added is None else opset13.add(first, _taken_out(added, at, -1))
    held = opset13.gelu(apart, gelu.get_attributes()["approximation_mode"])
    second = opset13.matmul(held, _taken_out(down, at, 1 if narrows else 0), False, narrows)
    whole = (_bias_after(down.output(0)) or down).output(0)
    users = list(whole.get_target_inputs())
    both = opset13.add(whole, second)
    for user in users:
        user.replace_source_output(both.output(0))
    model.validate_nodes_and_infer_types()
    return [first.get_friendly_name(), second.get_friendly_name()]


def _bias_after(output: openvino.Output) -> openvino.Node | None:
    """The addition of a constant, where nothing else reads what it is added to."""
    readers = [each.get_node() for each in output.get_target_inputs()]
    return readers[0] if len(readers) == 1 and _adds_constant(readers[0]) else None


def _adds_constant(node: openvino.Node) -> bool:
    return [each.get_type_name() for each in (node, *above(node, 1, port=1))] == ["Add", "Constant"]


def _taken_out(node: openvino.Node, at: numpy.ndarray[Any, Any], axis: int) -> openvino.Node:
    """A node's weights of some channels, in whose place it has zeros now."""
    weights = node.input_value(1).get_node().get_data()
    left = weights.copy()
    numpy.moveaxis(left, axis, 0)[at] = 0
    node.input(1).replace_source_output(opset13.constant(left).output(0))
    return opset13.constant(numpy.take(weights, at, axis))


def _largest_channels(
    model: openvino.Model, node: openvino.Node, rows: Sequence[Mapping[str, numpy.ndarray[Any, Any]]]
) -> numpy.ndarray[Any, Any]:
    """Which channels of a node's output have the largest values."""
    watched = model.clone()
    (same,) = (each for each in watched.get_ops() if each.get_friendly_name() == node.get_friendly_name())
    watched.add_outputs(same.output(0))
    request = openvino.Core().compile_model(watched, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    largest = []
    for row in rows:
        request.infer(row)
        seen = request.get_output_tensor(1).data
        largest.append(numpy.abs(seen).reshape(-1, seen.shape[-1]).max(0))
    return numpy.sort(numpy.argsort(numpy.max(largest, axis=0))[-OUTLIERS:])


def _first_narrowing_product(model: openvino.Model) -> openvino.Node | None:
    """The first product that gives fewer channels than it takes: an encoder's first feed-forward output."""
    for node in model.get_ordered_ops():
        gives, takes = _widths(node)
        if gives < takes:
            return node
    return None


def _widths(node: openvino.Node) -> tuple[int, int]:
    """How many channels a product with weights gives and takes; none where the node is no such product."""
    weights = node.input(1).get_partial_shape() if node.get_type_name() == "MatMul" else openvino.PartialShape([])
    if not weights.is_static or len(weights) != 2:
        return 0, 0
    rows, columns = weights.to_shape()
    return (rows, columns) if node.get_attributes()["transpose_b"] else (columns, rows)


def _count(model: openvino.Model, kind: str) -> int:
    return sum(node.get_type_name() == kind for node in model.get_ops())


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without nncf's bars of progress on stdout, which is for documents."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
