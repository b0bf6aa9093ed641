"""What the workers of each shape are bound to, and where the kernel documents that their pages then lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.shape import Shape

WORKER_MIB = 200
SHARED_OUT_MIB = 48
"""Enough for the shares of a policy to show; touching memory takes a guest most of its time."""
WEIGHTS = (3, 1)
"""Set for the two nodes of weighted interleave, in ascending order of the nodes."""

Policy = Literal["bind", "preferred", "preferred-many", "interleave", "weighted-interleave", "local"]


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One worker's binding."""

    policy: Policy
    cpus: frozenset[int]
    nodes: tuple[int, ...]
    """Ascending."""
    mib: int = WORKER_MIB

    @property
    def name(self) -> str:
        """Unique among the scenarios of a shape."""
        return f"{self.policy} {self.mib} MiB on node {','.join(map(str, self.nodes))}"

    @property
    def shares(self) -> dict[int, float]:
        """Expected share of the pages by node, where all of them fit.

        Source: Documentation/admin-guide/mm/numa_memory_policy.rst; weights: Documentation/ABI/testing/
        sysfs-kernel-mm-mempolicy-weighted-interleave.
        """
        if self.policy == "interleave":
            return dict.fromkeys(self.nodes, 1 / len(self.nodes))
        if self.policy == "weighted-interleave":
            return {node: weight / sum(WEIGHTS) for node, weight in zip(self.nodes, WEIGHTS, strict=True)}
        return {self.nodes[0]: 1.0}


def allowed_cpus(shape: Shape) -> frozenset[int]:
    """The running cpus inside the shape's cpuset."""
    return shape.online & parse_list(shape.cpuset_cpus) if shape.cpuset_cpus else shape.online


def allowed_nodes(shape: Shape) -> tuple[int, ...]:
    """The nodes with memory inside the shape's cpuset, ascending."""
    inside = parse_list(shape.cpuset_mems) if shape.cpuset_mems else None
    return tuple(node for node, size in enumerate(shape.node_sizes_mib) if size and (inside is None or node in inside))


def scenarios(shape: Shape) -> tuple[Scenario, ...]:
    """Bind to a node of one's own and to the farthest one, and every other policy over two nodes."""
    nodes = allowed_nodes(shape)
    first, last = nodes[0], nodes[-1]
    cpus = allowed_cpus(shape) & shape.online_of_node(first)
    farthest = max(nodes, key=lambda node: (shape.distance(first, node), node))
    found = [
        Scenario(policy="bind", cpus=cpus, nodes=(first,)),
        Scenario(policy="bind", cpus=cpus, nodes=(farthest,)),
        Scenario(policy="preferred", cpus=cpus, nodes=(farthest,), mib=SHARED_OUT_MIB),
        Scenario(policy="interleave", cpus=cpus, nodes=(first, last), mib=SHARED_OUT_MIB),
        Scenario(policy="weighted-interleave", cpus=cpus, nodes=(first, last), mib=SHARED_OUT_MIB),
    ]
    return tuple(found)


def nearest_memory(shape: Shape, node: int) -> int:
    """The allowed node with memory that is nearest to a node; itself where it has some."""
    return min(allowed_nodes(shape), key=lambda other: (shape.distance(node, other), other))
