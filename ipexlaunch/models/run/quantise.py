"""Gives a model the weights of a torch candidate: cast, or quantised by torchao, whose weight-only layers are replaced.

torchao keeps a quantised weight as one tensor of a class of its own, which is taken apart in Python at every compiled
call, and whose weight-only product is a dequantisation followed by a floating-point product; freezing folds that into
plain floating-point weights, and the saved memory traffic is gone. A layer of plain tensors that calls the kernels
itself has neither problem.
"""

from __future__ import annotations

from typing import Any

import torch

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.worth_measuring import KERNEL_ROWS
from ipexlaunch.models.run.prepare import torch_dtype

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
    model.to(torch_dtype(candidate.activations if candidate.scheme else candidate.dtype))
    if not candidate.scheme:
        return {}
    facts: dict[str, object] = {"quantised_layers": _quantise(model, _torchao_config(candidate))}
    if unwrap and candidate.scheme == "weight-only":
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
        found = "int8 and int4 are dynamic or weight-only, and nothing else is"
        raise RequestError(wanted, found, "leave out --quantization")
    if candidate.dtype != "int4":
        return
    if candidate.scheme != "weight-only" or candidate.activations != "bf16":
        found = "torch's int4 kernel is weight-only and takes bf16 activations"
        raise RequestError(wanted, found, "use --quantization weight-only")
    if candidate.group_size and candidate.group_size not in INT4_GROUP_SIZES:
        sizes = ", ".join(map(str, INT4_GROUP_SIZES))
        raise RequestError(wanted, f"torch's int4 kernel takes groups of {sizes}", "use --group-size 128")


def _torchao_config(candidate: Candidate) -> Any:
    from torchao import quantization
    from torchao.utils import should_reduce_range

    if candidate.dtype == "int4":
        from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig  # of torchao 0.18

        group_size = candidate.group_size or _DEFAULT_INT4_GROUP
        return PrototypeInt4WeightOnlyConfig(group_size=group_size, set_inductor_config=False)
    if candidate.scheme == "weight-only":
        return quantization.Int8WeightOnlyConfig(set_inductor_config=False)
    # Without VNNI two products of 8 bits are added in 16, which overflows in full range.
    reduce_range = should_reduce_range(torch.device("cpu"))
    return quantization.Int8DynamicActivationInt8WeightConfig(set_inductor_config=False, reduce_range=reduce_range)


def _quantise(model: torch.nn.Module, config: Any) -> int:
    """Quantise every linear layer that a product of the whole batch goes through; how many became quantised."""
    from torchao.quantization import quantize_

    before = {name: type(parameter) for name, parameter in model.named_parameters()}
    quantize_(model, config)
    after = {name: type(parameter) for name, parameter in model.named_parameters()}
    return sum(1 for name, kind in after.items() if kind is not before.get(name))


class _WeightOnlyLinear(torch.nn.Module):  # type: ignore[misc]
    """A linear layer whose weights are kept as integers."""

    def __init__(self, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.register_buffer("bias", bias)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """The product, in the activations' type."""
        product = self._product(values.reshape(-1, values.shape[-1]).contiguous())
        if self.bias is not None:
            product = product + self.bias
        return product.reshape(*values.shape[:-1], product.shape[-1])

    def _product(self, rows: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Int8WeightLinear(_WeightOnlyLinear):
    """A linear layer whose weights are int8 with one scale for each output."""

    def __init__(self, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        """Keep the parts.

        Args:
            weight: int8, outputs x inputs.
            scale: one for each output, in the activations' type.
            bias: one for each output, or None.
        """
        super().__init__(bias)
        self.register_buffer("quantised", weight)
        self.register_buffer("scale", scale)

    def _product(self, rows: torch.Tensor) -> torch.Tensor:
        weight: Any = self.quantised
        if rows.shape[0] <= KERNEL_ROWS["int8"] and rows.dtype == torch.bfloat16:
            return torch.ops.aten._weight_int8pack_mm(rows, weight, self.scale)
        return torch.mm(rows, weight.t().to(rows.dtype)) * self.scale


class Int4WeightLinear(_WeightOnlyLinear):
    """A linear layer whose weights are packed int4 with a scale and an offset for each group of inputs."""

    def __init__(
        self,
        packed: torch.Tensor,
        scales_and_offsets: torch.Tensor,
        group_size: int,
        bias: torch.Tensor | None,
        unit: torch.Tensor,
    ) -> None:
        """Keep the parts.

        Args:
            packed: as aten's _convert_weight_to_int4pack_for_cpu gives them.
            scales_and_offsets: groups x outputs x 2, in the activations' type.
            group_size: inputs that share a scale.
            bias: one for each output, or None.
            unit: the unit matrix of the inputs; layers of one width share it.
        """
        super().__init__(bias)
        self.register_buffer("packed", packed)
        self.register_buffer("unit", unit, persistent=False)
        self.register_buffer("scales_and_offsets", scales_and_offsets)
        self.group_size = group_size

    def _product(self, rows: torch.Tensor) -> torch.Tensor:
        if rows.shape[0] > KERNEL_ROWS["int4"]:
            # What the kernel makes of the unit matrix is the weights; freezing computes that while compiling.
            return torch.mm(rows, self._product_of_few(self.unit))
        return self._product_of_few(rows)

    def _product_of_few(self, rows: torch.Tensor) -> torch.Tensor:
        kernel = torch.ops.aten._weight_int4pack_mm_for_cpu
        return kernel(rows, self.packed, self.group_size, self.scales_and_offsets)


def unwrap_weight_only(model: torch.nn.Module) -> int:
    """Replace every weight-only layer that torchao made, in place, and tell how many there were.

    Args:
        model: after torchao's quantize_ with a weight-only configuration.
    """
    replaced = 0
    units: dict[int, torch.Tensor] = {}
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            plain = _plain(child, units)
            if plain is not None:
                setattr(module, name, plain)
                replaced += 1
    return replaced


def _plain(layer: torch.nn.Module, units: dict[int, torch.Tensor]) -> torch.nn.Module | None:
    if not isinstance(layer, torch.nn.Linear):
        return None
    weight: Any = layer.weight
    bias = None if layer.bias is None else layer.bias.detach()
    kind = type(weight).__name__
    if kind == "Int8Tensor" and weight.act_quant_kwargs is None:
        return Int8WeightLinear(weight.qdata, weight.scale.reshape(-1).to(weight.dtype), bias)
    if kind == "Int4OpaqueTensor" and weight.act_pre_scale is None and weight.act_mapping_type is None:
        inputs = layer.in_features
        unit = units.setdefault(inputs, torch.eye(inputs, dtype=weight.dtype))
        return Int4WeightLinear(weight.qdata, weight.scale_and_zero, weight.block_size[-1], bias, unit)
    return None
