"""The ACPI table of cpus (MADT) that makes Linux number a guest's cpus as a shape asks.

Linux gives cpu numbers in the order of this table's entries. QEMU fixes that order, but the kernel takes a newer table
from the front of its initramfs (Documentation/admin-guide/acpi/initrd_table_override.rst).
Source of the layout: ACPI specification 6.4, 5.2.12 (Multiple APIC Description Table).
"""

from __future__ import annotations

import struct

from tests.guest.shape import Shape

LOCAL_APIC_ADDRESS = 0xFEE00000
IO_APIC_ADDRESS = 0xFEC00000
PCAT_COMPATIBLE = 1
ENABLED = 1
LEVEL_TRIGGERED_ACTIVE_HIGH = 0b1101
TIMER_OVERRIDE = (0, 2, 0)
"""IRQ 0 arrives at pin 2: (irq, pin, flags)."""
PCI_OVERRIDES = tuple((irq, irq, LEVEL_TRIGGERED_ACTIVE_HIGH) for irq in (5, 9, 10, 11))


def madt(shape: Shape) -> bytes:
    """The table with one entry per cpu, in the order of Linux's numbers.

    Linux replaces a table of the same signature, OEM id and OEM table id if the OEM revision is higher, so these are
    QEMU's own names ("BOCHS ", "BXPC    ", revision 1) with revision 2.
    """
    entries = [_entry(0, struct.pack("<BBI", cpu.uid, cpu.apic_id, ENABLED)) for cpu in shape.cpus]
    entries.append(_entry(1, struct.pack("<BBII", 0, 0, IO_APIC_ADDRESS, 0)))
    entries += [_entry(2, struct.pack("<BBIH", 0, *override)) for override in (TIMER_OVERRIDE, *PCI_OVERRIDES)]
    entries.append(_entry(4, struct.pack("<BHB", 0xFF, 0, 1)))  # every cpu's NMI comes in at LINT1
    body = struct.pack("<II", LOCAL_APIC_ADDRESS, PCAT_COMPATIBLE) + b"".join(entries)
    return _with_header(b"APIC", body)


def _entry(kind: int, content: bytes) -> bytes:
    return bytes((kind, len(content) + 2)) + content


def _with_header(signature: bytes, body: bytes) -> bytes:
    header = struct.Struct("<4sIBB6s8sI4sI")
    length = header.size + len(body)

    def table(checksum: int) -> bytes:
        return header.pack(signature, length, 1, checksum, b"BOCHS ", b"BXPC    ", 2, b"BXPC", 1) + body

    return table(-sum(table(0)) % 256)
