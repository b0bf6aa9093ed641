"""Libraries that move threads out of the cpus that their process was given: what each does, and what keeps it in.

What was run, with which release, stands in docs/binding.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class PinningLibrary:
    """A library (or a program that has it inside) that sets affinities by the host's cpus, not by its process's."""

    name: str
    files: str
    """Names of its file, as a regular expression."""
    does: str
    cure: str
    moves_callers: bool = False
    """Whether it moves threads that it has not begun itself: those that call it, and those of OpenMP."""
    told_by: str = ""
    """The variable, NAME=VALUE, that makes it do so, as a regular expression; "" where it does without."""
    fixed_in: str = ""
    """Names of the file whose presence says that --fix-pinning reaches it."""
    source: str


PINNING_LIBRARIES = (
    PinningLibrary(
        name="ONNX Runtime",
        files=r"(libonnxruntime|onnxruntime_pybind11_state)\b.*",
        does="without a number of threads it makes one for each core of the host, and pins each to its core",
        cure="set SessionOptions.intra_op_num_threads, to any number",
        fixed_in=r"onnxruntime_pybind11_state\b.*",
        source="onnxruntime/core/util/thread_utils.cc (CreateThreadPoolHelper), core/platform/posix/env.cc",
    ),
    PinningLibrary(
        name="llama.cpp",
        files=r"(lib)?(llama|ggml)\b.*",
        does="with --numa, whatever its word, it gives the thread that calls it every cpu of the host; with distribute "
        "or isolate its other threads get whole nodes",
        cure="leave --numa out, the slice is bound to its node anyway",
        moves_callers=True,
        source="ggml/src/ggml-cpu/ggml-cpu.c (set_numa_thread_affinity, clear_numa_thread_affinity)",
    ),
    PinningLibrary(
        name="OpenMP",
        files=r"lib(gomp|iomp5|omp5?)\b.*",
        does="it pins its threads to the host's cpus that GOMP_CPU_AFFINITY, or KMP_AFFINITY with norespect, names",
        cure="leave them unset, the slice is pinned anyway",
        moves_callers=True,
        told_by=r"GOMP_CPU_AFFINITY=.+|KMP_AFFINITY=.*norespect.*",
        source="libgomp/config/linux/affinity.c of GCC; openmp/runtime/src/kmp_affinity.cpp of LLVM",
    ),
)
"""The more particular before the more general: the threads of OpenMP may be moved by who uses them."""


def library_that_moved(begins_in: str, mapped: Iterable[str], variables: Iterable[str], *, is_main: bool) -> str:
    """Path of the library of the table that has moved a thread; "" where none can have done it.

    Args:
        begins_in: path of the file with the function that the thread began with; "" where not known.
        mapped: paths of the files that are mapped into its process.
        variables: NAME=VALUE, as its process was started with them.
        is_main: whether it is its process's first thread, which no library has begun.
    """
    paths = sorted(mapped)
    for library in PINNING_LIBRARIES:
        if library.told_by and not any(re.fullmatch(library.told_by, variable) for variable in variables):
            continue
        if re.fullmatch(library.files, _name(begins_in)):
            return begins_in
        if library.moves_callers or not (begins_in or is_main):
            path = next((path for path in paths if re.fullmatch(library.files, _name(path))), "")
            if path:
                return path
    return ""


def library_of(path: str) -> PinningLibrary | None:
    """The library of the table that a file is.

    Args:
        path: of a mapped file.
    """
    return next((each for each in PINNING_LIBRARIES if re.fullmatch(each.files, _name(path))), None)


def blame(path: str) -> str:
    """What a library does to threads, and what keeps them in; "" for one that is not in the table.

    Args:
        path: of its file.
    """
    library = library_of(path)
    if library is None:
        return ""
    fix = "; --fix-pinning does that for sessions made in Python" if re.fullmatch(library.fixed_in, _name(path)) else ""
    return f"{library.name} is loaded there ({_name(path)}): {library.does}; {library.cure}{fix}"


def _name(path: str) -> str:
    return path.rpartition("/")[2]
