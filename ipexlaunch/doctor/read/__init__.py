"""Reads what the doctor judges: files under one root, the interpreter's packages, the page cache.

Nothing on the machine is changed by it. The judgements are in `ipexlaunch.doctor`, as pure functions.
"""

from ipexlaunch.doctor.read.host_files import (
    NUMA_MAPS,
    is_live,
    read_environment,
    read_host_files,
    read_inherited_policy,
    read_memory_limit,
    read_own_memory_limit,
    read_shared_memory,
    read_throttling,
)
from ipexlaunch.doctor.read.libraries import (
    find_preloaded,
    read_bundled_openmp,
    read_interpreter,
    read_loaded_runtimes,
    read_numa_package,
)
from ipexlaunch.doctor.read.system_calls import ask_for_amx, read_cached_file

__all__ = [
    "NUMA_MAPS",
    "ask_for_amx",
    "find_preloaded",
    "is_live",
    "read_bundled_openmp",
    "read_cached_file",
    "read_environment",
    "read_host_files",
    "read_inherited_policy",
    "read_interpreter",
    "read_loaded_runtimes",
    "read_memory_limit",
    "read_numa_package",
    "read_own_memory_limit",
    "read_shared_memory",
    "read_throttling",
]
