"""What a rate depends on beside the plan: kernel, microcode, SMT, huge pages, governor, limits, packages, variables.

Sources: proc(5); Documentation/admin-guide/cputopology.rst, mm/transhuge.rst and pm/cpufreq.rst of the Linux kernel.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from typing import Any

from ipexlaunch import __version__
from ipexlaunch.doctor.host_facts import Interpreter, MemoryLimit
from ipexlaunch.doctor.host_files_read import HostFiles
from ipexlaunch.doctor.read import read_host_files, read_interpreter, read_own_memory_limit
from ipexlaunch.documents.secret_values import is_secret_name, mask_variables, masked
from ipexlaunch.launch.preload_libraries import interpreter_prefixes
from ipexlaunch.machine.topology import Topology

SCHEMA = "ipexlaunch/environment/1"

CPUINFO = "/proc/cpuinfo"
GOVERNORS = "/sys/devices/system/cpu/cpufreq/policy*/scaling_governor"
FILES = {
    "smt": "/sys/devices/system/cpu/smt/active",
    "transparent_huge_pages": "/sys/kernel/mm/transparent_hugepage/enabled",
    "numa_balancing": "/proc/sys/kernel/numa_balancing",
    "boost": "/sys/devices/system/cpu/cpufreq/boost",
    "no_turbo": "/sys/devices/system/cpu/intel_pstate/no_turbo",
    "kernel_command_line": "/proc/cmdline",
}
"""Key to the file whose text is kept as it stands."""

VARIABLES = re.compile(
    r"(OMP|KMP|GOMP|MKL|DNNL|ONEDNN|TORCH|TORCHINDUCTOR|IPEX|IPEXLAUNCH|TBB|OPENBLAS|MALLOC|TCMALLOC|HF|TOKENIZERS|"
    r"TRANSFORMERS)_\w*|LD_PRELOAD|LD_LIBRARY_PATH|PYTHONPATH|CUDA_VISIBLE_DEVICES|(ATEN|THP)_\w+"
)
"""Names of variables that change what a worker does; others are not kept."""


def read_host(topology: Topology, python: str | None, variables: Mapping[str, str], root: str = "/") -> dict[str, Any]:
    """The environment of a run as its document, without what only running workers can tell.

    Args:
        topology: the machine.
        python: the workers' interpreter; its folders are read, it is not started. None where they have none.
        variables: the launcher's.
        root: "/" or the folder of a saved tree.
    """
    files = read_host_files(root, [CPUINFO, GOVERNORS, *FILES.values()])
    limit = _memory_limit(root)
    return {
        "schema": SCHEMA,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "ipexlaunch": __version__,
        "launcher_python": sys.version.split()[0],
        "kernel": os.uname().release,
        "kernel_build": os.uname().version,
        "machine": os.uname().machine,
        "cpu_model": topology.cpu_model,
        "microcode": _field(files, "microcode"),
        **{key: masked(_text(files, path)) for key, path in FILES.items()},
        "governors": _governors(files),
        "cpu_quota": topology.cpu_quota,
        "cpu_limits": [{"file": item.file, "quota": item.quota} for item in topology.limits if item.quota is not None],
        "memory_limit_bytes": limit.limit_bytes if limit else None,
        "python": None if python is None else interpreter_row(python),
        "variables": kept_variables(variables),
    }


def kept_variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Those that change what a worker does, by name, but for secrets.

    Args:
        variables: all of them.
    """
    names = [name for name in sorted(variables) if VARIABLES.fullmatch(name) and not is_secret_name(name)]
    return mask_variables({name: variables[name] for name in names})


def _text(files: HostFiles, path: str) -> str | None:
    text = files.read(path).text
    return None if text is None else text.strip()


def _field(files: HostFiles, name: str) -> str | None:
    """A field of the first processor."""
    match = re.search(rf"^{name}\s*:\s*(.*)$", files.read(CPUINFO).text or "", re.MULTILINE)
    return match[1] if match else None


def _governors(files: HostFiles) -> dict[str, int]:
    """Governor to the number of frequency policies that have it."""
    counts: dict[str, int] = {}
    for reading in files.matching(GOVERNORS):
        name = (reading.text or "").strip()
        counts[name] = counts.get(name, 0) + 1
    return counts


def _memory_limit(root: str) -> MemoryLimit | None:
    found = read_own_memory_limit(root)  # the doctor says what is wrong with it; here it is only noted down
    return found if isinstance(found, MemoryLimit) else None


def interpreter_row(python: str) -> dict[str, Any]:
    """The version of an interpreter and its packages', from its folders.

    Args:
        python: its path, or a name that is looked up as a shell would.
    """
    path = shutil.which(python) or python
    found = read_interpreter(path, interpreter_prefixes(path))
    if not isinstance(found, Interpreter):
        return {"path": path, "version": None, "packages": {}}
    packages = {name: seen.value for name, seen in sorted(found.packages.items())}
    return {"path": path, "version": found.version or None, "packages": packages}
