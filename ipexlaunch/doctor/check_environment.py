"""What workers inherit: variables that undo a placement or cap a worker, allocators, OpenMP runtimes, packages.

Sources: OpenMP API specification 5.2, chapter 21 (OMP_*); libgomp's manual, "Environment Variables" (OMP_PROC_BIND is
true where OMP_PLACES or GOMP_CPU_AFFINITY is set); Intel's OpenMP documentation (KMP_AFFINITY and its reset modifier);
Intel MPI reference (I_MPI_PIN); man srun (SLURM_CPU_BIND, SLURM_MEM_BIND); ld.so(8) (LD_PRELOAD);
PyTorch's "Grokking" articles (jemalloc: 2.2 times faster ResNet-50 than the C library's allocator on one socket);
vLLM's check of preloaded libraries; the release notes of IPEX 2.8 (one torch minor per release).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from ipexlaunch.doctor.finding import Evidence, Finding, Severity, finding
from ipexlaunch.doctor.host_facts import Facts, Interpreter, Library, LoadedRuntimes, require
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.thread_pools import COUNTS, LIMITS
from ipexlaunch.doctor.worker_variables import (
    ALLOCATORS,
    PINNING,
    main_thread_pinning,
    names_cpus,
    openmp_family,
    preload_conflict,
    preloaded_in,
)
from ipexlaunch.machine.wording import counted

SPINNING = ("KMP_BLOCKTIME", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
INSTRUCTION_CAPS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
Variables = Mapping[str, str]
CACHE = "TORCHINDUCTOR_CACHE_DIR"

VNNI_TORCH, VNNI_TORCHAO = (2, 12), (0, 18)
"""The first that multiply int8 by VNNI (torchao #4103)."""

LONG_SPIN_MS = 200
"""KMP_BLOCKTIME's default; spinning that long steals from a neighbour only where cpus are shared."""


def check_thread_pinning(facts: Facts) -> Finding:
    """Whether OpenMP is told to pin threads: it pins the main thread too, whose children then share one cpu."""
    variables = facts.variables
    bad = main_thread_pinning(variables)
    if not bad:
        present = [name for name in PINNING if name in variables]
        return finding("ok", "No variable pins the threads of OpenMP", *_seen(variables, present or PINNING))
    listed = [name for name in bad if names_cpus(name, variables[name])]
    message = f"{' and '.join(bad)}: OpenMP holds the main thread, and every process it starts, to one cpu"
    if listed:
        message = f"{' and '.join(listed)} names cpus of the host: every worker would pin its threads to the same ones"
    remedy = "leave them unset: the slice of each worker is pinned anyway"
    if bad == ["KMP_AFFINITY"] and not listed:
        remedy = 'leave it unset, or add ",reset" to it'
    return _to_unset("problem", message, variables, bad, remedy)


def check_thread_counts(facts: Facts) -> Finding:
    """Whether a count of threads was set for something else than an instance."""
    variables = facts.variables
    present = [name for name in (*COUNTS, *LIMITS) if name in variables]
    if not present:
        return finding("ok", "No count of threads is set", *_seen(variables, ["OMP_NUM_THREADS"]))
    names = f"{' and '.join(present)} {'is' if len(present) == 1 else 'are'} set"
    message = f"{names}; each worker gets the count of its own cores instead"
    remedy = "nothing to do; to keep it for every worker, say so"
    command = f"ipexlaunch {' '.join(f'--env {name}={variables[name]}' for name in present)} ..."
    return finding("note", message, *_seen(variables, present), remedy=remedy, command=command)


def check_spinning_threads(facts: Facts) -> Finding:
    """Whether idle threads of a worker spin for long."""
    variables = facts.variables
    blocktime, wait, spins = (variables.get(name, "").strip().lower() for name in SPINNING)
    blocktime = blocktime.removesuffix("ms")
    long = blocktime == "infinite" or (blocktime.isdecimal() and int(blocktime) >= LONG_SPIN_MS)
    spinning = (long, wait == "active", spins in ("infinite", "infinity"))
    bad = [name for name, spins in zip(SPINNING, spinning, strict=True) if spins]
    if not bad:
        return finding("ok", "No variable makes idle threads spin for long", *_seen(variables, SPINNING))
    message = f"{' and '.join(bad)} makes idle threads spin: harmless alone on a core, costly on a shared one"
    return _to_unset("note", message, variables, bad, "leave it unset (workers with libiomp5 get KMP_BLOCKTIME=1)")


def check_mpi_pinning(facts: Facts) -> Finding:
    """Whether an MPI pins ranks again, inside or across our slices."""
    variables = facts.variables
    names = sorted(name for name in variables if name.startswith("I_MPI_PIN"))
    binding = sorted(name for name in variables if re.fullmatch(r"(OMPI_MCA|PRTE_MCA|HWLOC)_.*bind.*", name))
    off = variables.get("I_MPI_PIN", "").strip().lower() in ("0", "no", "off", "disable")
    bad = ([] if off else names) + [name for name in binding if variables[name].strip().lower() != "none"]
    if not bad:
        return finding("ok", "No variable makes an MPI pin ranks", *_seen(variables, names + binding or ["I_MPI_PIN"]))
    return finding(
        "warning",
        "MPI is told to pin its ranks: it narrows the cpus before ipexlaunch sees them",
        *_seen(variables, bad),
        remedy="start one rank per host, unbound",
        command="mpirun --map-by ppr:1:node --bind-to none ipexlaunch ..." if not names else "export I_MPI_PIN=off",
    )


def check_slurm_binding(facts: Facts) -> Finding:
    """Whether Slurm bound cpus or memory of this step."""
    variables = facts.variables
    names = ("SLURM_CPU_BIND", "SLURM_MEM_BIND")
    bound = [name for name in names if name in variables and not _unbound(variables[name])]
    if not bound:
        return finding("ok", "Slurm binds nothing here", *_seen(variables, names))
    what = " and ".join("cpus" if name == "SLURM_CPU_BIND" else "memory" for name in bound)
    message = f"Slurm bound the {what} of this step, and srun inside it inherits that"
    remedy = "for one task per host, leave binding to ipexlaunch"
    command = "srun --cpu-bind=none --mem-bind=none --ntasks-per-node=1 ipexlaunch ..."
    return finding("note", message, *_seen(variables, bound), remedy=remedy, command=command)


def _unbound(value: str) -> bool:
    words = [word for word in value.lower().split(",") if word not in ("quiet", "verbose", "q", "v")]
    return not words or words[0] in ("none", "no", "")


def check_preload(facts: Facts) -> Finding:
    """Whether LD_PRELOAD names files that are not there, or two OpenMP runtimes at once."""
    variables = facts.variables
    seen = _seen(variables, ["LD_PRELOAD"])
    paths = preloaded_in(variables)
    missing = [path for path in paths if path not in facts.existing_paths]
    runtimes = sorted({family for family in map(openmp_family, paths) if family})
    if len(runtimes) > 1:
        message = f"LD_PRELOAD brings {' and '.join(runtimes)}: two OpenMP runtimes, two pools of threads per worker"
        return finding("problem", message, *seen, remedy="keep one of them", command="unset LD_PRELOAD")
    if missing:
        kept = [path for path in paths if path in facts.existing_paths]
        command = f"export LD_PRELOAD={':'.join(kept)}" if kept else "unset LD_PRELOAD"
        message = f"LD_PRELOAD names {counted(len(missing), 'file')} that cannot be found: {', '.join(missing)}"
        return finding("problem", message, *seen, remedy="correct the path", command=command)
    if not paths:
        return finding("ok", "Nothing is preloaded", *seen)
    return finding("ok", f"{counted(len(paths), 'preloaded library', 'preloaded libraries')} found", *seen)


def check_compile_cache(facts: Facts) -> Finding:
    """Whether instances of unlike sizes would share what torch.compile has made for one size."""
    variables = facts.variables
    seen = _seen(variables, [CACHE])
    if CACHE not in variables:
        return finding("ok", "torch.compile keeps its results in /tmp, one folder per user", *seen)
    message = "All workers share one cache of torch.compile, whose kernels are made for one count of threads"
    remedy = "give every size of instance a folder of its own"
    command = f"ipexlaunch --env {CACHE}={variables[CACHE].rstrip('/')}/{{threads}} ..."
    return finding("note", message, *seen, remedy=remedy, command=command)


def check_instruction_caps(facts: Facts) -> Finding:
    """Whether libraries are told to use less than the processor has."""
    variables = facts.variables
    bad = [name for name in INSTRUCTION_CAPS if variables.get(name, "ALL").strip().upper() not in ("ALL", "")]
    if not bad:
        return finding("ok", "No library is held to older instruction sets", *_seen(variables, INSTRUCTION_CAPS))
    message = f"{' and '.join(bad)} chooses the instruction sets that libraries may use"
    return _to_unset("warning", message, variables, bad, "unset them")


def _to_unset(severity: Severity, message: str, variables: Variables, bad: Sequence[str], remedy: str) -> Finding:
    return finding(severity, message, *_seen(variables, bad), remedy=remedy, command=f"unset {' '.join(bad)}")


def _seen(variables: Variables, names: Iterable[str]) -> list[Evidence]:
    return [Evidence(f"environment {name}", variables.get(name, "not set")) for name in names]


def check_allocator(facts: Facts) -> Finding:
    """Whether an allocator that scales over threads can be preloaded."""
    every = [library for library in require(facts.libraries) if library.family in ALLOCATORS]
    found, broken = [each for each in every if not each.why], [each for each in every if each.why]
    packages = facts.interpreter.packages if isinstance(facts.interpreter, Interpreter) else ()
    conflicts = [conflict for each in found if (conflict := preload_conflict(each.family, packages)) is not None]
    if conflicts:
        why = f"{conflicts[0].package} is installed, and {conflicts[0].source}"
        message = f"No allocator is preloaded by default: {why}"
        return finding("note", message, *_found(found), remedy="nothing to do; to have one all the same, name it")
    if found:
        names = " and ".join(sorted({library.family for library in found}))
        return finding("ok", f"{names} can be preloaded", *_found(found), *_found(broken))
    if broken:
        message = f"{' and '.join(each.family for each in broken)} is there, but no program starts with it preloaded"
        return finding("warning", message, *_found(broken), remedy="install one that was built for this machine")
    return finding(
        "warning",
        "Neither tcmalloc nor jemalloc is installed: the C library hands large buffers back to the kernel each time",
        Evidence("library search", "no libtcmalloc*.so*, no libjemalloc.so*"),
        remedy="install one of them (Debian, Ubuntu; in conda: conda install -c conda-forge gperftools)",
        command="sudo apt-get install -y libtcmalloc-minimal4 libjemalloc2",
    )


def check_openmp_runtime(facts: Facts) -> Finding:
    """Whether Intel's OpenMP runtime can be preloaded, the one whose threads can be pinned without loss."""
    found = [library for library in require(facts.libraries) if library.family == "iomp5"]
    if found and found[0].why:
        message = "libiomp5 is there, but no program starts with it preloaded"
        return finding("warning", message, *_found(found), remedy="install one that was built for this machine")
    if found:
        return finding("ok", "libiomp5 can be preloaded", *_found(found))
    others = [library for library in require(facts.libraries) if library.kind == "openmp"]
    return finding(
        "note",
        "libiomp5 is not installed: workers keep the OpenMP runtime that their packages bring",
        *(_found(others) or [Evidence("library search", "no libiomp5.so*")]),
        remedy="on x86, install it into the workers' environment",
        command=f"{require(facts.interpreter).path} -m pip install intel-openmp",
    )


def check_openmp_runtimes_together(facts: Facts) -> Sequence[Finding]:
    """Whether a worker can load, or a running one has loaded, two OpenMP runtimes."""
    return [_bundled_runtimes(require(facts.libraries)), *(_loaded_runtimes(process) for process in facts.processes)]


def _bundled_runtimes(libraries: Sequence[Library]) -> Finding:
    bundled = [library for library in libraries if library.kind == "openmp" and library.package]
    packages = sorted({library.package for library in bundled})
    if len(packages) < 2:
        searched = Evidence("packages' own libraries", "no libgomp, libiomp5 or libomp")
        return finding("ok", "No two packages bring an OpenMP runtime of their own", *(_found(bundled) or [searched]))
    return finding(
        "note",
        f"{', '.join(packages)} each bring an OpenMP runtime: a worker that uses all of them has several pools",
        *_found(bundled),
        remedy="preload one (ipexlaunch does if libiomp5 is there), or keep the others at one thread",
    )


def _loaded_runtimes(process: LoadedRuntimes | Unavailable) -> Finding:
    if isinstance(process, Unavailable):
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
    loaded = f"Process {process.pid} has loaded {len(process.paths)} OpenMP runtimes"
    working = process.with_threads
    if working is not None and len(working) < 2:
        told = Evidence(f"/proc/{process.pid}/task", f"threads of {working[0]}" if working else "no threads of either")
        return finding("ok", f"{loaded}, with threads of one at most", *seen, told)
    remedy = "preload libiomp5, which answers for all of them"
    if working is None:
        return finding("note", f"{loaded}; nothing tells whose threads run", *seen, remedy=remedy)
    message = f"Process {process.pid} has threads of {len(working)} OpenMP runtimes, a pool for each"
    return finding("problem", message, *seen, remedy=remedy, command="ipexlaunch --omp-runtime intel ...")


def check_torch(facts: Facts) -> Sequence[Finding]:
    """Which torch the workers would import, and whether what is beside it fits."""
    interpreter = require(facts.interpreter)
    python = Evidence(interpreter.path, f"Python {interpreter.version}" if interpreter.version else "version not found")
    packages = ("torch", "intel-extension-for-pytorch", "torchao")
    torch, ipex, ao = (interpreter.packages.get(name) for name in packages)
    if torch is None:
        message = "The workers' Python has no torch; programs without it run all the same"
        command = "ipexlaunch doctor --python /path/to/env/bin/python"
        remedy = "name the environment that has it, or install it"
        return [finding("note", message, python, remedy=remedy, command=command)]
    found = [finding("ok", f"torch {torch.value} in the workers' Python", python, torch)]
    if ipex is not None and _minor(ipex.value) != _minor(torch.value):
        message = f"IPEX {ipex.value} does not fit torch {torch.value}: importing it ends the worker with code 127"
        remedy = "keep both at the same minor release, or remove IPEX (archived in March 2026)"
        command = f"{interpreter.path} -m pip uninstall -y intel-extension-for-pytorch"
        found.append(finding("problem", message, torch, ipex, remedy=remedy, command=command))
    if ao is not None and (_minor(torch.value) < VNNI_TORCH or _minor(ao.value) < VNNI_TORCHAO):
        message = f"torchao {ao.value} with torch {torch.value} takes the slow path for int8"
        remedy = "use torch 2.12 or later with torchao 0.18 or later"
        found.append(finding("note", message, torch, ao, remedy=remedy))
    return found


def _minor(version: str) -> tuple[int, ...]:
    """ "2.8.0+cpu" as (2, 8)."""
    parts = version.split("+")[0].split(".")[:2]
    return tuple(int(part) if part.isdecimal() else 0 for part in parts)


def _found(libraries: Sequence[Library]) -> list[Evidence]:
    return [Evidence(library.path, library.why or library.package or library.family) for library in libraries]
