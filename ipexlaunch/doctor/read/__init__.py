"""Reads what the doctor judges: files under one root, the interpreter's packages, the page cache.

Nothing on the machine is changed by it. The judgements are in `ipexlaunch.doctor`, as pure functions.
"""

from ipexlaunch.doctor.read.cached_pages import read_cached_file
from ipexlaunch.doctor.read.cgroup_limits import read_memory_limit, read_own_memory_limit, read_throttling
from ipexlaunch.doctor.read.host_files import is_live, read_environment, read_host_files
from ipexlaunch.doctor.read.inherited_policy import NUMA_MAPS, read_inherited_policy
from ipexlaunch.doctor.read.interpreter_files import read_bundled_openmp, read_interpreter
from ipexlaunch.doctor.read.loaded_libraries import read_loaded_runtimes
from ipexlaunch.doctor.read.numa_package import read_numa_package
from ipexlaunch.doctor.read.preload_files import find_preloaded
from ipexlaunch.doctor.read.shared_memory import read_shared_memory
from ipexlaunch.doctor.read.system_calls import ask_for_amx

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
