"""On which nodes the page cache holds the files of a model.

Pages of a file lie on the node of whoever read them first, and a memory policy moves none of them: a worker that maps
the file reads remote memory (llama.cpp #13335 and #13731). Source: Documentation/admin-guide/mm/numa_memory_policy.rst.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ipexlaunch.doctor.finding import Evidence, Finding, finding
from ipexlaunch.doctor.host_facts import CachedFile, Facts, need
from ipexlaunch.doctor.host_files_read import Unread
from ipexlaunch.doctor.quantity import in_gib
from ipexlaunch.machine.cpulist import format_list

LOPSIDED_SHARE = 0.6
"""Of the cached pages: more than this on one of two nodes means that the workers of the other read remotely."""


def check_page_cache(facts: Facts) -> Sequence[Finding]:
    """Whether the cached pages of the model's files are spread over the nodes of the workers."""
    machine = facts.machine
    files = [need(model) for model in facts.models if not isinstance(model, Unread)]
    unread = [_unread(model) for model in facts.models if isinstance(model, Unread)]
    if not facts.models:
        return [
            finding(
                "note",
                "No model was named, so the page cache was not asked",
                remedy="name its files or folder",
                command="ipexlaunch doctor --model PATH",
            )
        ]
    if not files:
        return unread
    cached = sum(file.cached_pages for file in files)
    size = sum(file.size_bytes for file in files)
    by_node: dict[int, int] = {}
    for file in files:
        weight = _cached_bytes(file) / max(1, sum(file.pages_by_node.values()))
        for node, pages in file.pages_by_node.items():
            by_node[node] = by_node.get(node, 0) + round(pages * weight)
    seen = [_evidence(file) for file in files]
    if not cached:
        message = f"Nothing of {in_gib(size)} is cached: the first worker to read a page decides its node"
        return [*unread, finding("note", message, *seen)]
    total = sum(by_node.values())
    if not total:
        return [*unread, finding("unknown", "The kernel tells no node for the cached pages", *seen)]
    workers_nodes = {cpu.node for cpu in machine.cpus if cpu.id in machine.allowed_cpus and cpu.node is not None}
    fullest = max(by_node, key=by_node.__getitem__)
    share = by_node[fullest] / total
    spread = ", ".join(f"node {node}: {pages / total:.0%}" for node, pages in sorted(by_node.items()))
    if len(workers_nodes) < 2 and set(by_node) <= (workers_nodes or set(by_node)):
        return [*unread, finding("ok", "Cached pages of the model are local to every worker", *seen)]
    foreign = set(by_node) - workers_nodes
    if not foreign and share <= max(LOPSIDED_SHARE, 1.5 / len(workers_nodes)):
        return [*unread, finding("ok", f"Cached pages of the model are spread over the nodes ({spread})", *seen)]
    others = sorted(workers_nodes - {fullest})
    return [
        *unread,
        finding(
            "warning",
            f"{share:.0%} of the cached pages lie on node {fullest}: workers on node {format_list(others)} "
            "that map the files read remote memory",
            *seen,
            remedy="drop them, then let each worker read or copy the files itself (on tmpfs: write them anew)",
            command="; ".join(f"dd if={shlex.quote(file.path)} iflag=nocache count=0 status=none" for file in files[:4])
            + ("; ..." if len(files) > 4 else ""),
        ),
    ]


def _unread(model: Unread) -> Finding:
    message = f"Cannot tell where {model.where} is cached"
    return finding("unknown", message, Evidence(model.where, model.problem))


def _cached_bytes(file: CachedFile) -> float:
    """Of the whole file, estimated from the pages asked."""
    return file.cached_pages / file.asked_pages * file.size_bytes if file.asked_pages else 0.0


def _evidence(file: CachedFile) -> Evidence:
    share = file.cached_pages / file.asked_pages if file.asked_pages else 0.0
    nodes = ", ".join(f"N{node}={pages}" for node, pages in sorted(file.pages_by_node.items())) or "no pages to ask"
    asked = f"{file.cached_pages} of {file.asked_pages} pages asked are cached ({share:.0%})"
    return Evidence(file.path, f"{in_gib(file.size_bytes)}; {asked}; numa_maps: {nodes}")
