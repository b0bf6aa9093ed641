"""Gives a model the weights of a torch candidate: cast, or quantised by torchao."""

from __future__ import annotations

from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.run.prepare_eager import TORCH_DTYPES
from ipexlaunch.models.run.replace_torchao_weights import unwrap_weight_only

INT4_GROUP_SIZES = (32, 64, 128, 256)
"""What torch's int4 kernel for CPUs takes (torchao's PrototypeInt4WeightOnlyConfig)."""

_DEFAULT_INT4_GROUP = 128


def convert(model: torch.nn.Module, candidate: Candidate, unwrap: bool = True) -> dict[str, object]:
    """Cast and quantise a model in place, and tell what was replaced.

    Args:
        model: in fp32.
        candidate: of engine torch.
        unwrap: make plain layers of weight-only ones; False leaves torchao's, to measure what they cost.

    Raises:
        RequestError: a combination that torch has no kernel for.
    """
    check(candidate)
    model.to(TORCH_DTYPES[candidate.activations if candidate.scheme else candidate.dtype])
    if not candidate.scheme:
        return {}
    if candidate.scheme == "dynamic":
        return {"quantised_layers": _quantise(model, _dynamic())}
    if candidate.dtype == "int8":
        facts: dict[str, object] = {"quantised_layers": _quantise(model, _int8_weights())}
    else:
        facts = {"quantised_layers": _quantise(model, _int4_weights(candidate.group_size or _DEFAULT_INT4_GROUP))}
    if unwrap:
        facts["unwrapped_layers"] = unwrap_weight_only(model)
    return facts


def check(candidate: Candidate) -> None:
    """Refuse what torch and torchao have no kernel for.

    Raises:
        RequestError: with what would work.
    """
    wanted = f"run {candidate.name}"
    integer = candidate.dtype in ("int8", "int4")
    if integer != bool(candidate.scheme):
        raise RequestError(wanted, "int8 and int4 are dynamic or weight-only, and nothing else is")
    if candidate.dtype != "int4":
        return
    if candidate.scheme != "weight-only" or candidate.activations != "bf16":
        raise RequestError(wanted, "torch's int4 kernel is weight-only and takes bf16 activations", "use those")
    if candidate.group_size and candidate.group_size not in INT4_GROUP_SIZES:
        sizes = ", ".join(map(str, INT4_GROUP_SIZES))
        raise RequestError(wanted, f"torch's int4 kernel takes groups of {sizes}")


def _dynamic() -> Any:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig
    from torchao.utils import should_reduce_range

    # Without VNNI two products of 8 bits are added in 16, which overflows in full range.
    reduce_range = should_reduce_range(torch.device("cpu"))
    return Int8DynamicActivationInt8WeightConfig(set_inductor_config=False, reduce_range=reduce_range)


def _int8_weights() -> Any:
    from torchao.quantization import Int8WeightOnlyConfig

    return Int8WeightOnlyConfig(set_inductor_config=False)


def _int4_weights(group_size: int) -> Any:
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return PrototypeInt4WeightOnlyConfig(group_size=group_size, set_inductor_config=False)


def _quantise(model: torch.nn.Module, config: Any) -> int:
    """Quantise every linear layer that a product of the whole batch goes through; how many became quantised."""
    from torchao.quantization import quantize_

    before = {name: type(parameter) for name, parameter in model.named_parameters()}
    quantize_(model, config)
    after = {name: type(parameter) for name, parameter in model.named_parameters()}
    return sum(1 for name, kind in after.items() if kind is not before.get(name))
