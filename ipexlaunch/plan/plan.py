"""Instance and Plan: the answer of the planner, a document that can be read, edited, stored and replayed.

What `{index}`, `{cpus}` ... stand for in a program's arguments and variables, for runs and for exports.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from ipexlaunch.documents.fields import OMITTED, Bounds, NonNegativeInt, OneOf, PositiveInt, TextOrInt
from ipexlaunch.machine.cpulist import Ids, format_list, parse_list
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


NAMES = ("index", "count", "cpus", "nodes", "threads", "port")

TEMPLATE = rf"(\{{?)\{{({'|'.join(NAMES)})\}}(\}}?)"
"""`{index}` in an argument; `{{index}}` stands for itself, and every other brace is left as it is."""

FIRST_PORT = 29500
"""Port of instance 0 where none is asked for: the default of torch's launchers."""


def values_of(instance: Instance, count: int, first_port: int) -> dict[str, str]:
    """What each name stands for.

    Args:
        instance: the worker's.
        count: of all instances.
        first_port: port of instance 0.
    """
    return {
        "index": str(instance.index),
        "count": str(count),
        "cpus": format_list(instance.cpus),
        "nodes": format_list(instance.nodes),
        "threads": str(instance.threads),
        "port": str(first_port + instance.index),
    }


def fill_template(text: str, values: Mapping[str, str]) -> str:
    """The text with `{index}`, `{cpus}` ... replaced, `{{index}}` turned into `{index}`, the rest byte for byte."""

    def replace(match: re.Match[str]) -> str:
        opening, name, closing = match.groups()
        if opening and closing:
            return "{" + name + "}"
        return opening + values[name] + closing

    return re.sub(TEMPLATE, replace, text) if "{" in text else text


def names_in(text: str) -> set[str]:
    """Which names stand in a text to be replaced."""
    return {match[2] for match in re.finditer(TEMPLATE, text) if not (match[1] and match[3])}
