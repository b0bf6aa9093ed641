"""Reads a low-precision checkpoint, GPTQ or AWQ: its 4-bit weights and how they were made."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipexlaunch.errors import RequestError

if TYPE_CHECKING:
    import torch

METHODS = ("gptq", "awq")
BITS = 4
"""The only width of these formats that IPEX loads."""


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Quantised weights by their names in the model."""

    weights: dict[str, torch.Tensor]
    method: str
    group_size: int
    """Weights that share a scale; -1 for a whole channel."""
    act_order: bool
    """GPTQ went through the channels by the size of their activations (desc_act)."""


def read_checkpoint(directory: str) -> Checkpoint:
    """Read the directory that GPTQModel, AutoGPTQ, AutoAWQ or transformers wrote.

    Args:
        directory: with *.safetensors, and config.json (quantization_config) or quantize_config.json.

    Raises:
        RequestError: not such a directory, or not of 4 bits.
    """
    wanted = f"load the low-precision checkpoint {directory}"
    path = Path(directory)
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise RequestError(wanted, "it has no *.safetensors" if path.is_dir() else "there is no such directory")
    about = _about(path, wanted)
    method = str(about.get("quant_method", "gptq")).lower()
    bits = about.get("bits", about.get("w_bit"))
    if method not in METHODS or bits != BITS:
        raise RequestError(wanted, f"it is {method} of {bits} bits", f"GPTQ and AWQ of {BITS} bits can be loaded")
    return Checkpoint(
        weights=_weights(files, wanted),
        method=method,
        group_size=int(about.get("group_size", about.get("q_group_size", -1))),
        act_order=bool(about.get("desc_act", False)),
    )


def _about(path: Path, wanted: str) -> dict[str, Any]:
    """How the weights were quantised: from the model's configuration, or from a file of its own."""
    for name, key in (("config.json", "quantization_config"), ("quantize_config.json", ""), ("quant_config.json", "")):
        try:
            document = json.loads((path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            raise RequestError(wanted, f"its {name}: {error}") from error
        about = document.get(key) if key else document
        if isinstance(about, dict):
            return about
    raise RequestError(
        wanted, "neither its config.json (quantization_config) nor a quantize_config.json says how it was quantised"
    )


def _weights(files: list[Path], wanted: str) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, torch.Tensor] = {}
    try:
        for file in files:
            weights |= load_file(file)
    except (OSError, SafetensorError) as error:
        raise RequestError(wanted, str(error).splitlines()[0]) from error
    if not any(name.endswith(".qweight") for name in weights):
        raise RequestError(wanted, "none of its weights is quantised (no *.qweight)")
    return weights
