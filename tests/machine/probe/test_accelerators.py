"""Accelerators on the PCI bus, and what is no accelerator."""

from __future__ import annotations

from ipexlaunch.machine.topology import Accelerator
from tests.machine.probe.small_tree import Text, cores, machine, problem


def device(address: str, base: str, vendor: str | None, number: str | None = "0x0bd5", node: str | None = "1") -> Text:
    folder = f"sys/bus/pci/devices/{address}"
    names = {"class": base, "vendor": vendor, "device": number, "numa_node": node}
    return {f"{folder}/{name}": text for name, text in names.items() if text is not None}


def test_gpus_and_processing_devices_are_found_and_consoles_are_not() -> None:
    found = machine(
        cores(1),
        device("0000:9a:00.0", "0x038000", "0x8086"),
        device("0000:4f:00.0", "0x030200", "0x10de", "0x2330", "-1"),
        device("0000:50:00.0", "0x120000", "0x1da3", "0x1020", None),
        device("0000:51:00.0", "0x030000", "0x1a03"),  # the console of a baseboard controller
        device("0000:52:00.0", "0x020000", "0x8086"),  # a network card
        device("0000:53:00.0", "0x030000", None, None),  # a dump that kept the class only
    )
    assert found.accelerators == (
        Accelerator(address="0000:4f:00.0", vendor="nvidia", device="0x2330", node=None),
        Accelerator(address="0000:50:00.0", vendor="0x1da3", device="0x1020", node=None),
        Accelerator(address="0000:9a:00.0", vendor="intel", device="0x0bd5", node=1),
    )


def test_what_is_malformed_is_named() -> None:
    assert "0/class: it holds 'zz', which is no hexadecimal number" in problem(cores(1), device("0", "zz", None))
    assert "0/vendor: there is no such file" in problem(cores(1), device("0", "0x030000", None))
