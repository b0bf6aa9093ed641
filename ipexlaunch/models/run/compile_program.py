"""Compiles a module into a folder that needs no compiler any more, and loads it: torch.export and AOTInductor.

torch.compile keeps no finished program: with freezing, which the fast kernels of oneDNN need, torch 2.13 caches neither
its traces nor, because packed weights cannot be pickled, its graphs. Exported and compiled ahead of time the same graph
becomes a program that starts in a fraction of a second, without tracing and without a compiler, and its calls have no
guards to check and no tensor classes to take apart. It lies unpacked, so that all workers map the one library that is
there: of a packed one each would extract a copy, which a killed worker leaves behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from importlib import import_module
from mmap import mmap
from pathlib import Path
from tempfile import TemporaryDirectory
from time import thread_time
from zipfile import ZipFile

import torch

from ipexlaunch.worker import template

SETTINGS: dict[str, object] = {
    # Weights become constants: packed for oneDNN once, and everything that depends on them alone is computed once.
    "freezing": True,
    # The wrapper only calls kernels one after the other; optimising it took a third of the time and gained nothing.
    "aot_inductor.compile_wrapper_opt_level": "O0",
}
"""What torch's inductor is told, for this compilation only."""

WEIGHTS = "weights begin a page"
"""How a program lies in the cache; one that lies otherwise is another."""

FOLDERS_SINCE = "2.13"
"""The torch whose AOTIModelPackageLoader takes a folder with a package's files (model_package_loader.h)."""

_ASKS, _ASKS_FOR_PAGES = b"\0malloc\0", b"\0valloc\0"
_NAMES_WITHIN = 1 << 24
"""Bytes at a library's beginning among which its imported names lie; those of a BERT-base program end at 0.7 MB."""

Run = Callable[[list[torch.Tensor]], list[torch.Tensor]]
"""A loaded program's call."""

MOST_ROWS = 1 << 16
"""Of a program that takes any number of them."""


class LoadedProgram:
    """A compiled program in this process: a function of tensors, of the shapes that it was compiled for."""

    def __init__(self, path: Path) -> None:
        """Load it.

        Args:
            path: a folder that `compile_program` wrote for this kind of machine and this number of threads.
        """
        self._run = load(path) if can_load_in_place(path) else load_a_copy(path)
        self.inside_s = 0.0
        """Processor seconds of the calling thread that all calls so far spent in the program."""

    def __call__(self, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
        """Run it; state among the inputs is changed in place."""
        began = thread_time()
        outputs = self._run(inputs)
        self.inside_s += thread_time() - began
        return outputs


def can_load_in_place(path: Path) -> bool:
    """Whether the library in a program's folder can be mapped there: this torch takes folders, and the file system lets
    its files be run."""
    return torch.__version__ >= FOLDERS_SINCE and not os.statvfs(path).f_flag & os.ST_NOEXEC


def load(path: Path) -> Run:
    """The call of a program.

    Args:
        path: its folder, whose library this process then shares with all others; or a package, which torch extracts
            for this process alone.
    """
    # torch._inductor.aoti_load_package would import the whole compiler, seconds that a start from the cache saves.
    run: Run = torch._C._aoti.AOTIModelPackageLoader(str(path), "model", False, 1, -1).run
    return run


def load_a_copy(path: Path) -> Run:
    """The call of a program whose library cannot be mapped where it lies.

    Args:
        path: its folder.
    """
    with TemporaryDirectory(prefix="ipexlaunch-package-") as folder:
        package = Path(folder, "program.pt2")
        with ZipFile(package, "w") as archive:
            for file in filter(Path.is_file, path.rglob("*")):
                archive.write(file, file.relative_to(path))
        return load(package)


def compile_program(
    module: torch.nn.Module, inputs: Sequence[torch.Tensor], path: Path, *, longest: int | None = None
) -> None:
    """Compile a module for these shapes, this processor and this process's number of threads, into a folder.

    Args:
        module: gives one tensor for the inputs, and may change inputs in place.
        inputs: of the shapes and types that it will be called with.
        path: the folder to make; what a process that dies in the middle leaves lies beside it.
        longest: where inputs may be of any number of rows, and of columns up to this; None for their own shapes.
    """
    # What compiles starts threads and processes; and workers by themselves share out several programs among them.
    template.refuse("there is a program to be compiled first; the next run shares it")
    free = None
    if longest is not None:
        each = {0: torch.export.Dim("rows", min=1, max=MOST_ROWS), 1: torch.export.Dim("columns", min=1, max=longest)}
        free = {"tensors": (each,) * len(inputs)}
    # Sources and objects of the compilation lie beside the program until it is there, and so does its package.
    with torch.no_grad(), import_module("torch._inductor.utils").fresh_cache(dir=str(path.parent)):
        exported = torch.export.export(module, tuple(inputs), dynamic_shapes=free, strict=False)
        package = path.with_name(f"{path.name}.pt2")
        torch._inductor.aoti_compile_and_package(exported, package_path=str(package), inductor_configs=dict(SETTINGS))
        with ZipFile(package) as archive:
            archive.extractall(path)
        package.unlink()
        for library in path.rglob("*.so"):
            begin_a_page_with_weights(library)
        # Torch 2.13 holds the weights of what was exported last until it exports something else.
        torch.export.export(torch.nn.Identity(), (torch.zeros(1),), strict=False)


def begin_a_page_with_weights(library: Path) -> None:
    """Let a program ask for the room of its weights by valloc, which begins it with a page, instead of by malloc.

    It copies them there when it is loaded (RAII_cpuMalloc in torch/csrc/inductor/aoti_runtime/model_base.h). malloc of
    glibc begins large rooms 16 bytes behind a page, and each row of 64 bytes that AMX reads lay in two lines of the
    cache: a BERT-base shape in bf16 took 1.4 times as long (8 x 128, one core of a Xeon). In the library's table of
    imported names (.dynstr, ahead of its code) one takes the other's place: both are given a size, what they give is
    freed by free, and jemalloc and tcmalloc replace both.

    Args:
        library: it is changed. One that does not ask malloc is left as it is.
    """
    with library.open("r+b") as file, mmap(file.fileno(), 0) as content:
        place = content.find(_ASKS, 0, _NAMES_WITHIN)
        if place >= 0:
            content[place : place + len(_ASKS)] = _ASKS_FOR_PAGES


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
