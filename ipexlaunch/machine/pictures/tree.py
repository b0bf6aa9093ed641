"""The machine as a tree: sockets, their nodes, L3 caches, and cores with their cpus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.pictures.parts import Part, machine_parts
from ipexlaunch.machine.text_table import rendered
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import grouped, heading_lines, thread_words

if TYPE_CHECKING:
    from rich.tree import Tree


def machine_tree(topology: Topology, *, width: int = 100, color: bool = False) -> str:
    """Sockets, nodes, L3 caches and cores, each under what holds it, every cpu on one line only.

    Args:
        topology: the machine.
        width: columns of the terminal; longer lines are folded.
        color: with ANSI colours.
    """
    from rich.text import Text
    from rich.tree import Tree

    root = Tree(Text("\n".join(heading_lines(topology, width))))
    for part in machine_parts(topology):
        _grow(root, part)
    return rendered(root, width=width, color=color)


def _grow(tree: Tree, part: Part) -> None:
    from rich.text import Text

    children = part.parts
    if part.what == "row":
        for child in children:
            _grow(tree, child)
        return
    words = list(part.facts)
    if len(children) == 1 and children[0].cores and not children[0].title:
        words.append(_cpu_words(children[0]) if words else _core_words(children[0]))
        children = ()
    if part.cores:
        words.append(_core_words(part))
    text = Text(part.title, style="bold")
    text.append((": " if part.title else "") + ", ".join(words), style="not bold")
    branch = tree.add(text)
    for child in children:
        _grow(branch, child)


def _core_words(part: Part) -> str:
    """ "8 cores of 2 threads, cpus 0-7,128-135"."""
    count = grouped(len(part.cores), "core")
    return f"{count} of {thread_words(map(len, part.cores))}, {_cpu_words(part)}"


def _cpu_words(part: Part) -> str:
    cpus = [cpu for core in part.cores for cpu in core]
    return f"{'cpus' if len(cpus) > 1 else 'cpu'} {format_list(cpus)}"
