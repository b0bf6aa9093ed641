"""Small trees written out by hand, for what no generated machine has: old kernels, hand-cut dumps, contradictions."""

from __future__ import annotations

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe import probe
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.topology import Topology

CPU = "sys/devices/system/cpu"
NODE = "sys/devices/system/node"

Text = dict[str, str | None]
"""Path to content without its last newline; None takes the file away."""


def cores(count: int, **changes: str) -> Text:
    """The least that a tree can hold: so many cpus in one socket, each a core.

    Args:
        count: how many.
        changes: content of another file of every cpu's topology directory by name, "{cpu}" stands for its id.
    """
    facts = {"physical_package_id": "0", "core_id": "{cpu}", **changes}
    return {
        f"{CPU}/cpu{cpu}/topology/{name}": text.format(cpu=cpu) for cpu in range(count) for name, text in facts.items()
    }


def topology(cpu: int, name: str) -> str:
    """Path of a file of a cpu's topology directory."""
    return f"{CPU}/cpu{cpu}/topology/{name}"


def machine(*parts: Text, where: str = "made:") -> Topology:
    """What the probe says of a tree; later parts win."""
    files: Text = {}
    for part in parts:
        files |= part
    content = {
        path: text.encode("utf-8", "surrogateescape") + b"\n" for path, text in files.items() if text is not None
    }
    return probe(ArchiveFiles(where, content, {}))


def problem(*parts: Text) -> str:
    """The message of the error that the probe ends with, without its beginning."""
    try:
        found = machine(*parts)
    except TopologyError as error:
        return str(error).removeprefix("cannot read the topology from made:")
    raise AssertionError(f"there was no error, but {found}")


def grouped(found: Topology, key: str) -> list[list[int]]:
    """Cpus by core, socket, die, ..., without those of which nothing is known."""
    groups: dict[int, list[int]] = {}
    for cpu in found.cpus:
        if getattr(cpu, key) is not None:
            groups.setdefault(getattr(cpu, key), []).append(cpu.id)
    assert all(key == "socket" or lowest == cpus[0] for lowest, cpus in groups.items())
    return list(groups.values())
