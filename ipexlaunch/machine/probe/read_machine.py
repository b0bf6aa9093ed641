"""open_topology: a machine from wherever the user says it is described.

probe: one machine from sysfs and procfs under one root; its cpus' name and instruction sets, from the first block of
proc/cpuinfo, and what no file tells.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import CPU, format_list, printable, shortened
from ipexlaunch.machine.probe.allowed import STATUS, memory_limits, online_cpus, read_limits
from ipexlaunch.machine.probe.cgroups import own_cgroup_unknown
from ipexlaunch.machine.probe.cpu_tables import ARM_FLAGS, ARM_PARTS, X86_FLAGS
from ipexlaunch.machine.probe.cpus import cpu_directories, read_cpus, unknown_topology
from ipexlaunch.machine.probe.nodes import nodes_with_memory, read_accelerators, read_nodes
from ipexlaunch.machine.probe.sources import find_source
from ipexlaunch.machine.probe.tree import DirectoryFiles, Files, Tree, own_affinity
from ipexlaunch.machine.topology import Cpu, Limit, Topology, group_by

MOST_NAMED = 6
"""Empty files in one sentence."""
SAVE = "ipexlaunch topology --save FILE.tar.gz"


def open_topology(source: str) -> Topology:
    """The machine that a source describes; one type comes out whatever the source.

    Args:
        source: "live"; a directory that holds sys/ and proc/; a .tar, .tar.gz, .tar.bz2 or .tar.xz of one; a topology
            document in YAML or JSON; the name of a machine in topologies/; or a sentence such as "2s 2n 28c 2t".

    Raises:
        TopologyError: a file of the machine is missing or malformed.
        DocumentError: a document does not follow its format.
        RequestError: there is no such source.
    """
    if source == "live":
        return probe("/", "live")
    found = find_source(source)
    return found if isinstance(found, Topology) else probe(found, f"sysfs:{source}")


def probe(
    root: str | Files = "/", source: str = "", affinity: Callable[[], Collection[int]] = own_affinity
) -> Topology:
    """The machine that sysfs and procfs under `root` describe, and nothing else: exactly, or an error.

    The live machine may change while it is read (a cpu goes offline, a cgroup is written to): what contradicts itself
    there is read once more before it is an error.

    Args:
        root: a directory that holds sys/ and proc/ ("/" is the live machine), or an opened archive of one.
        source: what to note as `Topology.source`; empty for "live" or "sysfs:ROOT".
        affinity: sched_getaffinity(2) of this process, for kernels whose files do not tell it.

    Raises:
        TopologyError: a file is missing, cut off, malformed, or contradicts another; it names the file.
    """
    files = DirectoryFiles(root) if isinstance(root, str) else root
    try:
        return _described(Tree(files, affinity), source)
    except TopologyError:
        if files.where != "/":
            raise
    return _described(Tree(files, affinity), source)


def _described(tree: Tree, source: str) -> Topology:
    directories = cpu_directories(tree)
    limits = read_limits(tree)
    online, view = online_cpus(tree, directories, limits)
    if view is not None:
        limits = (*limits, view)
    hidden = directories - online if view is not None else frozenset()
    model = read_cpu_model(tree)
    nodes, node_of = read_nodes(tree, online, hidden)
    limits = (*limits, *memory_limits(tree, frozenset(size for node in nodes for size in node.huge_pages)))
    present = tree.optional_ids(f"{CPU}/present")
    possible = tree.optional_ids(f"{CPU}/possible")
    cpus = read_cpus(tree, online, node_of, model.compute_units)
    cpusets = [(limit.file, limit.cpus) for limit in limits if limit.kind != "view"]
    node_sets = [(limit.file, limit.nodes) for limit in limits if nodes]
    with_memory = nodes_with_memory(tree, nodes)
    return Topology(
        cpus=cpus,
        nodes=nodes,
        allowed_cpus=_narrowed(tree, online, cpusets, "cpus", "of which none is online and allowed"),
        allowed_nodes=_narrowed(tree, with_memory, node_sets, "nodes", "and of these none has memory"),
        cpu_quota=_tightest_quota(limits),
        memory_limit_bytes=_tightest_memory(limits),
        isa=model.isa,
        source=source or ("live" if tree.live else f"sysfs:{tree.files.where.rstrip('/:')}"),
        cpu_model=model.name,
        present_cpus=directories if present is None else present,
        possible_cpus=(directories if present is None else present) if possible is None else possible,
        offline_cpus=directories - online,
        isolated_cpus=tree.optional_ids(f"{CPU}/isolated") or frozenset(),
        smt=smt_control(tree),
        accelerators=read_accelerators(tree),
        limits=limits,
        gaps=tuple(_gaps(tree, cpus, directories, limits)),
    )


def _tightest_memory(limits: tuple[Limit, ...]) -> int | None:
    """The least of the limits of ordinary memory, in bytes."""
    plain = [limit.memory_bytes for limit in limits if limit.page_bytes is None]
    return min((amount for amount in plain if amount is not None), default=None)


def _tightest_quota(limits: tuple[Limit, ...]) -> float | None:
    """The least of the quotas, in cpus; every level of the hierarchy enforces its own."""
    return min((limit.quota for limit in limits if limit.quota is not None), default=None)


def _gaps(tree: Tree, cpus: tuple[Cpu, ...], directories: frozenset[int], limits: tuple[Limit, ...]) -> Iterator[str]:
    """What is not told, and what is assumed instead."""
    sockets_and_cores = unknown_topology(tree, cpus)
    if tree.empty:
        files = sorted({re.sub(r"(?<=[a-z])\d+(?=/)", "*", path) for path in tree.empty})
        few = ", ".join(files[:MOST_NAMED]) + f" and {len(files) - MOST_NAMED} others" * (len(files) > MOST_NAMED)
        yield (
            f"{few} {'is' if len(tree.empty) == 1 else 'are'} empty, as plain tar leaves files of which the kernel "
            f"tells no size, and count as missing: save the machine with '{SAVE}'"
        )
    elif tree.has(STATUS) and not any(limit.kind == "affinity" and limit.cpus for limit in limits):
        yield f"{STATUS} has no Cpus_allowed_list: every cpu is taken for allowed"
    if own_cgroup_unknown(tree):
        yield (
            "proc/self/cgroup is missing: limits are those of the groups at the mount points, and a group below may "
            "have tighter ones"
        )
    if sockets_and_cores:
        yield sockets_and_cores
    if sign := hybrid_signs(tree, cpus, len(cpus) < len(directories)):
        yield (
            f"cores differ ({sign}), and no file says which are the fast ones: all are planned alike; name those to "
            "use with --cores-list, or write 'ipexlaunch topology --format yaml' to a file, add 'kind: efficiency' to "
            "the rows of slow cpus and plan with --topology FILE"
        )


def _narrowed(
    tree: Tree, ids: frozenset[int], lists: Iterable[tuple[str, frozenset[int] | None]], noun: str, none_left: str
) -> frozenset[int]:
    """What every file allows of the ids.

    Raises:
        TopologyError: nothing; it names the file that takes the last ones away.
    """
    for file, allowed in lists:
        ids = ids if allowed is None else ids & allowed
        if allowed is not None and not ids:
            raise tree.problem(file, f"it allows {noun} {format_list(allowed)}, {none_left}")
    return ids


def smt_control(tree: Tree) -> str | None:
    """on, off, forceoff, notsupported or notimplemented; None where the kernel has no such control."""
    path = f"{CPU}/smt/control"
    if not tree.has(path):
        return None
    text = tree.text(path)
    if not text.isalnum():
        raise tree.problem(path, f"it holds {shortened(text)}, which is no state of SMT")
    return text


CPUINFO = "proc/cpuinfo"


FIRST_BYTES = 1 << 16
"""Enough for the first cpu's block; the file has 3 MB on a machine with 2,048 cpus."""


MODEL_KEYS = ("model name", "Model Name", "cpu", "Processor", "processor 0")
"""As x86, LoongArch, POWER, old ARM and s390 kernels spell it."""


USED_KEYS = (
    *("processor", "vendor_id", "cpu family", "flags", "Features", "features", "CPU implementer", "CPU part"),
    *MODEL_KEYS,
)
"""Everything that is looked at."""


COMPUTE_UNIT_FAMILIES = ("21", "22")
"""AMD families 15h (Bulldozer) and 16h, in decimal as cpuinfo has them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuModel:
    """What proc/cpuinfo says of the first cpu."""

    name: str | None
    isa: frozenset[str]
    compute_units: bool
    """Whether the kernel may list the two cores of a module as SMT siblings; it may where nothing tells the cpu."""


def read_cpu_model(tree: Tree) -> CpuModel:
    """Name and flags of the first cpu; nothing of either where a saved tree has no proc/cpuinfo or an empty one."""
    data = tree.beginning(CPUINFO, FIRST_BYTES)
    if data is None and tree.live:
        raise tree.missing(CPUINFO)
    block = first_block(data or b"")
    if data is not None:
        if not block:
            raise tree.problem(CPUINFO, "it has no line 'NAME: VALUE'")
        if b"\0" in data or (len(data) < FIRST_BYTES and not data.endswith(b"\n")):
            raise tree.problem(CPUINFO, "it is cut off or binary")
    words = block.get("flags", block.get("Features", block.get("features", ""))).split()
    known = X86_FLAGS if "flags" in block else ARM_FLAGS
    return CpuModel(
        name=_name(block),
        isa=frozenset(words) & known,
        compute_units=not block
        or (block.get("vendor_id") == "AuthenticAMD" and block.get("cpu family") in COMPUTE_UNIT_FAMILIES),
    )


def first_block(data: bytes) -> dict[str, str]:
    """The lines "KEY : VALUE" up to the second cpu, without repeated or unprintable characters between words."""
    block: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        key, colon, value = line.partition(":")
        key = key.strip()
        if key == "processor" and key in block:
            break
        if colon:
            block.setdefault(key, printable(" ".join(value.split())))
    return block


def _name(block: dict[str, str]) -> str | None:
    for key in MODEL_KEYS:
        if block.get(key) and not block[key].isdecimal():
            return block[key]
    implementer, part = block.get("CPU implementer"), block.get("CPU part")
    if implementer is None or part is None:
        return None
    return ARM_PARTS.get((implementer, part), f"ARM implementer {implementer} part {part}")


SLOWER = 0.8
"""Of the largest maximum frequency: favoured cores of one kind stay above it (5.0 of 5.9 GHz on a Ryzen 7950X),
efficiency cores below (3.5 of 4.8 GHz on a Core i7-1270P, 3.9 of 5.2 on an i9-12900K)."""


MOST_CORES_ASKED = 64
"""Frequencies are read on machines of one socket with no more cores: no hybrid one is larger."""


def hybrid_signs(tree: Tree, cpus: Sequence[Cpu], hidden: bool) -> str:
    """What shows that cores differ where the kernel tells no kinds; empty where nothing does.

    Args:
        tree: where to read.
        cpus: the online ones.
        hidden: whether some cpus of the machine are offline or not shown: caches are then shared by fewer cores.
    """
    if any(cpu.kind is not None for cpu in cpus):
        return ""
    caches = group_by((cpu for cpu in cpus if cpu.l2 is not None), lambda cpu: cpu.l2)
    shared = Counter(len({cpu.core for cpu in some}) for some in caches.values())
    if len(shared) > 1 and not hidden:
        sizes = ", ".join(f"{count} by {size} core{'s' * (size > 1)} each" for size, count in sorted(shared.items()))
        return f"L2 caches are shared unlike: {sizes}"
    cores = sorted({cpu.core for cpu in cpus})
    if len({cpu.socket for cpu in cpus}) > 1 or len(cores) > MOST_CORES_ASKED:
        return ""
    rates = [rate for core in cores if (rate := _maximum_khz(tree, core))]
    if rates and min(rates) < SLOWER * max(rates):
        return f"maximum frequencies go from {min(rates) / 1e6:.2g} to {max(rates) / 1e6:.2g} GHz"
    return ""


def _maximum_khz(tree: Tree, cpu: int) -> int | None:
    """None where it is not told; a hint is not worth an error."""
    text = tree.beginning(f"{CPU}/cpu{cpu}/cpufreq/cpuinfo_max_freq", 24) or b""
    digits = text.strip(b"\0\n ")
    return int(digits) if digits.isdigit() else None
