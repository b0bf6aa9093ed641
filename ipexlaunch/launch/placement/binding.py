"""What the kernel accepted of a worker's binding, cpus and memory apart."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.machine.cpulist import Ids


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What the kernel accepted when a worker was started; cpus and memory are told apart."""

    cpus: Ids
    """Affinity as read back after setting it."""
    memory: str
    """Policy as read back: the planned one, a weaker one, or "none"."""
    nodes: Ids
    """Nodes of the policy as read back."""
    refused: str = ""
    """Why the memory policy is weaker than planned; empty where it is as planned."""
