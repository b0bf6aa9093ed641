"""The machine as a value: what is present, what is allowed, and where it came from.

Words, with one meaning each: *cpu* a logical CPU; *core* a physical core, whose id is the lowest cpu id among its
siblings; *thread* a software thread; *node* a NUMA node, never a host; *socket* a package.
"""

from ipexlaunch.topology.machine import Accelerator, Cpu, Limit, Node, Topology

__all__ = ["Accelerator", "Cpu", "Limit", "Node", "Topology"]
