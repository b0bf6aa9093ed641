"""One small machine that has everything the probe reads, as files."""

from __future__ import annotations

from ipexlaunch.machine.topology import Accelerator, Cpu, Limit, Node, Topology
from tests.sysfs_writer import Files, sysfs_files

CPUS = tuple(
    Cpu(
        id=cpu,
        core=cpu // 2 * 2,
        socket=cpu // 8,
        node=cpu // 4,
        l2=cpu // 2 * 2,
        l3=cpu // 8 * 8,
        kind="efficiency" if cpu % 8 > 5 else "performance",
        die=cpu // 8 * 8,
        cluster=cpu // 4 * 4,
    )
    for cpu in range(16)
    if cpu != 11
)
NODES = tuple(
    Node(
        id=node,
        memory_bytes=(64 << 30) if node != 2 else 0,
        distances={other: 10 if other == node else 12 + abs(other - node) for other in range(5)},
        huge_pages={2 << 20: 128, 1 << 30: 0},
        initiators=frozenset({min(node, 3)}),
        read_bandwidth_mb_s=120_000,
        read_latency_ns=95,
    )
    for node in range(5)
)
GROUP = "sys/fs/cgroup/kubepods/pod1"
RICH = Topology(
    cpus=CPUS,
    nodes=NODES,
    allowed_cpus=frozenset({2, 3, 4, 5}),
    allowed_nodes=frozenset({0, 1}),
    cpu_quota=2.5,
    isa=frozenset({"avx2", "amx_tile", "avx512_bf16"}),
    source="sysfs:made",
    cpu_model="Some Cpu 1.0",
    present_cpus=frozenset(range(16)),
    possible_cpus=frozenset(range(32)),
    offline_cpus=frozenset({11}),
    isolated_cpus=frozenset({5}),
    smt="on",
    accelerators=(
        Accelerator(address="0000:3a:00.0", vendor="intel", device="0x0bd5", node=1),
        Accelerator(address="0000:3b:00.0", vendor="0x1da3", device="0x1020"),
    ),
    limits=(
        Limit(kind="affinity", file="proc/self/status", cpus=frozenset(range(6)), nodes=frozenset(range(4))),
        Limit(
            kind="cpuset",
            file=f"{GROUP}/cpuset.cpus.effective",
            cpus=frozenset(range(2, 12)),
            nodes=frozenset({0, 1, 2}),
        ),
        Limit(kind="quota", file=f"{GROUP}/cpu.max", quota=2.5),
    ),
)

LISTS_OF_OLD_NAMES = ("_list", "package_cpus", "core_cpus", "die_cpus", "cluster_cpus", "cpumap")
"""Ends of the names that a tree can do without, because another file says the same."""


def rich_files() -> Files:
    """Every file, each fact under all its names."""
    return sysfs_files(RICH)


def sparse_files() -> Files:
    """Each fact under one name only, so that no other file can stand in for a broken one."""
    files = rich_files()
    twice = ("_list", "thread_siblings", "core_siblings", "cpumap", "/offline")
    return {path: content for path, content in files.items() if not path.endswith(twice)}
