"""A Topology as the sysfs and procfs files that a kernel would show of it: what `probe` reads back to the same value.

The inverse of the probe, written from the kernel's documentation (Documentation/ABI, cputopology.rst, cgroups(7)) and
not from the probe, so that the two check each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterable

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Limit, Topology

PERIOD_US = 100_000
DISPLAY_VENDORS = {"intel": "0x8086", "nvidia": "0x10de", "amd": "0x1002"}

Files = dict[str, bytes]
"""Path below the root to content."""


def sysfs_files(topology: Topology) -> Files:
    """Every file of a modern kernel (lists and masks, new names and old) that tells this machine.

    What the Topology restricts without saying by which file is told as the affinity of the process.
    """
    text: dict[str, str] = {}
    _write_cpus(text, topology)
    _write_nodes(text, topology)
    _write_limits(text, topology)
    _write_cpuinfo(text, topology)
    for device in topology.accelerators:
        base = f"sys/bus/pci/devices/{device.address}"
        known = DISPLAY_VENDORS.get(device.vendor)
        text[f"{base}/class"] = "0x038000" if known else "0x120000"
        text[f"{base}/vendor"] = known or device.vendor
        text[f"{base}/device"] = device.device
        text[f"{base}/numa_node"] = str(-1 if device.node is None else device.node)
    return {path: content.encode() + b"\n" for path, content in text.items()}


def write_sysfs(topology: Topology, root: str | os.PathLike[str]) -> None:
    """Write the files under a directory."""
    write_files(sysfs_files(topology), root)


def write_files(files: Files, root: str | os.PathLike[str]) -> None:
    """Write files under a directory."""
    made = set()
    for path, content in files.items():
        full = os.path.join(root, path)
        folder = os.path.dirname(full)
        if folder not in made:
            os.makedirs(folder, exist_ok=True)
            made.add(folder)
        with open(full, "wb") as file:
            file.write(content)


def mask(ids: Iterable[int], words: int = 0) -> str:
    """Ids as the kernel's mask, words of 32 bits from the highest to the lowest."""
    bits = sum(1 << number for number in set(ids))
    words = max(words, (bits.bit_length() + 31) // 32, 1)
    return ",".join(f"{bits >> (32 * word) & 0xFFFFFFFF:08x}" for word in range(words - 1, -1, -1))


def _write_cpus(text: dict[str, str], topology: Topology) -> None:
    base = "sys/devices/system/cpu"
    online = [cpu.id for cpu in topology.cpus]
    everyone = topology.present_cpus or frozenset(online) | topology.offline_cpus
    text[f"{base}/online"] = format_list(online)
    text[f"{base}/offline"] = format_list(topology.offline_cpus)
    text[f"{base}/present"] = format_list(everyone)
    text[f"{base}/possible"] = format_list(topology.possible_cpus or everyone)
    text[f"{base}/isolated"] = format_list(topology.isolated_cpus)
    if topology.smt is not None:
        text[f"{base}/smt/control"] = topology.smt
    for number in topology.offline_cpus:
        text[f"{base}/cpu{number}/online"] = "0"
    groups = {
        "core": _groups(topology, lambda cpu: cpu.core),
        "socket": _groups(topology, lambda cpu: cpu.socket),
        "die": _groups(topology, lambda cpu: cpu.die),
        "cluster": _groups(topology, lambda cpu: cpu.cluster),
        "l2": _groups(topology, lambda cpu: cpu.l2),
        "l3": _groups(topology, lambda cpu: cpu.l3),
    }
    words = (max(everyone) // 32) + 1
    core_numbers: dict[int, dict[int, int]] = {}
    for cpu in topology.cpus:
        here = f"{base}/cpu{cpu.id}"
        if cpu.id:
            text[f"{here}/online"] = "1"
        topo = f"{here}/topology"
        text[f"{topo}/physical_package_id"] = str(cpu.socket)
        numbers = core_numbers.setdefault(cpu.socket, {})
        text[f"{topo}/core_id"] = str(numbers.setdefault(cpu.core, len(numbers)))
        for names, key, value in (
            (("core_cpus", "thread_siblings"), "core", cpu.core),
            (("package_cpus", "core_siblings"), "socket", cpu.socket),
        ):
            for name in names:
                text[f"{topo}/{name}"] = mask(groups[key][value], words)
                text[f"{topo}/{name}_list"] = format_list(groups[key][value])
        for name, lowest, none in (("die", cpu.die, -1), ("cluster", cpu.cluster, 65535)):
            if groups[name].keys() - {None}:
                members = groups[name][lowest] if lowest is not None else [cpu.id]
                text[f"{topo}/{name}_id"] = str(none if lowest is None else lowest)
                text[f"{topo}/{name}_cpus"] = mask(members, words)
                text[f"{topo}/{name}_cpus_list"] = format_list(members)
        _write_cache(text, f"{here}/cache/index0", 1, "Data", [cpu.id], words)
        _write_cache(text, f"{here}/cache/index1", 1, "Instruction", [cpu.id], words)
        if cpu.l2 is not None:
            _write_cache(text, f"{here}/cache/index2", 2, "Unified", groups["l2"][cpu.l2], words)
        if cpu.l3 is not None:
            _write_cache(text, f"{here}/cache/index3", 3, "Unified", groups["l3"][cpu.l3], words)
    kinds = _groups(topology, lambda cpu: cpu.kind)
    if kinds.keys() - {None}:
        text["sys/devices/cpu_core/cpus"] = format_list(kinds["performance"])
        text["sys/devices/cpu_atom/cpus"] = format_list(kinds["efficiency"])


def _groups(topology: Topology, key: Callable[[Cpu], Hashable]) -> dict[Hashable, list[int]]:
    groups: dict[Hashable, list[int]] = {}
    for cpu in topology.cpus:
        groups.setdefault(key(cpu), []).append(cpu.id)
    return groups


def _write_cache(text: dict[str, str], base: str, level: int, kind: str, cpus: list[int], words: int) -> None:
    text[f"{base}/level"] = str(level)
    text[f"{base}/type"] = kind
    text[f"{base}/size"] = f"{512 * level}K"
    text[f"{base}/shared_cpu_list"] = format_list(cpus)
    text[f"{base}/shared_cpu_map"] = mask(cpus, words)


def _write_nodes(text: dict[str, str], topology: Topology) -> None:
    if not topology.nodes:
        return
    base = "sys/devices/system/node"
    ids = format_list(node.id for node in topology.nodes)
    with_memory = format_list(node.id for node in topology.nodes if node.memory_bytes)
    text |= {f"{base}/online": ids, f"{base}/possible": ids, f"{base}/has_memory": with_memory}
    cpus = _groups(topology, lambda cpu: cpu.node)
    text[f"{base}/has_cpu"] = format_list(node.id for node in topology.nodes if node.id in cpus)
    for node in topology.nodes:
        here = f"{base}/node{node.id}"
        text[f"{here}/cpulist"] = format_list(cpus.get(node.id, ()))
        text[f"{here}/cpumap"] = mask(cpus.get(node.id, ()))
        kib = node.memory_bytes // 1024
        text[f"{here}/meminfo"] = f"Node {node.id} MemTotal:  {kib:>12} kB\nNode {node.id} MemFree:   {kib // 2:>12} kB"
        if node.distances:
            text[f"{here}/distance"] = " ".join(str(node.distances[other.id]) for other in topology.nodes)
        for size, count in node.huge_pages.items():
            text[f"{here}/hugepages/hugepages-{size // 1024}kB/nr_hugepages"] = str(count)
        access = f"{here}/access0/initiators"
        for other in node.initiators:
            text[f"{access}/node{other}/uevent"] = ""
        if node.read_bandwidth_mb_s is not None:
            text[f"{access}/read_bandwidth"] = str(node.read_bandwidth_mb_s)
        if node.read_latency_ns is not None:
            text[f"{access}/read_latency"] = str(node.read_latency_ns)


def _write_limits(text: dict[str, str], topology: Topology) -> None:
    groups: dict[str, str] = {}
    mounts = []
    limits = topology.limits
    online = frozenset(cpu.id for cpu in topology.cpus)
    with_memory = frozenset(node.id for node in topology.nodes if node.memory_bytes)
    if not limits and (topology.allowed_cpus != online or topology.allowed_nodes != with_memory):
        nodes = topology.allowed_nodes if topology.nodes else None
        limits = (Limit(kind="affinity", file="proc/self/status", cpus=topology.allowed_cpus, nodes=nodes),)
    for limit in limits:
        folder, _, name = limit.file.rpartition("/")
        if limit.kind == "affinity":
            lines = ["Name:\tpython", f"Cpus_allowed:\t{mask(limit.cpus or ())}"]
            lines.append(f"Cpus_allowed_list:\t{format_list(limit.cpus or ())}")
            if limit.nodes is not None:
                lines += [f"Mems_allowed:\t{mask(limit.nodes)}", f"Mems_allowed_list:\t{format_list(limit.nodes)}"]
            text[limit.file] = "\n".join(lines)
            continue
        unified = name in ("cpuset.cpus.effective", "cpu.max")
        controller = "" if unified else limit.kind.replace("quota", "cpu")
        point = "sys/fs/cgroup" if unified else f"sys/fs/cgroup/{controller}"
        groups[controller] = max(groups.get(controller, "/"), folder.removeprefix(point) or "/", key=len)
        mounts.append((point, controller))
        if limit.quota is not None:
            quota = round(limit.quota * PERIOD_US)
            text[limit.file] = f"{quota} {PERIOD_US}" if unified else str(quota)
            if not unified:
                text[f"{folder}/cpu.cfs_period_us"] = str(PERIOD_US)
        if limit.cpus is not None:
            text[limit.file] = format_list(limit.cpus)
        if limit.nodes is not None:
            text[f"{folder}/cpuset.mems.effective" if unified else f"{folder}/cpuset.mems"] = format_list(limit.nodes)
    if groups:
        text["proc/self/cgroup"] = "\n".join(
            f"{number}:{name}:{path}" for number, (name, path) in enumerate(groups.items())
        )
        text["proc/self/mountinfo"] = "\n".join(
            f"{30 + number} 24 0:{number} / /{point} rw - "
            + (f"cgroup none rw,{name}" if name else "cgroup2 none rw,nsdelegate")
            for number, (point, name) in enumerate(dict.fromkeys(mounts))
        )


def _write_cpuinfo(text: dict[str, str], topology: Topology) -> None:
    if not topology.isa and topology.cpu_model is None:
        return
    x86 = not topology.isa & {"asimd", "neon", "sve"}
    lines = []
    for cpu in topology.cpus:
        lines.append(f"processor\t: {cpu.id}")
        if topology.cpu_model is not None:
            lines.append(f"model name\t: {topology.cpu_model}")
        words = ["fpu", "syscall", *sorted(topology.isa)] if x86 else ["fp", *sorted(topology.isa), "cpuid"]
        lines += [f"{'flags' if x86 else 'Features'}\t: {' '.join(words)}", ""]
    text["proc/cpuinfo"] = "\n".join(lines)
