"""Instance and Plan: the answer of the planner, a document that can be read, edited, stored and replayed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from ipexlaunch.documents.fields import OMITTED, Bounds, NonNegativeInt, OneOf, PositiveInt, TextOrInt
from ipexlaunch.machine.cpulist import Ids, parse_list
from ipexlaunch.plan.request import MEMORY_POLICIES, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One planned slice of the machine."""

    index: NonNegativeInt
    """0, 1, 2, ... in the order of the plan."""
    cpus: Ids
    """The cpus that its worker may run on."""
    nodes: Ids
    """The nodes that its memory comes from; empty where the machine has no node directories."""
    memory: Annotated[str, OneOf(*MEMORY_POLICIES)] = "bind"
    """Memory policy."""
    threads: PositiveInt
    """OMP_NUM_THREADS of its worker."""
    accelerator: Annotated[str, Bounds(pattern=r"^((xpu|cuda):[0-9]{1,4})?$")] = field(default="", metadata=OMITTED)
    """The accelerator that it drives, by torch's word and its number by PCI address ("xpu:0"); "" for none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Every instance, and what was left over."""

    topology: TextOrInt
    """Fingerprint of the machine that it was made for."""
    request: Request = field(default_factory=Request)
    instances: tuple[Instance, ...]
    idle_cpus: Ids = frozenset()
    """Allowed cpus that no instance uses."""

    @property
    def used_cpus(self) -> frozenset[int]:
        """The cpus of all instances."""
        return frozenset().union(*(instance.cpus for instance in self.instances))

    @property
    def chosen(self) -> tuple[Instance, ...]:
        """The instances to start: those that --instance-idx names, or all."""
        text = self.request.instance_idx
        if text is None or text.strip() == "-1":
            return self.instances
        wanted = parse_list(text, "--instance-idx")
        return tuple(instance for instance in self.instances if instance.index in wanted)
