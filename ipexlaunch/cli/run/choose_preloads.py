"""Which libraries are preloaded into the workers: what is asked for, else what starts and conflicts with nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ipexlaunch.cli.options import JobOptions
from ipexlaunch.cli.options.checked_command import variables_named
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read import read_interpreter
from ipexlaunch.doctor.worker_variables import ALLOCATORS, Conflict, preload_conflict, preload_kinds, preloaded_in
from ipexlaunch.errors import LaunchError, UsageError
from ipexlaunch.launch.preload_libraries import interpreter_prefixes, libraries_that_start

LIBRARY_HINTS = {
    "iomp5": "install it into the workers' environment: pip install intel-openmp",
    "tcmalloc": "install it: apt-get install libtcmalloc-minimal4, or conda install gperftools",
    "jemalloc": "install it: apt-get install libjemalloc2, or conda install jemalloc",
}

WITHOUT = {
    "iomp5": "--omp-runtime default",
    "tcmalloc": "--memory-allocator default",
    "jemalloc": "--memory-allocator default",
}
"""What leaves each out."""

EXECUTABLE = ("/bin/true", "/usr/bin/true")
"""What is started under a library where no interpreter is: the first that is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preload:
    """What is preloaded, and what the user should know of it."""

    libraries: dict[str, str]
    """Names to paths."""
    remarks: tuple[str, ...] = ()


def preload_from_options(python: str, kind: str, options: JobOptions) -> Preload:
    """The libraries that --memory-allocator, --omp-runtime and their former names ask for, each tried first.

    Args:
        python: the workers' interpreter.
        kind: of the program: an executable is not started for the trial, nor an interpreter.
        options: of the command.

    Raises:
        LaunchError: one that is asked for by name is not there, or a trivial program does not start under it.
        UsageError: two options exclude each other.
    """
    by_name, wanted = asked_libraries(options, os.environ)
    if not wanted:
        return Preload(libraries={})
    found, refused, conflicts = usable_libraries(python, kind, wanted)
    for name in by_name:
        aim = f"preload {name}{' for --benchmark' if options.benchmark and name == 'jemalloc' else ''}"
        if name in refused:
            raise LaunchError(aim, refused[name], f"repair it, or {WITHOUT[name]}")
        if name not in found:
            raise LaunchError(aim, "it is not installed here", LIBRARY_HINTS[name])
    remarks = [f"{name} is not preloaded: {why}" for name, why in refused.items()]
    for name, conflict in conflicts.items():
        if name in by_name:
            remarks.append(f"{name} is preloaded as asked, but {conflict.package} is installed: {conflict.source}")
        else:
            del found[name]
            remarks.append(f"{name} is not preloaded: {conflict.package} is installed, and {conflict.source}")
    if "tcmalloc" in found:  # the first of those that auto takes
        found.pop("jemalloc", None)
    return Preload(libraries=found, remarks=tuple(dict.fromkeys(remarks)))


def asked_libraries(options: JobOptions, inherited: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """What must be preloaded, as it is asked for by name, and all that may be, where it is there.

    Args:
        options: of the command.
        inherited: the launcher's own variables.

    Raises:
        UsageError: two options exclude each other, or the environment has settings in the place of --benchmark's.
    """
    which, runtime = allocator(options), options.omp_runtime
    if options.disable_iomp:
        runtime = "default"
    by_name = [*(["iomp5"] if runtime == "intel" else []), *([which] if which in ALLOCATORS else [])]
    if options.benchmark and "MALLOC_CONF" in inherited:
        raise UsageError("--benchmark sets MALLOC_CONF, which the environment has already; unset it")
    if "LD_PRELOAD" in variables_named(options.env):
        return [], []  # the user has said what is preloaded
    own = preload_kinds(preloaded_in(inherited))  # the caller has chosen
    free = [*(["iomp5"] if runtime == "auto" else []), *(ALLOCATORS if which == "auto" else ())]
    free = [name for name in free if ("openmp" if name == "iomp5" else "allocator") not in own]
    return by_name, [name for name in ("iomp5", *ALLOCATORS) if name in (*by_name, *free)]


def allocator(options: JobOptions) -> str:
    """Which allocator is asked for: auto, default, tcmalloc or jemalloc, which is what --benchmark is about.

    Raises:
        UsageError: two options ask for different ones.
    """
    flags = (
        (options.enable_tcmalloc, "tcmalloc", "--enable-tcmalloc"),
        (options.enable_jemalloc, "jemalloc", "--enable-jemalloc"),
        (options.use_default_allocator, "default", "--use-default-allocator"),
    )
    asked = {name: flag for given, name, flag in flags if given}
    if options.memory_allocator != "auto":
        asked.setdefault(options.memory_allocator, f"--memory-allocator {options.memory_allocator}")
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked.values())} exclude each other; give one of them")
    return next(iter(asked), "jemalloc" if options.benchmark else "auto")


def usable_libraries(
    python: str, kind: str, wanted: Sequence[str]
) -> tuple[dict[str, str], dict[str, str], dict[str, Conflict]]:
    """Those that start, to their paths; why others do not; and those of the first that something installed cannot bear.

    Args:
        python: the workers' interpreter.
        kind: of the program.
        wanted: names of libraries.
    """
    place = shutil.which(python) or python
    trial = () if kind != "executable" else tuple(path for path in EXECUTABLE if os.access(path, os.X_OK))[:1]
    found, refused = libraries_that_start(place, os.environ, wanted, program=trial)
    if not found:
        return found, refused, {}
    # An executable may start the active environment's Python: a shell script, torchrun.
    interpreter = read_interpreter(place, interpreter_prefixes(place))
    packages = () if isinstance(interpreter, Unavailable) else tuple(interpreter.packages)
    conflicts = {name: conflict for name in found if (conflict := preload_conflict(name, packages)) is not None}
    return found, refused, conflicts
