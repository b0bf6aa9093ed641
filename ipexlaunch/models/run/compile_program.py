"""Compiles a module into one file that needs no compiler any more, and loads it: torch.export and AOTInductor.

torch.compile keeps no finished program: with freezing, which the fast kernels of oneDNN need, torch 2.13 caches neither
its traces nor, because packed weights cannot be pickled, its graphs. Exported and compiled ahead of time the same graph
becomes a file that starts in a fraction of a second, without tracing and without a compiler, and its calls have no
guards to check and no tensor classes to take apart.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time

import torch

SETTINGS: dict[str, object] = {
    # Weights become constants: packed for oneDNN once, and everything that depends on them alone is computed once.
    "freezing": True,
    # The wrapper only calls kernels one after the other; optimising it took a third of the time and gained nothing.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}
"""What torch's inductor is told, for this compilation only."""

MOST_ROWS = 1 << 16
"""Of a program that takes any number of them."""


class LoadedProgram:
    """A compiled program in this process: a function of tensors, of the shapes that it was compiled for."""

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


def compile_program(
    module: torch.nn.Module, inputs: Sequence[torch.Tensor], path: Path, *, longest: int | None = None
) -> None:
    """Compile a module for these shapes, this processor and this process's number of threads, into one file.

    Args:
        module: gives one tensor for the inputs, and may change inputs in place.
        inputs: of the shapes and types that it will be called with.
        path: the file to write.
        longest: where inputs may be of any number of rows, and of columns up to this; None for their own shapes.
    """
    free = None
    if longest is not None:
        each = {0: torch.export.Dim("rows", min=1, max=MOST_ROWS), 1: torch.export.Dim("columns", min=1, max=longest)}
        free = {"tensors": (each,) * len(inputs)}
    with torch.no_grad(), _inductor_directory(_scratch().name):
        exported = torch.export.export(module, tuple(inputs), dynamic_shapes=free, strict=False)
        torch._inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs=dict(SETTINGS))
        # Torch 2.13 holds the weights of what was exported last until it exports something else.
        torch.export.export(torch.nn.Identity(), (torch.zeros(1),), strict=False)


def passes_of(backend: str) -> AbstractContextManager[object]:
    """While this is entered, graphs are compiled with the passes that a backend of torch.compile adds to inductor.

    Named to torch.compile the backend would compile in each process. What its passes call is found by a compiled file
    too, once its package is imported.

    Args:
        backend: "zentorch", or "" for none.
    """
    if not backend:
        return nullcontext()
    found: AbstractContextManager[object] = import_module("torch._inductor.config").patch(
        joint_custom_post_pass=import_module(backend).optimize_pass
    )
    return found


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
