"""Compiles a module of fixed input shapes ahead of time into one file, and loads such files.

torch.compile keeps no finished program: with freezing, which the fast kernels of oneDNN need, torch 2.13 caches neither
its traces nor, because packed weights cannot be pickled, its graphs. Exported and compiled ahead of time the same graph
becomes a file that starts in a fraction of a second, without tracing and without a compiler, and its calls have no
guards to check and no tensor classes to take apart.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time
from typing import Any

import torch

import ipexlaunch

SETTINGS: dict[str, object] = {
    # Weights become constants: packed for oneDNN once, and everything that depends on them alone is computed once.
    "freezing": True,
    # The wrapper only calls kernels one after the other; optimising it took a third of the time and gained nothing.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}
"""What torch's inductor is told, for this compilation only."""

_CAPS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_CPU_ISA_HINTS", "DNNL_CPU_ISA_HINTS")
"""Variables that keep torch and oneDNN from instruction sets that the processor has."""

_PACKAGES = ("torch", "torchao", "transformers")

_SAMPLED = 256
"""Values of each weight that are part of a model's identity."""


class LoadedProgram:
    """A compiled program in this process: a function of tensors, of the very shapes that it was compiled for."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Args:
            path: a file that `compile_program` wrote for this kind of machine and this number of threads.
        """
        # torch._inductor.aoti_load_package would import the whole compiler, seconds that a start from the cache saves.
        self._run: Callable[[list[torch.Tensor]], list[torch.Tensor]] = torch._C._aoti.AOTIModelPackageLoader(
            str(path), "model", False, 1, -1
        ).run
        self.inside_s = 0.0
        """Processor seconds of the calling thread that all calls so far spent in the program."""

    def __call__(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Run it; state among the inputs is changed in place."""
        began = thread_time()
        outputs = self._run(inputs)
        self.inside_s += thread_time() - began
        return outputs


def compile_program(module: torch.nn.Module, inputs: Sequence[torch.Tensor], path: Path) -> None:
    """Compile a module for these shapes, this processor and this process's number of threads, into one file.

    Args:
        module: gives one tensor for the inputs, and may change inputs in place.
        inputs: of the shapes and types that it will be called with.
        path: the file to write.
    """
    with torch.no_grad(), _inductor_directory(_scratch().name):
        exported = torch.export.export(module, tuple(inputs), strict=False)
        torch._inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs=dict(SETTINGS))
        # Torch 2.13 holds the weights of what was exported last until it exports something else.
        torch.export.export(torch.nn.Identity(), (torch.zeros(1),), strict=False)


def identify_kernels() -> dict[str, object]:
    """Everything outside a model that decides which kernels a program has.

    The number of threads is written into generated loops (pytorch issue 184444), so it is part of it.
    """
    capabilities: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "ipexlaunch": ipexlaunch.__version__,
        **{name: _version(name) for name in _PACKAGES},
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": {name: value for name, value in sorted(capabilities.items()) if value},
        "caps": {name: os.environ[name] for name in _CAPS if name in os.environ},
        "threads": torch.get_num_threads(),
        "settings": SETTINGS,
    }


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


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


@functools.cache
def _scratch() -> TemporaryDirectory[str]:
    """Where inductor writes sources and objects; one directory until the process ends, it keeps paths into it."""
    return TemporaryDirectory(prefix="ipexlaunch-inductor-")


@contextmanager
def _inductor_directory(directory: str) -> Iterator[None]:
    before = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = directory
    try:
        yield
    finally:
        if before is None:
            del os.environ["TORCHINDUCTOR_CACHE_DIR"]
        else:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = before
