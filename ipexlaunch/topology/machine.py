"""Cpu, Node and Topology: one machine, as its kernel describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

Kind = Literal["performance", "efficiency"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """One online logical cpu."""

    id: int
    core: int
    """Lowest cpu id among the SMT siblings of its core, so that it is unique on the machine."""
    socket: int
    """physical_package_id, or the lowest cpu id of the package where the kernel gives none (-1)."""
    node: int | None = None
    """NUMA node; None where the machine has no node directories."""
    l2: int | None = None
    """Lowest cpu id that shares its L2 cache; None where unknown."""
    l3: int | None = None
    """Lowest cpu id that shares its L3 cache; None where unknown."""
    kind: Kind | None = None
    """On hybrid machines; None where all cores are alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One NUMA node. It may have no cpus (HBM, CXL, GPU memory) or no memory."""

    id: int
    memory_bytes: int
    """MemTotal; 0 for a memoryless node."""
    distances: Mapping[int, int] = field(default_factory=dict)
    """Node id to ACPI SLIT distance (10 = local); empty where the kernel gives none."""


@dataclass(frozen=True, kw_only=True)
class Topology:
    """One machine. Present and allowed are apart: `cpus` are the online ones, `allowed_cpus` those we may use."""

    cpus: tuple[Cpu, ...]
    """Ascending by id."""
    nodes: tuple[Node, ...] = ()
    """Ascending by id; empty where the machine has no node directories."""
    allowed_cpus: frozenset[int]
    allowed_nodes: frozenset[int]
    """Nodes whose memory we may use."""
    cpu_quota: float | None = None
    """In cpus (quota / period of the tightest cgroup); None where there is no limit."""
    isa: frozenset[str] = frozenset()
    """Instruction-set flags as the kernel spells them, those that matter to inference."""
    source: str = "made"
    """Where the facts come from: "live", "sysfs:DIR", "file:PATH", "made:2s 2n 28c 2t"."""
    about: str = ""

    @cached_property
    def by_cpu(self) -> Mapping[int, Cpu]:
        """Cpu id to Cpu."""
        return {cpu.id: cpu for cpu in self.cpus}

    @cached_property
    def by_node(self) -> Mapping[int, Node]:
        """Node id to Node."""
        return {node.id: node for node in self.nodes}

    @cached_property
    def cores(self) -> Mapping[int, frozenset[int]]:
        """Core id to the ids of its online cpus, ascending by core id."""
        siblings: dict[int, set[int]] = {}
        for cpu in self.cpus:
            siblings.setdefault(cpu.core, set()).add(cpu.id)
        return {core: frozenset(siblings[core]) for core in sorted(siblings)}

    @cached_property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that tell this machine's shape from another's.

        Over ids only (cpu, core, socket, node; node ids), so that a change of memory size, of what is allowed, or of
        the source leaves it alone.
        """
        rows = [f"{c.id},{c.core},{c.socket},{'-' if c.node is None else c.node}" for c in self.cpus]
        text = ";".join(rows) + "|" + ",".join(str(node.id) for node in self.nodes)
        return hashlib.sha256(text.encode()).hexdigest()[:16]
