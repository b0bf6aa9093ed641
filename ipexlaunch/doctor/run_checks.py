"""Every check in the order of the report, and the one function that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ipexlaunch.doctor import (
    check_environment,
    check_frequency,
    check_instruction_sets,
    check_job,
    check_limits,
    check_memory,
    check_nodes,
    check_processors,
    check_start,
)
from ipexlaunch.doctor.finding import Finding
from ipexlaunch.doctor.host_facts import Facts
from ipexlaunch.doctor.host_files_read import Undecidable


@dataclass(frozen=True, slots=True)
class Check:
    """One question that the doctor asks."""

    name: str
    about: str
    """What cannot be told where the check's facts cannot be read; follows "Cannot tell "."""
    judge: Callable[[Facts], Finding | Sequence[Finding]]


CHECKS = (
    Check("smt", "whether SMT is on", check_processors.check_smt),
    Check("offline-cpus", "whether cpus are offline", check_processors.check_offline_cpus),
    Check("isolated-cpus", "whether cpus are isolated", check_processors.check_isolated_cpus),
    Check("allowed-cpus", "which cpus may be used", check_processors.check_allowed_cpus),
    Check("allowed-memory", "which memory may be used", check_processors.check_allowed_memory),
    Check("job-hosts", "whether all hosts of a job work", check_job.check_job_hosts),
    Check("slurm-cpus", "whether Slurm gave all cpus", check_job.check_slurm_cpus),
    Check("cpu-quota", "whether a quota stops the workers", check_limits.check_cpu_quota),
    Check("memory-limit", "how much memory the workers may use", check_limits.check_memory_limit),
    Check("other-load", "whether other programs are running", check_limits.check_other_load),
    Check("stolen-time", "whether the hypervisor takes time away", check_limits.check_stolen_time),
    Check("governor", "which governor sets the frequency", check_frequency.check_governor),
    Check("energy-preference", "whether the processor saves power", check_frequency.check_energy_preference),
    Check("turbo", "whether turbo is allowed", check_frequency.check_boost),
    Check("frequency-limit", "whether the frequency is limited", check_frequency.check_frequency_limit),
    Check("clock-source", "whether reading the clock is cheap", check_frequency.check_clock_source),
    Check("huge-pages-on-demand", "whether workers get huge pages", check_memory.check_huge_pages_on_demand),
    Check("huge-page-defrag", "whether page faults stall for huge pages", check_memory.check_huge_page_defrag),
    Check("reserved-huge-pages", "whether memory is reserved as huge pages", check_memory.check_reserved_huge_pages),
    Check("numa-balancing", "whether the kernel moves pages", check_memory.check_numa_balancing),
    Check("zone-reclaim", "whether full nodes reclaim first", check_memory.check_zone_reclaim),
    Check("swap", "whether memory is swapped out", check_memory.check_swap),
    Check("shared-memory", "how large /dev/shm is", check_memory.check_shared_memory),
    Check("node-cores", "whether nodes have equal cores", check_nodes.check_node_cores),
    Check("memoryless-nodes", "whether nodes lack memory", check_nodes.check_memoryless_nodes),
    Check("node-memory-size", "whether nodes have equal memory", check_nodes.check_node_memory_size),
    Check("node-memory-free", "how much memory each node has left", check_nodes.check_node_memory_free),
    Check("numa-package", "what the numa package says", check_nodes.check_numa_package),
    Check("memory-policy", "whether memory can be bound", check_memory.check_memory_policy_allowed),
    Check("inherited-policy", "which memory policy is inherited", check_memory.check_inherited_memory_policy),
    Check("thread-pinning", "whether OpenMP pins threads", check_environment.check_thread_pinning),
    Check("thread-counts", "whether a count of threads is set", check_environment.check_thread_counts),
    Check("spinning-threads", "whether idle threads spin", check_environment.check_spinning_threads),
    Check("mpi-pinning", "whether an MPI pins ranks", check_environment.check_mpi_pinning),
    Check("slurm-binding", "whether Slurm binds this step", check_environment.check_slurm_binding),
    Check("preload", "what is preloaded", check_environment.check_preload),
    Check("compile-cache", "who shares the compile cache", check_environment.check_compile_cache),
    Check("instruction-caps", "whether instruction sets are capped", check_environment.check_instruction_caps),
    Check("priority", "which priority workers get", check_limits.check_priority),
    Check("oom-score", "who is killed first", check_limits.check_oom_score),
    Check("open-files", "how many files may be open", check_limits.check_open_files),
    Check("processes", "how many threads there may be", check_limits.check_processes),
    Check("stack", "how large stacks are", check_limits.check_stack),
    Check("locked-memory", "how much memory may be locked", check_limits.check_locked_memory),
    Check("address-space", "whether virtual memory is limited", check_limits.check_address_space),
    Check("allocator", "which allocators are installed", check_environment.check_allocator),
    Check("openmp-runtime", "which OpenMP runtimes are installed", check_environment.check_openmp_runtime),
    Check("openmp-runtimes", "whether two OpenMP runtimes meet", check_environment.check_openmp_runtimes_together),
    Check("torch", "which torch the workers import", check_environment.check_torch),
    Check("instruction-sets", "which instruction sets there are", check_instruction_sets.check_instruction_sets),
    Check("amx", "whether AMX can be used", check_instruction_sets.check_amx),
    Check("dtypes", "which data types are fast", check_instruction_sets.check_dtypes),
    Check("worker-start", "what workers start beside themselves", check_start.check_worker_start),
    Check("page-cache", "where the model's files are cached", check_memory.check_page_cache),
)
"""Names are unique, and are what `ipexlaunch doctor --format json` and docs/tuning.md call them."""

_MODULES = (
    check_processors,
    check_job,
    check_limits,
    check_frequency,
    check_memory,
    check_nodes,
    check_instruction_sets,
)
PATHS = tuple(sorted({path for module in _MODULES for path in module.PATHS}))
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
        except Undecidable as error:
            answers = Finding(
                severity="unknown", message=f"Cannot tell {check.about}: {error.problem}", evidence=error.evidence
            )
        for answer in [answers] if isinstance(answers, Finding) else answers:
            found.append(replace(answer, check=check.name))
    return tuple(found)
