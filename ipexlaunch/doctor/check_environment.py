"""Variables that undo a placement, cap a worker, or let workers get in each other's way.

Sources: OpenMP API specification 5.2, chapter 21 (OMP_*); libgomp's manual, "Environment Variables" (OMP_PROC_BIND is
true where OMP_PLACES or GOMP_CPU_AFFINITY is set); Intel's OpenMP documentation (KMP_AFFINITY and its reset modifier);
Intel MPI reference (I_MPI_PIN); man srun (SLURM_CPU_BIND, SLURM_MEM_BIND); ld.so(8) (LD_PRELOAD).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.openmp_affinity import PINNING, collapsing, names_cpus
from ipexlaunch.doctor.preloads import preloaded_in
from ipexlaunch.doctor.quantity import counted
from ipexlaunch.doctor.thread_pools import COUNTS, LIMITS

SPINNING = ("KMP_BLOCKTIME", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
INSTRUCTION_CAPS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")
CACHE = "TORCHINDUCTOR_CACHE_DIR"

LONG_SPIN_MS = 200
"""KMP_BLOCKTIME's default; spinning that long steals from a neighbour only where cpus are shared."""

OPENMP_FAMILIES = ("libgomp", "libiomp5", "libomp")


def check_thread_pinning(facts: Facts) -> Finding:
    """Whether OpenMP is told to pin threads: it pins the main thread too, whose children then share one cpu."""
    variables = facts.variables
    bad = collapsing(variables)
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
    return finding("problem", message, *_seen(variables, bad), remedy=remedy, command=f"unset {' '.join(bad)}")


def check_thread_counts(facts: Facts) -> Finding:
    """Whether a count of threads was set for something else than an instance."""
    variables = facts.variables
    present = [name for name in (*COUNTS, *LIMITS) if name in variables]
    if not present:
        return finding("ok", "No count of threads is set", *_seen(variables, ["OMP_NUM_THREADS"]))
    message = (
        f"{' and '.join(present)} {'is' if len(present) == 1 else 'are'} set; "
        "each worker gets the count of its own cores instead"
    )
    remedy = "nothing to do; to keep it for every worker, say so"
    command = f"ipexlaunch {' '.join(f'--env {name}={variables[name]}' for name in present)} ..."
    return finding("note", message, *_seen(variables, present), remedy=remedy, command=command)


def check_spinning_threads(facts: Facts) -> Finding:
    """Whether idle threads of a worker spin for long."""
    variables = facts.variables
    blocktime = variables.get("KMP_BLOCKTIME", "").strip().lower().removesuffix("ms")
    long = blocktime == "infinite" or (blocktime.isdecimal() and int(blocktime) >= LONG_SPIN_MS)
    bad = ["KMP_BLOCKTIME"] if long else []
    bad += ["OMP_WAIT_POLICY"] if variables.get("OMP_WAIT_POLICY", "").strip().lower() == "active" else []
    bad += ["GOMP_SPINCOUNT"] if variables.get("GOMP_SPINCOUNT", "").strip().lower() in ("infinite", "infinity") else []
    if not bad:
        return finding("ok", "No variable makes idle threads spin for long", *_seen(variables, SPINNING))
    message = f"{' and '.join(bad)} makes idle threads spin: harmless alone on a core, costly on a shared one"
    remedy = "leave it unset (workers with libiomp5 get KMP_BLOCKTIME=1)"
    return finding("note", message, *_seen(variables, bad), remedy=remedy, command=f"unset {' '.join(bad)}")


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
    return finding("ok", f"{counted(len(paths), 'preloaded library').replace('librarys', 'libraries')} found", *seen)


def openmp_family(path: str) -> str:
    """ "libgomp", "libiomp5" or "libomp", also under a wheel's mangled name (libgomp-a34b3233.so.1); else empty."""
    name = path.rpartition("/")[2].partition(".so")[0].partition("-")[0]
    return name if name in OPENMP_FAMILIES else ""


def check_compile_cache(facts: Facts) -> Finding:
    """Whether instances of unlike sizes would share what torch.compile has made for one size."""
    variables = facts.variables
    if CACHE not in variables:
        message = "torch.compile keeps its results in /tmp, one folder per user"
        return finding("ok", message, *_seen(variables, [CACHE]))
    return finding(
        "note",
        "All workers share one cache of torch.compile, whose kernels are made for one count of threads",
        *_seen(variables, [CACHE]),
        remedy="give every size of instance a folder of its own",
        command=f"ipexlaunch --env {CACHE}={variables[CACHE].rstrip('/')}/{{threads}} ...",
    )


def check_instruction_caps(facts: Facts) -> Finding:
    """Whether libraries are told to use less than the processor has."""
    variables = facts.variables
    bad = [name for name in INSTRUCTION_CAPS if variables.get(name, "ALL").strip().upper() not in ("ALL", "")]
    if not bad:
        return finding("ok", "No library is held to older instruction sets", *_seen(variables, INSTRUCTION_CAPS))
    message = f"{' and '.join(bad)} chooses the instruction sets that libraries may use"
    return finding("warning", message, *_seen(variables, bad), remedy="unset them", command=f"unset {' '.join(bad)}")


def _seen(variables: Mapping[str, str], names: Iterable[str]) -> list[Evidence]:
    return [Evidence(f"environment {name}", variables.get(name, "not set")) for name in names]
