"""Amounts as a person writes them: counts with their noun, and memory in GiB.

Text from rich's tables and trees at a given width; the one module here that imports rich, and only when used.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ipexlaunch.documents.visible_text import fitting_columns, wrapped
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.topology import Cpu, Topology, group_by

if TYPE_CHECKING:
    from rich.console import RenderableType

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


def threads_text(siblings: Iterable[int]) -> str:
    """ "2 threads" of cores that have so many cpus online; "1 or 2 threads" where they differ.

    Args:
        siblings: online cpus of each core.
    """
    found = sorted(set(siblings))
    return " or ".join(str(count) for count in found) + (" thread" if found == [1] else " threads")


def machine_facts(topology: Topology) -> tuple[str, ...]:
    """The machine in a few facts, in the order in which they are asked: sockets, nodes, cores, cpus, memory, limits."""
    sockets = len({cpu.socket for cpu in topology.cpus})
    facts = [grouped(sockets, "socket")]
    if topology.nodes:
        facts.append(grouped(len(topology.nodes), "node"))
    cores = topology.cores.values()
    facts.append(f"{grouped(len(cores), 'core')} of {threads_text(map(len, cores))}")
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
    return [*name, *wrapped(", ".join(machine_facts(topology)), width)]


def core_kinds_text(cpus: Iterable[Cpu]) -> str:
    """ "8 performance, 16 efficiency" cores of a hybrid machine; "" where all are alike.

    Args:
        cpus: those of one place.
    """
    kinds = group_by((cpu for cpu in cpus if cpu.kind is not None), lambda cpu: str(cpu.kind))
    return ", ".join(f"{len({cpu.core for cpu in kinds[kind]})} {kind}" for kind in sorted(kinds, reverse=True))


def accelerators_text(topology: Topology, node_id: int | None) -> tuple[str, ...]:
    """ "2 intel accelerators", "1 nvidia accelerator": what hangs on a node, by vendor.

    Args:
        topology: the machine.
        node_id: of the node; None for those that hang on none.
    """
    counts = Counter(device.vendor for device in topology.accelerators if device.node == node_id)
    return tuple(grouped(count, f"{vendor} accelerator") for vendor, count in sorted(counts.items()))


GAP = 3
"""Columns between two columns of a table."""
NARROWEST_LIST = 12
"""A list is not broken into lines shorter than this."""


def table_text(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    right: Iterable[str] = (),
    lists: Iterable[str] = (),
    texts: Iterable[str] = (),
    dispensable: Iterable[str] = (),
    width: int = 100,
    color: bool = False,
) -> str:
    """A table as text, one line per row where it fits; long lists are folded, no line is longer than `width`.

    Args:
        heads: the columns' names.
        rows: as many cells each.
        right: names of the columns of numbers, set flush right.
        lists: names of the columns of lists such as "0-13,56-69", which may be broken after a comma.
        texts: names of the columns of sentences, which may be broken between words.
        dispensable: names of the columns that a narrow terminal goes without, in this order.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    lists, cells = tuple(lists), [list(row) for row in rows]
    kept = fitting_columns(heads, cells, (*lists, *texts), dispensable, width, GAP)
    heads, cells = [heads[column] for column in kept], [[row[column] for column in kept] for row in cells]
    lists = [name for name in lists if name in heads]
    if not color and (plain := _plain_table(heads, cells, set(right), width)) is not None:
        return plain
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False, header_style="bold")
    flush = set(right)
    cells = _with_broken_lists(heads, cells, [heads.index(name) for name in lists], width)
    for head in heads:
        table.add_column(head, justify="right" if head in flush else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    return rendered(table, width=width, color=color)


def _plain_table(heads: Sequence[str], rows: list[list[str]], flush: set[str], width: int) -> str | None:
    """What rich would draw without colours, where nothing needs folding; rich takes 0.2 s for 500 rows."""
    if not all(cell.isascii() and cell.isprintable() for row in [heads, *rows] for cell in row):
        return None
    widths = [max(len(row[column]) for row in [heads, *rows]) for column in range(len(heads))]
    total = sum(widths) + GAP * (len(heads) - 1)
    if total > width:
        return None

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(size) if head in flush else cell.ljust(size)
            for head, cell, size in zip(heads, row, widths, strict=True)
        ]
        return (" " * GAP).join(cells).rstrip()

    return "\n".join([line(heads), "─" * total, *(line(row) for row in rows)]) + "\n"


def _with_broken_lists(heads: Sequence[str], rows: list[list[str]], lists: list[int], width: int) -> list[list[str]]:
    """The rows, their lists broken after commas so far as the table is too wide; rich itself would break in numbers."""
    widths = [max(len(row[column]) for row in [list(heads), *rows]) for column in range(len(heads))]
    excess = sum(widths) + GAP * (len(heads) - 1) - width
    for column in sorted(lists, key=lambda column: -widths[column]):
        if excess <= 0:
            break
        room = max(NARROWEST_LIST, widths[column] - excess)
        excess -= widths[column] - room
        for row in rows:
            row[column] = "\n".join(wrapped(row[column], room, indent=""))
    return rows


def rendered(what: RenderableType, *, width: int, color: bool) -> str:
    """What rich draws, as text whose lines have no blanks at their ends."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(),
        width=width,
        force_terminal=color,
        color_system="256" if color else None,
        no_color=not color,
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )
    with console.capture() as capture:
        console.print(what)
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
