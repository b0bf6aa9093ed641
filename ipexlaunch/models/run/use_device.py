"""Runs a model on an accelerator through torch.xpu or torch.cuda: inputs go there, answers come back, inside the call.

Not run on hardware: the tests put a stand-in in the place of torch.xpu.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

import torch

from ipexlaunch.errors import LaunchError
from ipexlaunch.models.engines.candidate import Candidate
from ipexlaunch.models.engines.model_job import Device
from ipexlaunch.models.run.prepare_eager import prepare as prepare_eager
from ipexlaunch.models.run.prepared import Prepared

_INSTALL = {
    "xpu": "install a torch for Intel GPUs and their driver, or name another interpreter with --python",
    "cuda": "install a torch for CUDA and the NVIDIA driver, or name another interpreter with --python",
}


@dataclass(frozen=True, kw_only=True)
class OpenDevice:
    """The one accelerator that this process sees."""

    kind: Device
    name: str
    place: torch.device
    synchronize: Callable[[], None]
    """Returns when everything that was asked of it is done."""


def open_device(kind: Device, backend: Any = None, place: torch.device | None = None) -> OpenDevice:
    """The accelerator that the launcher has left visible to this process.

    Args:
        kind: xpu or cuda.
        backend: torch.xpu or torch.cuda; a stand-in in tests.
        place: where tensors are put; the first device of that kind where none is given.

    Raises:
        LaunchError: torch sees no such device; with what it is built for.
    """
    backend = getattr(torch, kind, None) if backend is None else backend
    if backend is None or not backend.is_available():
        raise LaunchError(f"run on {kind}", f"torch {torch.__version__} of {sys.executable} sees none", _INSTALL[kind])
    return OpenDevice(
        kind=kind,
        name=backend.get_device_name(0),
        place=place or torch.device(kind, 0),
        synchronize=backend.synchronize,
    )


def prepare_on_device(model: torch.nn.Module, candidate: Candidate, device: OpenDevice) -> Prepared:
    """Cast the weights and put them on the accelerator.

    Args:
        model: in fp32; it is cast and moved in place.
        candidate: a floating-point one of engine eager.
        device: where it runs.

    Raises:
        RequestError: an integer candidate.
    """
    began = monotonic()
    prepared = prepare_eager(model, candidate, {}, "forward")
    prepared.model = prepared.model.to(device.place)
    device.synchronize()
    prepared.place = lambda batch: {name: tensor.to(device.place) for name, tensor in batch.items()}
    prepared.fetch = lambda answer: answer.to("cpu")  # a copy to the host waits for what it copies
    prepared.settle = device.synchronize
    prepared.convert_s = monotonic() - began
    prepared.facts = {**prepared.facts, "device": device.kind, "device_name": device.name}
    return prepared
