"""Reading machines: sysfs and procfs under one root, live or saved, and every other source of a Topology."""

from __future__ import annotations

from typing import Any

from ipexlaunch.machine.probe.read_machine import probe
from ipexlaunch.machine.probe.sources import open_topology

__all__ = ["open_topology", "probe"]


def __getattr__(name: str) -> Any:
    """`probe`, loaded when it is asked for: a machine from a document needs no reader of sysfs."""
    if name == "probe":
        return probe
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
