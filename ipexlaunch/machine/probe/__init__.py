"""Reading machines: sysfs and procfs under one root, live or saved, and every other source of a Topology."""

from ipexlaunch.machine.probe.read_machine import open_topology, probe

__all__ = ["open_topology", "probe"]
