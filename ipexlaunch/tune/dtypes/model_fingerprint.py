"""What tells one model from another without reading its weights."""

from __future__ import annotations

import hashlib
import os

from ipexlaunch.models.engines.model_shapes import is_random


def identity_of(model: str) -> str:
    """Of a directory: a hash over config.json and the names and sizes of the weights; of random:NAME: itself.

    Args:
        model: as a ModelJob has it. One that cannot be read is named by its path; loading it will say what is wrong.
    """
    if is_random(model):
        return model
    digest = hashlib.sha256()
    try:
        with open(os.path.join(model, "config.json"), "rb") as file:
            digest.update(file.read())
        for entry in sorted(os.scandir(model), key=lambda entry: entry.name):
            if entry.name.endswith(".safetensors"):
                digest.update(f"{entry.name}:{entry.stat().st_size};".encode())
    except OSError:
        return os.path.abspath(model)
    return digest.hexdigest()[:32]
