"""Why a cpu or a node that is present may not be used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Limit, Topology, group_by

LIMIT_WORDS = {
    "affinity": "outside the affinity of this process",
    "cpuset": "outside the cpuset of its cgroup",
}
UNTOLD = "left out by the description of the machine"


def reasons_against_cpus(topology: Topology) -> dict[int, tuple[str, ...]]:
    """Every cpu that is present or has a directory and is not allowed, ascending, to all reasons against it."""
    known = topology.present_cpus | topology.offline_cpus | topology.by_cpu.keys()
    return {cpu: tuple(_reasons_against(topology, cpu)) or (UNTOLD,) for cpu in sorted(known - topology.allowed_cpus)}


def _reasons_against(topology: Topology, cpu: int) -> Iterator[str]:
    if cpu not in topology.by_cpu:
        offline = "offline" if cpu in topology.offline_cpus else "not online, without a directory"
        yield offline if topology.view is None else _hidden(topology, topology.view)
        return
    for limit in topology.limits:
        if limit.kind in LIMIT_WORDS and limit.cpus is not None and cpu not in limit.cpus:
            yield f"{LIMIT_WORDS[limit.kind]} ({limit.file}: {format_list(limit.cpus)})"
    if cpu in topology.isolated_cpus:
        yield "isolated at boot, which keeps it out of the affinity that processes start with"


def reasons_against_nodes(topology: Topology) -> dict[int, tuple[str, ...]]:
    """Every node whose memory is not allowed, ascending, to all reasons against it."""
    reasons: dict[int, tuple[str, ...]] = {}
    for node in topology.nodes:
        if node.id in topology.allowed_nodes:
            continue
        found = [] if node.memory_bytes else ["it has no memory"]
        found += [
            f"{LIMIT_WORDS[limit.kind]} ({_memory_file(limit.file)}: {format_list(limit.nodes)})"
            for limit in topology.limits
            if limit.nodes is not None and node.id not in limit.nodes
        ]
        reasons[node.id] = tuple(found) or (UNTOLD,)
    return reasons


def explanation(topology: Topology) -> str:
    """What is allowed, and for everything present that is not, why not; lines of text."""
    count = f"{len(topology.allowed_cpus)} of {len(topology.cpus)} online"
    lines = [f"allowed cpus: {format_list(topology.allowed_cpus)} ({count})"]
    lines += _grouped("cpu", reasons_against_cpus(topology))
    if topology.nodes:
        count = f"{len(topology.allowed_nodes)} of {len(topology.nodes)}"
        lines.append(f"allowed nodes: {format_list(topology.allowed_nodes) or 'none'} ({count})")
        lines += _grouped("node", reasons_against_nodes(topology))
    quotas = [limit for limit in topology.limits if limit.quota is not None]
    if topology.cpu_quota is None:
        lines.append("cpu quota: none")
    else:
        lines.append(f"cpu quota: {topology.cpu_quota:g} cpus")
        lines += [f"  {limit.quota:g} cpus ({limit.file})" for limit in quotas]
    if topology.memory_limit_bytes is not None:
        lines.append(f"memory limit: {_in_gib(topology.memory_limit_bytes)}")
    lines += [
        f"  {_in_gib(limit.memory_bytes)}{_pages(limit)} ({limit.file})"
        for limit in topology.limits
        if limit.memory_bytes is not None
    ]
    usable = topology.isolated_cpus & topology.allowed_cpus
    if usable:
        lines.append(f"isolated at boot, and allowed: cpus {format_list(usable)}; nothing else is scheduled there")
    lines += [f"not told: {gap}" for gap in topology.gaps]
    return "\n".join(lines) + "\n"


def _hidden(topology: Topology, view: Limit) -> str:
    """Why a cpu of the host is none of ours where a container shows another list than the host's."""
    others = [limit for limit in topology.limits if limit.kind in LIMIT_WORDS and limit.cpus is not None]
    ours = f"; {others[0].file}: {format_list(others[0].cpus or ())}" if others else ""
    return f"not of this container ({view.file}: {format_list(view.cpus or ()) or 'none'}{ours})"


def _in_gib(amount: int) -> str:
    return f"{amount / (1 << 30):.4g} GiB"


def _pages(limit: Limit) -> str:
    return "" if limit.page_bytes is None else f" in huge pages of {limit.page_bytes >> 10} KiB"


def _memory_file(path: str) -> str:
    """A cpuset's file for memory, which is named like the one for cpus."""
    folder, slash, name = path.rpartition("/")
    prefix = "cpuset." if name.startswith("cpuset.") else ""
    return folder + slash + prefix + name.removeprefix(prefix).replace("cpus", "mems")


def _grouped(noun: str, reasons: dict[int, tuple[str, ...]]) -> Iterable[str]:
    """A line for each reason under a line for the ids that share all of them."""
    for why, ids in group_by(reasons, reasons.__getitem__).items():
        yield f"  not {noun}{'s' if len(ids) > 1 else ''} {format_list(ids)}: {why[0]}"
        yield from (f"    and {reason}" for reason in why[1:])
