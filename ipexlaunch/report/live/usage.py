"""What a worker uses of the machine at one moment, as a value: cpu time and memory by node."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ipexlaunch.documents.fields import in_documents


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """A worker and the processes below it, as somebody who looks on sees them."""

    busy_cpus: float | None = None
    """How many cpus it kept busy since the previous look, e.g. 13.9; None at the first."""
    cpu_s: float = 0.0
    """User and system time so far, with that of ended processes that were waited for; it never falls."""
    memory: Mapping[int, int] | None = field(default=None, metadata=in_documents(key="memory_bytes_by_node"))
    """Anonymous memory in bytes by node; None where the kernel does not tell."""

    def local_share(self, nodes: Collection[int]) -> float | None:
        """Share of the anonymous memory that is on these nodes, 0 to 1; None where it is unknown."""
        total = sum((self.memory or {}).values())
        if self.memory is None or not total or not nodes:
            return None
        return sum(self.memory.get(node, 0) for node in nodes) / total
