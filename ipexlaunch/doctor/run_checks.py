"""Every check in the order of the report, and the one function that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipexlaunch.findings import (
    environment,
    frequency,
    instruction_sets,
    libraries,
    load,
    memory,
    memory_policy,
    nodes,
    page_cache,
    process,
    processors,
)
from ipexlaunch.findings.facts import Facts
from ipexlaunch.findings.finding import Finding
from ipexlaunch.findings.reading import CannotTell


@dataclass(frozen=True, slots=True)
class Check:
    """One question that the doctor asks."""

    name: str
    about: str
    """What cannot be told where the check's facts cannot be read; follows "Cannot tell "."""
    judge: Callable[[Facts], Finding | Sequence[Finding]]


CHECKS = (
    Check("smt", "whether SMT is on", processors.check_smt),
    Check("offline-cpus", "whether cpus are offline", processors.check_offline_cpus),
    Check("isolated-cpus", "whether cpus are isolated", processors.check_isolated_cpus),
    Check("allowed-cpus", "which cpus may be used", processors.check_allowed_cpus),
    Check("allowed-memory", "which memory may be used", processors.check_allowed_memory),
    Check("slurm-cpus", "whether Slurm gave all cpus", processors.check_slurm_cpus),
    Check("cpu-quota", "whether a quota stops the workers", load.check_cpu_quota),
    Check("memory-limit", "how much memory the workers may use", load.check_memory_limit),
    Check("other-load", "whether other programs are running", load.check_other_load),
    Check("stolen-time", "whether the hypervisor takes time away", load.check_stolen_time),
    Check("governor", "which governor sets the frequency", frequency.check_governor),
    Check("energy-preference", "whether the processor saves power", frequency.check_energy_preference),
    Check("turbo", "whether turbo is allowed", frequency.check_boost),
    Check("frequency-limit", "whether the frequency is limited", frequency.check_frequency_limit),
    Check("clock-source", "whether reading the clock is cheap", frequency.check_clock_source),
    Check("huge-pages-on-demand", "whether workers get huge pages", memory.check_huge_pages_on_demand),
    Check("huge-page-defrag", "whether page faults stall for huge pages", memory.check_huge_page_defrag),
    Check("reserved-huge-pages", "whether memory is reserved as huge pages", memory.check_reserved_huge_pages),
    Check("numa-balancing", "whether the kernel moves pages", memory.check_numa_balancing),
    Check("zone-reclaim", "whether full nodes reclaim first", memory.check_zone_reclaim),
    Check("swap", "whether memory is swapped out", memory.check_swap),
    Check("shared-memory", "how large /dev/shm is", memory.check_shared_memory),
    Check("node-cores", "whether nodes have equal cores", nodes.check_node_cores),
    Check("memoryless-nodes", "whether nodes lack memory", nodes.check_memoryless_nodes),
    Check("node-memory-size", "whether nodes have equal memory", nodes.check_node_memory_size),
    Check("node-memory-free", "how much memory each node has left", nodes.check_node_memory_free),
    Check("numa-package", "what the numa package says", nodes.check_numa_package),
    Check("memory-policy", "whether memory can be bound", memory_policy.check_memory_policy_allowed),
    Check("inherited-policy", "which memory policy is inherited", memory_policy.check_inherited_memory_policy),
    Check("thread-pinning", "whether OpenMP pins threads", environment.check_thread_pinning),
    Check("thread-counts", "whether a count of threads is set", environment.check_thread_counts),
    Check("spinning-threads", "whether idle threads spin", environment.check_spinning_threads),
    Check("mpi-pinning", "whether an MPI pins ranks", environment.check_mpi_pinning),
    Check("slurm-binding", "whether Slurm binds this step", environment.check_slurm_binding),
    Check("preload", "what is preloaded", environment.check_preload),
    Check("compile-cache", "who shares the compile cache", environment.check_compile_cache),
    Check("instruction-caps", "whether instruction sets are capped", environment.check_instruction_caps),
    Check("priority", "which priority workers get", process.check_priority),
    Check("oom-score", "who is killed first", process.check_oom_score),
    Check("open-files", "how many files may be open", process.check_open_files),
    Check("processes", "how many threads there may be", process.check_processes),
    Check("stack", "how large stacks are", process.check_stack),
    Check("locked-memory", "how much memory may be locked", process.check_locked_memory),
    Check("address-space", "whether virtual memory is limited", process.check_address_space),
    Check("allocator", "which allocators are installed", libraries.check_allocator),
    Check("openmp-runtime", "which OpenMP runtimes are installed", libraries.check_openmp_runtime),
    Check("openmp-runtimes", "whether two OpenMP runtimes meet", libraries.check_openmp_runtimes_together),
    Check("torch", "which torch the workers import", libraries.check_torch),
    Check("instruction-sets", "which instruction sets there are", instruction_sets.check_instruction_sets),
    Check("amx", "whether AMX can be used", instruction_sets.check_amx),
    Check("dtypes", "which data types are fast", instruction_sets.check_dtypes),
    Check("page-cache", "where the model's files are cached", page_cache.check_page_cache),
)
"""Names are unique, and are what `ipexlaunch doctor --format json` and docs/doctor.md call them."""

PATHS = tuple(
    sorted(
        {
            path
            for module in (processors, load, frequency, memory, nodes, memory_policy, process, instruction_sets)
            for path in module.PATHS
        }
    )
)
"""Every file that the checks read, with `*` for one part of a name."""


def examine(facts: Facts) -> tuple[Finding, ...]:
    """The answer of every check, in the order of CHECKS; what cannot be told is "unknown", never left out.

    Args:
        facts: the host.
    """
    found: list[Finding] = []
    for check in CHECKS:
        try:
            answers = check.judge(facts)
        except CannotTell as error:
            answers = Finding(
                severity="unknown", message=f"Cannot tell {check.about}: {error.problem}", evidence=error.evidence
            )
        for answer in [answers] if isinstance(answers, Finding) else answers:
            found.append(replace(answer, check=check.name))
    return tuple(found)
