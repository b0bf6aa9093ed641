"""Amounts as a person writes them: counts with their noun, and memory in GiB."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Topology, group_by

GIB = 1 << 30


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 core", "2 cores", "0 cores"."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def grouped(number: int, noun: str) -> str:
    """ "1 core", "2,048 cores": what may be many, with its digits in groups."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def times(number: int) -> str:
    """ "once", "3 times"."""
    return "once" if number == 1 else f"{number} times"


def in_gib(size_bytes: float) -> str:
    """Bytes as "1.5 GiB", or "64 MiB" where that is less than one GiB."""
    return f"{size_bytes / GIB:.1f} GiB" if abs(size_bytes) >= GIB else f"{size_bytes / (1 << 20):.0f} MiB"


def memory_words(memory_bytes: int) -> str:
    """ "125.6 GiB", "128 GiB", "512 MiB"; "no memory" for 0.

    Args:
        memory_bytes: an amount of memory; what is under 1 GiB is given in MiB, from 10 TiB on in TiB.
    """
    if memory_bytes == 0:
        return "no memory"
    unit, name = (
        (1 << 20, "MiB") if memory_bytes < GIB else (GIB, "GiB") if memory_bytes < 10 << 40 else (1 << 40, "TiB")
    )
    amount = memory_bytes / unit
    return f"{amount:.{int(amount < 1000)}f}".removesuffix(".0") + f" {name}"


def memory_is_known(topology: Topology) -> bool:
    """Whether any node has memory; none has where a saved tree holds no meminfo."""
    return any(node.memory_bytes for node in topology.nodes)


def thread_words(siblings: Iterable[int]) -> str:
    """ "2 threads" of cores that have so many cpus online; "1 or 2 threads" where they differ.

    Args:
        siblings: online cpus of each core.
    """
    found = sorted(set(siblings))
    return " or ".join(str(count) for count in found) + (" thread" if found == [1] else " threads")


def machine_words(topology: Topology) -> tuple[str, ...]:
    """The machine in a few facts, in the order in which they are asked: sockets, nodes, cores, cpus, memory, limits."""
    sockets = len({cpu.socket for cpu in topology.cpus})
    facts = [grouped(sockets, "socket")]
    if topology.nodes:
        facts.append(grouped(len(topology.nodes), "node"))
    cores = topology.cores.values()
    facts.append(f"{grouped(len(cores), 'core')} of {thread_words(map(len, cores))}")
    facts.append(grouped(len(topology.cpus), "cpu"))
    if memory_is_known(topology):
        facts.append(memory_words(sum(node.memory_bytes for node in topology.nodes)))
    barred = len(topology.cpus) - len(topology.allowed_cpus & set(topology.by_cpu))
    if barred:
        facts.append(f"{len(topology.cpus) - barred} of {len(topology.cpus)} cpus allowed")
    if topology.offline_cpus:
        facts.append(f"{grouped(len(topology.offline_cpus), 'cpu')} offline ({format_list(topology.offline_cpus)})")
    if topology.isolated_cpus:
        facts.append(f"{grouped(len(topology.isolated_cpus), 'cpu')} isolated ({format_list(topology.isolated_cpus)})")
    if topology.cpu_quota is not None:
        facts.append(f"quota of {topology.cpu_quota:g} cpus")
    return tuple(facts)


def heading_lines(topology: Topology, width: int) -> list[str]:
    """The cpu's name where it is known, then the machine in a few facts, in lines of at most `width`."""
    name = wrapped(topology.cpu_model, width) if topology.cpu_model else []
    return [*name, *wrapped(", ".join(machine_words(topology)), width)]


def wrapped(line: str, width: int, indent: str = "  ") -> list[str]:
    """The line as lines of at most `width`, broken after a comma or else a blank, the later ones indented.

    Args:
        line: one line of text.
        width: columns.
        indent: what the second and later lines begin with.
    """
    lines = []
    while len(line) > width:
        start = len(line) - len(line.lstrip()) + 1
        cut = line.rfind(", ", width // 2, width) + 1
        cut = cut or max(line.rfind(",", start, width), line.rfind(" ", start, width)) + 1 or width
        lines.append(line[:cut].rstrip())
        line = indent + line[cut:].lstrip()
    return [*lines, line]


def kind_words(cpus: Iterable[Cpu]) -> str:
    """ "8 performance, 16 efficiency" cores of a hybrid machine; "" where all are alike.

    Args:
        cpus: those of one place.
    """
    kinds = group_by((cpu for cpu in cpus if cpu.kind is not None), lambda cpu: str(cpu.kind))
    return ", ".join(f"{len({cpu.core for cpu in kinds[kind]})} {kind}" for kind in sorted(kinds, reverse=True))


def device_words(topology: Topology, node_id: int | None) -> tuple[str, ...]:
    """ "2 intel accelerators", "1 nvidia accelerator": what hangs on a node, by vendor.

    Args:
        topology: the machine.
        node_id: of the node; None for those that hang on none.
    """
    counts = Counter(device.vendor for device in topology.accelerators if device.node == node_id)
    return tuple(grouped(count, f"{vendor} accelerator") for vendor, count in sorted(counts.items()))
