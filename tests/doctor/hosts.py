"""A host on which every check is content, and ways to change one thing about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from ipexlaunch.doctor.finding import Evidence, Finding
from ipexlaunch.doctor.host_facts import CachedFile, Facts, FileSystemSize, Interpreter, Library, MemoryPolicy
from ipexlaunch.doctor.host_files_read import FileText, HostFiles
from ipexlaunch.doctor.run_checks import PATHS, examine
from ipexlaunch.machine.topology import Cpu, Node, Topology

CPUFREQ = "/sys/devices/system/cpu/cpufreq"
GIB = 1 << 30

NODE_MEMINFO = """\
Node {node} MemTotal:       67108864 kB
Node {node} MemFree:        52428800 kB
Node {node} MemUsed:        14680064 kB
Node {node} Active(file):    4194304 kB
Node {node} Inactive(file):  4194304 kB
Node {node} SReclaimable:    1048576 kB
"""

STATUS = """\
Name:\tpython3
Seccomp:\t0
Cpus_allowed_list:\t0-7
Mems_allowed_list:\t0-1
"""

LIMITS = """\
Limit                     Soft Limit           Hard Limit           Units
Max stack size            8388608              unlimited            bytes
Max processes             513000               513000               processes
Max open files            65536                65536                files
Max locked memory         unlimited            unlimited            bytes
Max address space         unlimited            unlimited            bytes
"""

AMX_FLAGS = "fpu avx2 fma avx512f avx512_vnni avx512_bf16 avx512_fp16 amx_bf16 amx_tile amx_int8"

CPUINFO = """\
processor\t: 0
vendor_id\t: {vendor}
cpu family\t: {family}
model\t\t: {model}
model name\t: A processor
flags\t\t: {flags}

processor\t: 1
"""


def cpuinfo(flags: str, vendor: str = "GenuineIntel", family: int = 6, model: int = 143) -> str:
    return CPUINFO.format(flags=flags, vendor=vendor, family=family, model=model)


def stat_line(nice: int = 0, policy: int = 0) -> str:
    """proc(5), /proc/PID/stat: field 19 is nice, field 41 the scheduling policy; the name may hold anything."""
    fields = {1: "1234", 2: "(py (3) x)", 3: "R", 19: str(nice), 41: str(policy)}
    return " ".join(fields.get(place, "9") for place in range(1, 53)) + "\n"


HEALTHY: Mapping[str, str] = {
    "/proc/sys/kernel/hostname": "h1\n",
    "/sys/devices/system/cpu/smt/active": "0\n",
    "/sys/devices/system/cpu/smt/control": "off\n",
    "/sys/devices/system/cpu/present": "0-7\n",
    "/sys/devices/system/cpu/online": "0-7\n",
    "/sys/devices/system/cpu/offline": "\n",
    "/sys/devices/system/cpu/isolated": "\n",
    "/proc/self/status": STATUS,
    "/proc/self/stat": stat_line(),
    "/proc/self/oom_score_adj": "0\n",
    "/proc/self/cgroup": "0::/\n",
    "/proc/self/limits": LIMITS,
    "/proc/loadavg": "0.10 0.20 0.30 1/100 1234\n",
    "/proc/stat": "cpu  1000 0 500 90000 10 0 5 3 0 0\ncpu0 500 0 250 45000 5 0 2 1 0 0\n",
    "/proc/meminfo": "MemTotal: 134217728 kB\nHugePages_Total: 0\nHugePages_Free: 0\nHugepagesize: 2048 kB\n",
    "/proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n",
    "/proc/sys/vm/swappiness": "1\n",
    "/proc/sys/vm/zone_reclaim_mode": "0\n",
    "/proc/sys/kernel/numa_balancing": "0\n",
    "/proc/sys/kernel/osrelease": "6.8.0-45-generic\n",
    "/proc/cpuinfo": cpuinfo(AMX_FLAGS),
    "/sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "/sys/kernel/mm/transparent_hugepage/defrag": "always defer defer+madvise [madvise] never\n",
    "/sys/devices/system/clocksource/clocksource0/current_clocksource": "tsc\n",
    "/sys/devices/system/clocksource/clocksource0/available_clocksource": "tsc hpet acpi_pm \n",
    "/sys/devices/system/cpu/intel_pstate/no_turbo": "0\n",
    **{f"{CPUFREQ}/policy{cpu}/scaling_governor": "performance\n" for cpu in range(8)},
    **{f"{CPUFREQ}/policy{cpu}/scaling_driver": "intel_pstate\n" for cpu in range(8)},
    **{f"{CPUFREQ}/policy{cpu}/energy_performance_preference": "performance\n" for cpu in range(8)},
    **{f"{CPUFREQ}/policy{cpu}/scaling_max_freq": "3800000\n" for cpu in range(8)},
    **{f"{CPUFREQ}/policy{cpu}/cpuinfo_max_freq": "3800000\n" for cpu in range(8)},
    **{f"/sys/devices/system/node/node{node}/meminfo": NODE_MEMINFO.format(node=node) for node in range(2)},
    **{f"/sys/devices/system/node/node{node}/cpulist": f"{4 * node}-{4 * node + 3}\n" for node in range(2)},
}
"""Two sockets of four cores, SMT off."""


def machine(**changes: Any) -> Topology:
    cpus = tuple(Cpu(id=cpu, core=cpu, socket=cpu // 4, node=cpu // 4) for cpu in range(8))
    nodes = tuple(Node(id=node, memory_bytes=64 * GIB) for node in range(2))
    made = Topology(cpus=cpus, nodes=nodes, allowed_cpus=frozenset(range(8)), allowed_nodes=frozenset({0, 1}))
    return replace(made, **changes)


def host_files(changes: Mapping[str, str | None] | None = None, live: bool = True) -> HostFiles:
    """The healthy host's files; a pattern changes every file that it names, None takes it away."""
    texts: dict[str, str] = dict(HEALTHY)
    for path, text in (changes or {}).items():
        for name in [name for name in texts if fnmatchcase(name, path)] if "*" in path else [path]:
            texts.pop(name, None)
            if text is not None:
                texts[name] = text
    return HostFiles({path: FileText(path, text) for path, text in texts.items()}, PATHS, live=live)


def facts(changes: Mapping[str, str | None] | None = None, **other: Any) -> Facts:
    healthy = Facts(
        files=host_files(changes),
        topology=machine(),
        environment={"HOME": "/root", "PATH": "/usr/bin"},
        memory_policy=MemoryPolicy(policy="default", trial="bind to node 0-1 accepted"),
        libraries=(
            Library("allocator", "tcmalloc", "/usr/lib/libtcmalloc_minimal.so.4"),
            Library("openmp", "iomp5", "/env/lib/libiomp5.so"),
            Library("openmp", "gomp", "/env/lib/python3.11/site-packages/torch/lib/libgomp.so.1", "torch"),
        ),
        interpreter=Interpreter(
            path="/env/bin/python", version="3.11", packages={"torch": Evidence("/env/torch.dist-info", "2.13.0+cpu")}
        ),
        shared_memory=FileSystemSize("/dev/shm", 64 * GIB, 63 * GIB),
        numa_package=None,
        memory_limit=None,
        amx_refusal="",
        existing_paths=frozenset(),
        models=(
            CachedFile(path="/m/a", size_bytes=40960, asked_pages=10, cached_pages=10, pages_by_node={0: 5, 1: 5}),
        ),
    )
    return replace(healthy, **other)


def answers(check: str, changes: Mapping[str, str | None] | None = None, **other: Any) -> list[Finding]:
    """What one check says of the healthy host with these changes."""
    found = [finding for finding in examine(facts(changes, **other)) if finding.check == check]
    assert found, f"there is no check {check!r}"
    return found


def answer(check: str, changes: Mapping[str, str | None] | None = None, **other: Any) -> Finding:
    found = answers(check, changes, **other)
    assert len(found) == 1, found
    return found[0]
