"""Packs weights as GPTQ and AWQ checkpoints hold them; runs in an environment with torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
"""Which column lies in each nibble of AWQ's words, from the lowest."""


@dataclass(frozen=True)
class Rounded:
    """A linear layer's weight in 4 bits, inputs by outputs, with what makes numbers of it again."""

    levels: Any
    scales: Any
    zeros: Any
    group_size: int

    def widened(self) -> Any:
        """The weight that these levels mean, as nn.Linear holds it."""
        scales = self.scales.float().repeat_interleave(self.group_size, 0)
        zeros = self.zeros.repeat_interleave(self.group_size, 0)
        return ((self.levels - zeros) * scales).t().contiguous()


def round_to_4_bits(weight: Any, group_size: int) -> Rounded:
    """Asymmetric rounding to the nearest of 16 levels, each group of inputs for itself."""
    groups = weight.t().reshape(-1, group_size, weight.shape[0])
    low, high = groups.amin(1).clamp(max=0), groups.amax(1).clamp(min=0)
    scales = ((high - low) / 15).clamp(min=1e-6).half()
    # GPTQ stores zeros less one, so 0 cannot be told from 16.
    zeros = (-low / scales.float()).round().clamp(1, 15).int()
    levels = (groups / scales.float().unsqueeze(1) + zeros.unsqueeze(1)).round().clamp(0, 15).int()
    return Rounded(levels.reshape(weight.shape[1], weight.shape[0]), scales, zeros, group_size)


def gptq(rounded: Rounded) -> dict[str, Any]:
    """Eight inputs a word in the weights, eight outputs a word in the zeros, which are stored less one."""
    inputs, outputs = rounded.levels.shape
    words = rounded.levels.reshape(inputs // 8, 8, outputs)
    zeros = (rounded.zeros - 1).reshape(-1, outputs // 8, 8)
    return {
        "qweight": sum((words[:, i] << (4 * i)) for i in range(8)),
        "qzeros": sum((zeros[:, :, i] << (4 * i)) for i in range(8)),
        "scales": rounded.scales,
        "g_idx": torch.arange(inputs, dtype=torch.int32) // rounded.group_size,
    }


def awq(rounded: Rounded) -> dict[str, Any]:
    """Eight outputs a word in both, in AWQ's order."""

    def packed(levels: Any) -> Any:
        words = levels.reshape(levels.shape[0], -1, 8)
        return sum((words[:, :, column] << (4 * nibble)) for nibble, column in enumerate(AWQ_ORDER))

    return {"qweight": packed(rounded.levels), "qzeros": packed(rounded.zeros), "scales": rounded.scales}
