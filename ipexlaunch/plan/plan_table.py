"""A plan as a table: one line per instance, then the cpus that nobody uses."""

from __future__ import annotations

from collections.abc import Collection

from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.text_table import table_text
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.wording import grouped, wrapped
from ipexlaunch.plan.plan import Instance, Plan


def plan_table(plan: Plan, topology: Topology | None = None, *, width: int = 100, color: bool = False) -> str:
    """One line per instance, and a last line that names the idle cpus; no line is longer than `width`.

    Args:
        plan: what to show.
        topology: the machine it was made for; with it, cores are grouped and the nodes of the cpus are told apart
            from those of the memory.
        width: columns of the terminal.
        color: with ANSI colours.
    """
    heads = ["instance", "cpus", "memory", "threads"]
    if topology is not None:
        heads = ["instance", "cpus", "cores", "on node", "memory", "threads"]
    rows = [_row(instance, topology) for instance in plan.instances]
    if any(instance.accelerator for instance in plan.instances):
        heads.append("accelerator")
        rows = [[*row, instance.accelerator] for row, instance in zip(rows, plan.instances, strict=True)]
    right = ("instance", "cores", "threads")
    text = table_text(heads, rows, right=right, lists=("cpus",), width=width, color=color)
    return text + "\n" + "\n".join(wrapped(idle_line(plan, topology), width)) + "\n"


def idle_line(plan: Plan, topology: Topology | None = None) -> str:
    """ "idle: 4 cpus (52-55)", or that every allowed cpu is used.

    Args:
        plan: its idle cpus are named.
        topology: the machine it was made for; with it, cpus of idle cores are told apart from the second threads of
            cores that are used.
    """
    if not plan.idle_cpus:
        return "idle: none, every allowed cpu is used"
    cores = frozenset() if topology is None else topology.cores_of(plan.used_cpus)
    used = {cpu for cpu in plan.idle_cpus if topology is not None and topology.cores_of([cpu]) & cores}
    whole = plan.idle_cpus - used
    words = [f"{grouped(len(whole), 'cpu')} ({format_list(whole)})"] if whole else []
    words += [f"{grouped(len(used), 'sibling')} of used cores ({format_list(used)})"] if used else []
    return "idle: " + ", and ".join(words)


def _row(instance: Instance, topology: Topology | None) -> list[str]:
    row = [str(instance.index), format_list(instance.cpus)]
    if topology is not None:
        row += [str(len(topology.cores_of(instance.cpus))), format_list(topology.nodes_of(instance.cpus))]
    row.append(memory_phrase(instance.memory, instance.nodes))
    return [*row, str(instance.threads)]


def memory_phrase(policy: str, nodes: Collection[int]) -> str:
    """ "bind to node 0", "interleave over nodes 0-1", "local", "none"."""
    if not nodes or policy in ("local", "none"):
        return policy
    between = {"bind": "to", "preferred": "", "preferred-many": ""}.get(policy, "over")
    noun = "node" if len(nodes) == 1 else "nodes"
    return " ".join(word for word in (policy, between, noun, format_list(nodes)) if word)
