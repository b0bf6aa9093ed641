"""What is known of libraries that are preloaded: their kinds, who must not get which, how a death by one looks."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

ALLOCATORS = ("tcmalloc", "jemalloc")
"""Those that are preloaded on request."""

ALLOCATOR_FILES = re.compile(r"lib((tc|je|mi|sn|rp|sc|tbb|lockless|super)malloc|hoard|scalloc).*")
OPENMP_FAMILIES = ("libgomp", "libiomp5", "libomp")
OPENMP_FILES = re.compile(r"lib(gomp|iomp5|omp)\b.*")

DIES_EARLY_S = 60.0
"""A worker that a preloaded library kills dies when its program loads its libraries or first allocates in earnest."""

BY_LIBRARY = (6, 7, 11)
"""ABRT, BUS, SEGV: how a program dies whose allocators disagree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A package whose own libraries do not bear a preloaded one."""

    package: str
    """Its normalised name on the package index."""
    libraries: tuple[str, ...]
    source: str


PROXY = "its wheel brings libtbbmalloc_proxy, and aborts under another allocator (seen with 2026.4)"

CONFLICTS = tuple(
    Conflict(package=package, libraries=ALLOCATORS, source=PROXY) for package in ("openvino", "openvino-nightly")
)


def preload_conflict(library: str, packages: Collection[str]) -> Conflict | None:
    """Why a library must not be preloaded beside these packages; None where nothing is known.

    Args:
        library: "tcmalloc", "jemalloc" or "iomp5".
        packages: normalised names of what the workers' interpreter has.
    """
    return next((each for each in CONFLICTS if each.package in packages and library in each.libraries), None)


def preloaded_in(variables: Mapping[str, str]) -> list[str]:
    """The libraries of LD_PRELOAD, which separates them by colons or white space (ld.so(8)).

    Args:
        variables: an environment.
    """
    return [path for path in re.split(r"[:\s]+", variables.get("LD_PRELOAD", "")) if path]


def library_name(path: str) -> str:
    """A library's file name without its versions: "libjemalloc".

    Args:
        path: of the file.
    """
    return path.rpartition("/")[2].partition(".so")[0]


def openmp_family(path: str) -> str:
    """ "libgomp", "libiomp5" or "libomp", also under a wheel's mangled name (libgomp-a34b3233.so.1); else empty.

    Args:
        path: of the file.
    """
    name = library_name(path).partition("-")[0]
    return name if name in OPENMP_FAMILIES else ""


def preload_kinds(paths: Sequence[str]) -> set[str]:
    """Of which kinds the caller preloads something already: "allocator", "openmp".

    Args:
        paths: those of LD_PRELOAD.
    """
    names = [path.rpartition("/")[2] for path in paths]
    kinds = {"allocator": ALLOCATOR_FILES, "openmp": OPENMP_FILES}
    return {kind for kind, files in kinds.items() if any(files.fullmatch(name) for name in names)}


def preload_crash_hint(signal: int, lived_s: float, preload: Sequence[str], by_request: Collection[str]) -> str:
    """What a worker's early death by a signal may come from; "" where no preloaded library is likely to blame.

    Args:
        signal: its number; 0 for none.
        lived_s: how long the worker lived.
        preload: the libraries that were preloaded into it, by whomever.
        by_request: those of them that options of ours stand for; the others come from the user's LD_PRELOAD.
    """
    if signal not in BY_LIBRARY or lived_s > DIES_EARLY_S or not preload:
        return ""
    kinds = preload_kinds([path for path in preload if path in by_request])
    ways = ["--memory-allocator default"] if "allocator" in kinds else []
    ways += ["--omp-runtime default"] if "openmp" in kinds else []
    ways += ["--env LD_PRELOAD="] if set(preload) - set(by_request) else []
    return f"it ran with {' and '.join(preload)} preloaded; if that is why: {' or '.join(ways)}"
