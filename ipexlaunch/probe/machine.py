"""probe: one machine from sysfs and procfs under one root."""

from __future__ import annotations

from ipexlaunch.cpulist import format_list
from ipexlaunch.probe.accelerators import read_accelerators
from ipexlaunch.probe.allowed import read_limits, tightest_quota
from ipexlaunch.probe.cpu_model import read_cpu_model
from ipexlaunch.probe.cpus import CPU, cpu_directories, online_cpus, read_cpus, smt_control
from ipexlaunch.probe.nodes import nodes_with_memory, read_nodes
from ipexlaunch.probe.tree import DirectoryFiles, Files, Tree
from ipexlaunch.topology.machine import Limit, Topology


def probe(root: str | Files = "/", source: str = "") -> Topology:
    """The machine that sysfs and procfs under `root` describe, and nothing else: exactly, or an error.

    Args:
        root: a directory that holds sys/ and proc/ ("/" is the live machine), or an opened archive of one.
        source: what to note as `Topology.source`; empty for "live" or "sysfs:ROOT".

    Raises:
        TopologyError: a file is missing, cut off, malformed, or contradicts another; it names the file.
    """
    files = DirectoryFiles(root) if isinstance(root, str) else root
    tree = Tree(files)
    directories = cpu_directories(tree)
    online = online_cpus(tree, directories)
    model = read_cpu_model(tree)
    nodes, node_of = read_nodes(tree, online)
    limits = read_limits(tree)
    present = tree.optional_ids(f"{CPU}/present")
    possible = tree.optional_ids(f"{CPU}/possible")
    accelerators = read_accelerators(tree)
    known_nodes = frozenset(node.id for node in nodes)
    return Topology(
        cpus=read_cpus(tree, online, node_of, model.compute_units),
        nodes=nodes,
        allowed_cpus=_allowed_cpus(tree, online, limits),
        allowed_nodes=_allowed_nodes(tree, nodes_with_memory(tree, nodes), known_nodes, limits),
        cpu_quota=tightest_quota(limits),
        isa=model.isa,
        source=source or ("live" if files.where == "/" else f"sysfs:{files.where.rstrip('/:')}"),
        cpu_model=model.name,
        present_cpus=directories if present is None else present,
        possible_cpus=(directories if present is None else present) if possible is None else possible,
        offline_cpus=directories - online,
        isolated_cpus=tree.optional_ids(f"{CPU}/isolated") or frozenset(),
        smt=smt_control(tree),
        accelerators=accelerators,
        limits=limits,
    )


def _allowed_cpus(tree: Tree, online: frozenset[int], limits: tuple[Limit, ...]) -> frozenset[int]:
    allowed = online
    for limit in limits:
        if limit.cpus is not None:
            allowed &= limit.cpus
            if not allowed:
                raise tree.problem(
                    limit.file, f"it allows cpus {format_list(limit.cpus)}, of which none is online and allowed"
                )
    return allowed


def _allowed_nodes(
    tree: Tree, with_memory: frozenset[int], nodes: frozenset[int], limits: tuple[Limit, ...]
) -> frozenset[int]:
    allowed = with_memory
    for limit in limits:
        if limit.nodes is not None and nodes:
            allowed &= limit.nodes
            if not allowed:
                raise tree.problem(
                    limit.file, f"it allows nodes {format_list(limit.nodes)}, and of these none has memory"
                )
    return allowed
