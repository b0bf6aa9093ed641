"""Quantises a graph of OpenVINO by nncf: weights alone, without data, or activations too, in ranges found on texts."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping

import openvino

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.run.load_model import first_line
from ipexlaunch.models.run.prepare import Calibration

SMOOTHING = 0.8
"""How much of the spread of activations is moved into weights (SmoothQuant's alpha). Over 600 texts of documentation
the worst cosine of MiniLM is 0.9950 with it, 0.9934 with nncf's own 0.95; the speed is the same."""

CALIBRATION = f"smoothing {SMOOTHING}, the first narrowing product whole"
"""What a kept program was calibrated by; another way is another program."""


def quantise(
    model: openvino.Model, candidate: Candidate, calibration: Calibration | None
) -> tuple[openvino.Model, Mapping[str, object]]:
    """The graph as the candidate has it, and what was done.

    Args:
        model: in fp32; it may be changed.
        candidate: of engine openvino.
        calibration: texts to find ranges on, for a static candidate.

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
            made = _compressed(model, candidate)
    except (nncf.errors.InternalError, nncf.errors.ValidationError, RuntimeError, ValueError) as error:
        raise RequestError(f"run {candidate.name}", f"nncf refused: {first_line(error)}", "use --dtype bf16") from error
    return made, {}


def _compressed(model: openvino.Model, candidate: Candidate) -> openvino.Model:
    import nncf

    if candidate.dtype == "int8":
        return nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    return nncf.compress_weights(
        model, mode=nncf.CompressWeightsMode.INT4_ASYM, group_size=candidate.group_size or -1, ratio=1.0
    )


def _calibrated(model: openvino.Model, calibration: Calibration) -> openvino.Model:
    import nncf

    rows = [{name: tensor.numpy() for name, tensor in row.items()} for row in calibration.rows]
    # It takes the outliers of its block: whole, the worst cosine is 0.9962 instead of 0.9950, at 1/36 of the products.
    whole = _first_narrowing_product(model)
    smoothing = nncf.AdvancedSmoothQuantParameters(matmul=SMOOTHING)
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
        ignored_scope=nncf.IgnoredScope(names=[whole]) if whole else None,
        advanced_parameters=nncf.AdvancedQuantizationParameters(smooth_quant_alphas=smoothing),
    )


def _first_narrowing_product(model: openvino.Model) -> str:
    """The name of the first product that gives fewer channels than it takes: an encoder's first feed-forward output."""
    for node in model.get_ordered_ops():
        weights = node.input(1).get_partial_shape() if node.get_type_name() == "MatMul" else openvino.PartialShape([])
        if weights.is_static and len(weights) == 2:
            rows, columns = weights.to_shape()
            gives, takes = (rows, columns) if node.get_attributes()["transpose_b"] else (columns, rows)
            if gives < takes:
                name: str = node.get_friendly_name()
                return name
    return ""


def _count(model: openvino.Model, kind: str) -> int:
    return sum(node.get_type_name() == kind for node in model.get_ops())


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without nncf's bars of progress on stdout, which is for documents."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
