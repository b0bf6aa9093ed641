"""Accelerators: PCI devices of the display and processing classes that can compute, with the node they hang on.

Source: Documentation/ABI/testing/sysfs-bus-pci of the Linux kernel; the PCI code and ID assignment specification.
"""

from __future__ import annotations

from ipexlaunch.machine.probe.kernel_text import shortened
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Accelerator

PCI = "sys/bus/pci/devices"
DISPLAY, PROCESSING = 0x03, 0x12
"""PCI base classes."""
VENDORS = {0x8086: "intel", 0x10DE: "nvidia", 0x1002: "amd"}
"""Of the display class only these count: the others are consoles of baseboard controllers and virtual machines."""


def read_accelerators(tree: Tree) -> tuple[Accelerator, ...]:
    """Ascending by address; empty where the tree has no PCI bus."""
    found = []
    for address in sorted(tree.names(PCI) or ()):
        base_class = _hex(tree, f"{PCI}/{address}/class") >> 16
        if base_class not in (DISPLAY, PROCESSING):
            continue
        if not tree.has(f"{PCI}/{address}/vendor") and not tree.has(f"{PCI}/{address}/device"):
            continue  # saved trees that keep the class only: nothing tells a GPU from a console
        code = _hex(tree, f"{PCI}/{address}/vendor")
        if code in VENDORS or base_class == PROCESSING:
            node = tree.optional_number(f"{PCI}/{address}/numa_node")
            found.append(
                Accelerator(
                    address=address,
                    vendor=VENDORS.get(code, f"0x{code:04x}"),
                    device=f"0x{_hex(tree, f'{PCI}/{address}/device'):04x}",
                    node=None if node is None or node < 0 else node,
                )
            )
    return tuple(found)


def _hex(tree: Tree, path: str) -> int:
    text = tree.text(path)
    digits = text.removeprefix("0x")
    if not 0 < len(digits) <= 8 or not all(c in "0123456789abcdefABCDEF" for c in digits):
        raise tree.problem(path, f"it holds {shortened(text)}, which is no hexadecimal number")
    return int(digits, 16)
