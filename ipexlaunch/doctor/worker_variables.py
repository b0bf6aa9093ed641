"""What the caller's variables do to workers: libraries that are preloaded, counts of threads, pinned main threads.

Of preloaded libraries: their kinds, who must not get which, how a death by one looks.

Some settings of OpenMP squeeze the main thread onto one cpu, where its children (DataLoader workers) inherit it.
Sources: OpenMP API specification 5.2, chapter 21; libgomp's manual (OMP_PROC_BIND is true where OMP_PLACES or
GOMP_CPU_AFFINITY is set); Intel's documentation of KMP_AFFINITY and its reset modifier; seen with both runtimes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ipexlaunch.doctor.thread_pools import COUNTS, LIMITS

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


COUNT = r"\s*\d{1,9}(\s*,\s*\d{1,9})*\s*"
"""A count, or one for each level of nested regions; words such as "auto" are no count of somebody else."""


def mismatched_thread_counts(variables: Mapping[str, str], threads: Collection[int]) -> dict[str, str]:
    """The variables of the caller's shell that would give a worker another count of threads than its slice has.

    Args:
        variables: the environment.
        threads: those of every instance.
    """
    fitting = {str(count) for count in threads} if len(set(threads)) == 1 else set()
    counts = {name: variables[name].strip() for name in COUNTS if re.fullmatch(COUNT, variables.get(name, ""))}
    limits = {name: variables[name].strip() for name in LIMITS if re.fullmatch(COUNT, variables.get(name, ""))}
    unlike = {name: value for name, value in counts.items() if value not in fitting}
    too_low = {name: value for name, value in limits.items() if int(value.split(",")[0]) < max(threads, default=1)}
    return unlike | too_low


PINNING = ("KMP_AFFINITY", "GOMP_CPU_AFFINITY", "OMP_PROC_BIND", "OMP_PLACES")
"""Variables that can."""


KMP_TYPES = {"compact", "scatter", "balanced", "explicit", "logical", "physical"}
"""Words of KMP_AFFINITY that pin; the others (verbose, respect, none, disabled ...) do not."""


def main_thread_pinning(variables: Mapping[str, str]) -> list[str]:
    """Those of the variables that do, given all of them: some make others harmless."""
    return [name for name in PINNING if name in variables and _collapses(name, variables)]


def _collapses(name: str, variables: Mapping[str, str]) -> bool:
    """Seen with libgomp 12 and libiomp5 2026.2: whether the main thread's affinity shrinks (docs/tuning.md)."""
    value = variables[name].lower().replace(" ", "")
    places = variables.get("OMP_PLACES", "").lower().replace(" ", "")
    unbound = variables.get("OMP_PROC_BIND", "").lower().split(",")[0].strip() == "false"
    if name == "KMP_AFFINITY":
        words = set(value.split(","))
        return bool(words & KMP_TYPES) and ("reset" not in words or names_cpus(name, value))
    if name == "OMP_PROC_BIND":
        return not unbound and not _wide(places)
    if name == "OMP_PLACES":
        return "OMP_PROC_BIND" not in variables and not _wide(places)
    return not unbound


def _wide(places: str) -> bool:
    """A single place, or places as wide as a node: the team is held together, but no thread is pinned inside."""
    return re.fullmatch(r"\{[^{}]*\}|(sockets|numa_domains)(\(\d+\))?", places) is not None


def names_cpus(name: str, value: str) -> bool:
    """Whether the value names cpus by number, so that every worker would pin its threads to the same ones."""
    if name == "KMP_AFFINITY":
        return "proclist" in value.lower()
    return name in ("GOMP_CPU_AFFINITY", "OMP_PLACES") and re.search(r"\d", value.partition("(")[0]) is not None
