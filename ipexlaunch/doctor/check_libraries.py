"""Allocators, OpenMP runtimes and the packages of the interpreter that would run the workers.

Sources: PyTorch's "Grokking" articles (jemalloc: 2.2 times faster ResNet-50 than the C library's allocator on one
socket); vLLM's check of preloaded libraries; the release notes of IPEX 2.8 (one torch minor per release).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ipexlaunch.doctor.check_environment import openmp_family
from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts, Interpreter, Library, LoadedRuntimes, need
from ipexlaunch.doctor.host_files_read import Unread
from ipexlaunch.doctor.preloads import ALLOCATORS, conflict_of

VNNI_TORCH, VNNI_TORCHAO = (2, 12), (0, 18)
"""The first that multiply int8 by VNNI (torchao #4103)."""


def check_allocator(facts: Facts) -> Finding:
    """Whether an allocator that scales over threads can be preloaded."""
    every = [library for library in need(facts.libraries) if library.family in ALLOCATORS]
    found, broken = [each for each in every if not each.why], [each for each in every if each.why]
    conflicts = [conflict for each in found if (conflict := conflict_of(each.family, _packages(facts))) is not None]
    if conflicts:
        message = (
            f"No allocator is preloaded by default: {conflicts[0].package} is installed, and {conflicts[0].source}"
        )
        return finding("note", message, *_seen(found), remedy="nothing to do; to have one all the same, name it")
    if found:
        names = " and ".join(sorted({library.family for library in found}))
        return finding("ok", f"{names} can be preloaded", *_seen(found), *_seen(broken))
    if broken:
        message = f"{' and '.join(each.family for each in broken)} is there, but no program starts with it preloaded"
        return finding("warning", message, *_seen(broken), remedy="install one that was built for this machine")
    return finding(
        "warning",
        "Neither tcmalloc nor jemalloc is installed: the C library hands large buffers back to the kernel each time",
        Evidence("library search", "no libtcmalloc*.so*, no libjemalloc.so*"),
        remedy="install one of them (Debian, Ubuntu; in conda: conda install -c conda-forge gperftools)",
        command="sudo apt-get install -y libtcmalloc-minimal4 libjemalloc2",
    )


def check_openmp_runtime(facts: Facts) -> Finding:
    """Whether Intel's OpenMP runtime can be preloaded, the one whose threads can be pinned without loss."""
    found = [library for library in need(facts.libraries) if library.family == "iomp5"]
    if found and found[0].why:
        message = "libiomp5 is there, but no program starts with it preloaded"
        return finding("warning", message, *_seen(found), remedy="install one that was built for this machine")
    if found:
        return finding("ok", "libiomp5 can be preloaded", *_seen(found))
    others = [library for library in need(facts.libraries) if library.kind == "openmp"]
    return finding(
        "note",
        "libiomp5 is not installed: workers keep the OpenMP runtime that their packages bring",
        *(_seen(others) or [Evidence("library search", "no libiomp5.so*")]),
        remedy="on x86, install it into the workers' environment",
        command=f"{_python(facts)} -m pip install intel-openmp",
    )


def check_openmp_runtimes_together(facts: Facts) -> Sequence[Finding]:
    """Whether a worker can load, or a running one has loaded, two OpenMP runtimes."""
    return [_bundled_runtimes(need(facts.libraries)), *(_loaded_runtimes(process) for process in facts.processes)]


def _bundled_runtimes(libraries: Sequence[Library]) -> Finding:
    bundled = [library for library in libraries if library.kind == "openmp" and library.package]
    packages = sorted({library.package for library in bundled})
    if len(packages) < 2:
        searched = Evidence("packages' own libraries", "no libgomp, libiomp5 or libomp")
        return finding("ok", "No two packages bring an OpenMP runtime of their own", *(_seen(bundled) or [searched]))
    return finding(
        "note",
        f"{', '.join(packages)} each bring an OpenMP runtime: a worker that uses all of them has several pools",
        *_seen(bundled),
        remedy="preload one (ipexlaunch does if libiomp5 is there), or keep the others at one thread",
    )


def _loaded_runtimes(process: LoadedRuntimes | Unread) -> Finding:
    if isinstance(process, Unread):
        message = f"Cannot tell what {process.where} has loaded"
        return finding("unknown", message, Evidence(process.where, process.problem))
    seen = [Evidence(f"/proc/{process.pid}/maps", path) for path in process.paths]
    if len(process.paths) < 2:
        nothing = Evidence(f"/proc/{process.pid}/maps", "no libgomp, libiomp5 or libomp")
        return finding("ok", f"Process {process.pid} has not loaded two OpenMP runtimes", *(seen or [nothing]))
    first = next((path for path in process.preloaded if openmp_family(path)), "")
    if openmp_family(first) == "libiomp5":  # it has the entry points of libgomp and of libomp too
        preload = Evidence(f"/proc/{process.pid}/environ", f"LD_PRELOAD has {first}")
        message = f"In process {process.pid} the preloaded libiomp5 answers for the other OpenMP runtimes"
        return finding("ok", message, preload, *seen)
    working = process.with_threads
    if working is not None and len(working) < 2:
        told = Evidence(f"/proc/{process.pid}/task", f"threads of {working[0]}" if working else "no threads of either")
        message = f"Process {process.pid} has loaded {len(process.paths)} OpenMP runtimes, with threads of one at most"
        return finding("ok", message, *seen, told)
    if working is None:
        message = (
            f"Process {process.pid} has loaded {len(process.paths)} OpenMP runtimes; nothing tells whose threads run"
        )
        return finding("note", message, *seen, remedy="preload libiomp5, which answers for all of them")
    return finding(
        "problem",
        f"Process {process.pid} has threads of {len(working)} OpenMP runtimes, a pool for each",
        *seen,
        remedy="preload libiomp5, which answers for all of them",
        command="ipexlaunch --omp-runtime intel ...",
    )


def check_torch(facts: Facts) -> Sequence[Finding]:
    """Which torch the workers would import, and whether what is beside it fits."""
    interpreter = need(facts.interpreter)
    python = Evidence(interpreter.path, f"Python {interpreter.version}" if interpreter.version else "version not found")
    torch = interpreter.packages.get("torch")
    if torch is None:
        return [
            finding(
                "note",
                "The workers' Python has no torch; programs without it run all the same",
                python,
                remedy="name the environment that has it, or install it",
                command="ipexlaunch doctor --python /path/to/env/bin/python",
            )
        ]
    found = [finding("ok", f"torch {torch.value} in the workers' Python", python, torch)]
    ipex = interpreter.packages.get("intel-extension-for-pytorch")
    if ipex is not None and _minor(ipex.value) != _minor(torch.value):
        found.append(
            finding(
                "problem",
                f"IPEX {ipex.value} does not fit torch {torch.value}: importing it ends the worker with code 127",
                torch,
                ipex,
                remedy="keep both at the same minor release, or remove IPEX (archived in March 2026)",
                command=f"{interpreter.path} -m pip uninstall -y intel-extension-for-pytorch",
            )
        )
    ao = interpreter.packages.get("torchao")
    if ao is not None and (_minor(torch.value) < VNNI_TORCH or _minor(ao.value) < VNNI_TORCHAO):
        message = f"torchao {ao.value} with torch {torch.value} takes the slow path for int8"
        remedy = "use torch 2.12 or later with torchao 0.18 or later"
        found.append(finding("note", message, torch, ao, remedy=remedy))
    return found


def _minor(version: str) -> tuple[int, ...]:
    """ "2.8.0+cpu" as (2, 8)."""
    parts = version.split("+")[0].split(".")[:2]
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


def _python(facts: Facts) -> str:
    return need(facts.interpreter).path


def _seen(libraries: Sequence[Library]) -> list[Evidence]:
    return [Evidence(library.path, library.why or library.package or library.family) for library in libraries]


def _packages(facts: Facts) -> Collection[str]:
    interpreter = facts.interpreter
    return interpreter.packages if isinstance(interpreter, Interpreter) else ()
