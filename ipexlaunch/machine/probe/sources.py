"""open_topology: a machine from wherever the user says it is described.

probe: one machine from sysfs and procfs under one root.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace

import ipexlaunch
from ipexlaunch.errors import DocumentError, RequestError, TopologyError
from ipexlaunch.machine.cpulist import CPU, format_list
from ipexlaunch.machine.probe.allowed import (
    STATUS,
    memory_limits,
    online_cpus,
    read_limits,
    tightest_memory,
    tightest_quota,
)
from ipexlaunch.machine.probe.archive import is_archive, open_archive
from ipexlaunch.machine.probe.cgroups import own_cgroup_unknown
from ipexlaunch.machine.probe.cpu_model import hybrid_signs, read_cpu_model
from ipexlaunch.machine.probe.cpus import cpu_directories, read_cpus, smt_control, unknown_topology
from ipexlaunch.machine.probe.nodes import nodes_with_memory, read_accelerators, read_nodes
from ipexlaunch.machine.probe.tree import DirectoryFiles, Files, Tree, own_affinity
from ipexlaunch.machine.synthetic import is_synthetic, synthetic_machine
from ipexlaunch.machine.topology import Cpu, Limit, Topology
from ipexlaunch.machine.topology_file import parse_topology

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


LARGEST_SOURCE = 1 << 28
"""Bytes of a document or archive; 65,536 cpus are 5 MB of YAML."""


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
        return probe(DirectoryFiles("/"), "live")
    found = _open(source)
    if isinstance(found, bytes):
        return _parse(found, source)
    if found is not None:
        return probe(found, f"sysfs:{source}")
    if is_synthetic(source):
        return synthetic_machine(source)
    shipped = shipped_machines()
    if source in shipped:
        return _parse(_read(shipped[source]), shipped[source])
    close = [name for name in shipped if source and source in name][:3]
    close = close or difflib.get_close_matches(source, shipped, n=3)
    raise RequestError(
        f"find the machine {source!r}",
        "it is no file, no directory, no sentence, and no name in topologies/",
        f"did you mean {' or '.join(close)}?" if close else 'try "live", a saved tree, a YAML file, or "2s 2n 28c 2t"',
    )


def files_of(source: str) -> Files | None:
    """The files of a source that is the live machine, a directory or an archive; None for a description.

    Raises:
        TopologyError: an archive cannot be read.
        RequestError: a file cannot be read.
    """
    found = DirectoryFiles("/") if source == "live" else _open(source)
    return None if isinstance(found, bytes) else found


def shipped_machines() -> dict[str, str]:
    """Name to path of the machines that come with ipexlaunch, sorted by name."""
    package = os.path.dirname(os.path.abspath(ipexlaunch.__file__))
    return machines_in(os.path.join(package, "shipped_topologies")) or machines_in(
        os.path.join(os.path.dirname(package), "topologies")
    )


def machines_in(folder: str) -> dict[str, str]:
    """Name to path of the machines in a folder, sorted by name; none where there is no such folder."""
    if not os.path.isdir(folder):
        return {}
    names = sorted(name for name in os.listdir(folder) if name.endswith((".yaml", ".json")))
    return {name.rpartition(".")[0]: os.path.join(folder, name) for name in names}


def _open(source: str) -> Files | bytes | None:
    """A directory or archive as files, other files as bytes (read once: it may be a pipe), None where there is none."""
    if os.path.isdir(source):
        return DirectoryFiles(source)
    if not os.path.exists(source):
        return None
    data = _read(source)

    return open_archive(source, data) if is_archive(data) else data


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            data = file.read(LARGEST_SOURCE + 1)
    except OSError as error:
        raise RequestError(f"read the machine {path!r}", os.strerror(error.errno or 0)) from None
    if len(data) > LARGEST_SOURCE:
        raise RequestError(f"read the machine {path!r}", f"it is larger than {LARGEST_SOURCE} bytes")
    return data


def _parse(data: bytes, path: str) -> Topology:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise DocumentError(path, "", "it is neither an archive nor text") from None
    return replace(parse_topology(text, path), source=f"file:{path}")
