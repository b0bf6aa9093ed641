"""Instance and Plan: the answer of the planner, a document that can be read, edited, stored and replayed."""

from __future__ import annotations

from dataclasses import dataclass

from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.plan.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One planned slice of the machine."""

    index: int
    """0, 1, 2, ... in the order of the plan."""
    cpus: frozenset[int]
    """The cpus that its worker may run on."""
    nodes: frozenset[int]
    """The nodes that its memory comes from; empty where the machine has no node directories."""
    memory: str = "bind"
    """Memory policy: bind, preferred, preferred-many, interleave, weighted-interleave, local, none."""
    threads: int
    """OMP_NUM_THREADS of its worker."""
    accelerator: str = ""
    """The accelerator that it drives, by torch's word and its number by PCI address ("xpu:0"); "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every instance, and what was left over."""

    topology: str
    """Fingerprint of the machine that it was made for."""
    request: Request
    instances: tuple[Instance, ...]
    idle_cpus: frozenset[int]
    """Allowed cpus that no instance uses."""

    @property
    def chosen(self) -> tuple[Instance, ...]:
        """The instances to start: those that --instance-idx names, or all."""
        text = self.request.instance_idx
        if text is None or text.strip() == "-1":
            return self.instances
        wanted = parse_list(text, "--instance-idx")
        return tuple(instance for instance in self.instances if instance.index in wanted)
