"""probe: one machine from sysfs and procfs under one root."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.probe.accelerators import read_accelerators
from ipexlaunch.machine.probe.allowed import STATUS, memory_limits, read_limits, tightest_memory, tightest_quota
from ipexlaunch.machine.probe.cgroups import assumed_groups
from ipexlaunch.machine.probe.cpu_model import read_cpu_model
from ipexlaunch.machine.probe.cpus import cpu_directories, read_cpus, smt_control, unknown_topology
from ipexlaunch.machine.probe.kinds import unlike_cores
from ipexlaunch.machine.probe.nodes import nodes_with_memory, read_nodes
from ipexlaunch.machine.probe.online import online_cpus
from ipexlaunch.machine.probe.sysfs_paths import CPU
from ipexlaunch.machine.probe.tree import DirectoryFiles, Files, Tree, own_affinity
from ipexlaunch.machine.topology import Cpu, Limit, Topology

MOST_NAMED = 6
"""Empty files in one sentence."""
SAVE = "ipexlaunch topology --save FILE.tar.gz"


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
        cpu_quota=tightest_quota(limits),
        memory_limit_bytes=tightest_memory(limits),
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
    if assumed_groups(tree):
        yield (
            "proc/self/cgroup is missing: limits are those of the groups at the mount points, and a group below may "
            "have tighter ones"
        )
    if sockets_and_cores:
        yield sockets_and_cores
    if sign := unlike_cores(tree, cpus, len(cpus) < len(directories)):
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
