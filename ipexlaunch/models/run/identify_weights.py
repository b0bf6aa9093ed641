"""Which weights a model has: the part of a compiled program's key that no name of a file can stand for."""

from __future__ import annotations

import hashlib
from typing import Any

import torch

_SAMPLED = 256
"""Values of each weight that are part of a model's identity."""


def identify_weights(model: torch.nn.Module) -> str:
    """A digest of a model's structure and of values taken evenly from each of its weights, a few ms for each 100 MB.

    Programs hold the weights, so another model must never find them; names of files can lie, weights cannot.

    Args:
        model: as it was loaded, before any engine changed it.
    """
    seen = hashlib.sha256(repr(model).encode())
    config: Any = getattr(model, "config", None)
    if config is not None and hasattr(config, "to_json_string"):
        seen.update(config.to_json_string().encode())
    for name, weight in [*model.named_parameters(), *model.named_buffers()]:
        flat = weight.detach().reshape(-1)
        sampled = flat[:: max(1, flat.numel() // _SAMPLED)].double()
        seen.update(f"{name} {tuple(weight.shape)} {weight.dtype}".encode())
        seen.update(sampled.numpy().tobytes())
    return seen.hexdigest()
