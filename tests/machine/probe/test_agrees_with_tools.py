"""`ipexlaunch topology --format json` says what lstopo and numactl print of the same machine.

Run by pytest on the live host, and anywhere else (in a guest) as a script, which prints every difference and leaves
with 1 where there is one:

    python3 tests/machine/probe/test_agrees_with_tools.py [--program "python3 -m ipexlaunch"] [--tree DIR]
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[3]
LSTOPO = ("lstopo-no-graphics", "--of", "xml", "--disallowed", "--no-io")
PROGRAM = (sys.executable, "-m", "ipexlaunch")

Facts = dict[str, Any]
"""What is compared, by a phrase that names it."""


def lstopo_facts(text: str) -> Facts:
    """Facts of `lstopo --of xml --disallowed`; what the machine does not have is left out."""
    root = ElementTree.fromstring(text)
    objects: dict[str, list[ElementTree.Element]] = {}
    for item in root.iter("object"):
        objects.setdefault(item.get("type", ""), []).append(item)
    machine = objects["Machine"][0]
    facts: Facts = {
        "online cpus": {int(item.get("os_index", "-1")) for item in objects["PU"]},
        "cores": _sets(objects.get("Core", [])),
        "packages": _sets(objects.get("Package", [])),
        "L2 domains": _sets(objects.get("L2Cache", [])),
        "L3 domains": _sets(objects.get("L3Cache", [])),
        "cpus that the cgroup allows": _mask(machine.get("allowed_cpuset", "")),
        "node memory in bytes": {
            int(item.get("os_index", "-1")): int(item.get("local_memory", "0")) for item in objects["NUMANode"]
        },
    }
    for matrix in root.iter("distances2"):
        if matrix.get("type") == "NUMANode" and matrix.get("name") == "NUMALatency":
            ids = [int(word) for part in matrix.findall("indexes") for word in (part.text or "").split()]
            values = [int(word) for part in matrix.findall("u64values") for word in (part.text or "").split()]
            rows = [values[start : start + len(ids)] for start in range(0, len(values), len(ids))]
            facts["distances"] = {node: dict(zip(ids, row, strict=True)) for node, row in zip(ids, rows, strict=True)}
    return facts


def numactl_facts(hardware: str, show: str) -> Facts:
    """Facts of `numactl --hardware` and `numactl --show`; none where the kernel has no NUMA."""
    cpus: dict[int, set[int]] = {}
    mebibytes: dict[int, int] = {}
    distances: dict[int, dict[int, int]] = {}
    columns: list[int] = []
    for line in hardware.splitlines():
        words = line.replace(":", " ").split()
        if line.startswith("node ") and words[2:3] == ["cpus"]:
            cpus[int(words[1])] = {int(word) for word in words[3:]}
        elif line.startswith("node ") and words[2:3] == ["size"]:
            mebibytes[int(words[1])] = int(words[3])
        elif line.startswith("node ") and words[1:] and all(word.isdecimal() for word in words[1:]):
            columns = [int(word) for word in words[1:]]
        elif columns and words and words[0].isdecimal():
            values = [int(word) for word in words[1:]]
            distances[int(words[0])] = dict(zip(columns, values, strict=True))
    if not cpus:
        return {}
    facts: Facts = {"node cpus": cpus, "node memory in MiB": mebibytes}
    if distances:
        facts["distances"] = distances
    for line in show.splitlines():
        key, _, rest = line.partition(":")
        if key == "physcpubind":
            facts["allowed cpus"] = {int(word) for word in rest.split()}
        if key == "membind":
            facts["allowed nodes"] = {int(word) for word in rest.split()}
    return facts


def our_facts(document: Facts) -> Facts:
    """The same facts of `ipexlaunch topology --format json`."""
    cpus, nodes = document["cpus"], document["nodes"]
    online = {cpu["id"] for cpu in cpus}
    allowed = set(online)
    for limit in document["limits"]:
        if limit["kind"] == "cpuset":
            allowed &= _list(limit["cpus"])
    return {
        "online cpus": online,
        "cores": _grouped(cpus, "core"),
        "packages": _grouped(cpus, "socket"),
        "L2 domains": _grouped(cpus, "l2"),
        "L3 domains": _grouped(cpus, "l3"),
        "cpus that the cgroup allows": allowed,
        "node cpus": {node["id"]: {cpu["id"] for cpu in cpus if cpu["node"] == node["id"]} for node in nodes},
        "node memory in bytes": {node["id"]: node["memory_bytes"] for node in nodes},
        "node memory in MiB": {node["id"]: node["memory_bytes"] >> 20 for node in nodes},
        "distances": {
            node["id"]: {int(other): value for other, value in node["distances"].items()}
            for node in nodes
            if node["distances"]
        },
        "allowed cpus": _list(document["allowed_cpus"]),
        "allowed nodes": _list(document["allowed_nodes"]),
    }


def differences(theirs: Facts, ours: Facts) -> Iterator[str]:
    """A line for each fact that a tool prints and that ours contradicts."""
    for name, fact in theirs.items():
        if name.startswith("node ") and not ours["node cpus"]:
            continue  # no node directories: lstopo makes up one node
        if fact != ours[name]:
            yield f"{name}: the tool says {fact}, ipexlaunch says {ours[name]}"


def lstopo_differences(program: tuple[str, ...], tree: str | None = None) -> list[str]:
    """Where lstopo and ipexlaunch differ on the live machine, or on a saved tree."""
    ours = our_facts(json.loads(_run(*program, "topology", "--topology", tree or "live", "--format", "json")))
    theirs = lstopo_facts(_run(*LSTOPO, *(("-i", tree, "--if", "fsroot") if tree else ())))
    return list(differences(theirs, ours))


def numactl_differences(program: tuple[str, ...]) -> list[str]:
    """Where numactl and ipexlaunch differ on the live machine."""
    ours = our_facts(json.loads(_run(*program, "topology", "--format", "json")))
    return list(differences(numactl_facts(_run("numactl", "--hardware"), _run("numactl", "--show")), ours))


def test_lstopo_and_the_probe_agree_on_this_host() -> None:
    _require("lstopo-no-graphics", "hwloc-nox")
    assert lstopo_differences(PROGRAM) == []


def test_numactl_and_the_probe_agree_on_this_host() -> None:
    _require("numactl", "numactl")
    assert numactl_differences(PROGRAM) == []


def test_numactl_and_the_probe_agree_in_a_narrower_affinity() -> None:
    _require("numactl", "numactl")
    last = max(os.sched_getaffinity(0))
    pinned = ("taskset", "--cpu-list", str(last))
    ours = our_facts(json.loads(_run(*pinned, *PROGRAM, "topology", "--format", "json")))
    theirs = numactl_facts(_run("numactl", "--hardware"), _run(*pinned, "numactl", "--show"))
    assert ours["allowed cpus"] == {last}
    assert list(differences(theirs, ours)) == []


def test_a_difference_is_found() -> None:
    """The comparison itself can fail."""
    ours = our_facts(json.loads(_run(*PROGRAM, "topology", "--topology", "2s 2c 2t", "--format", "json")))
    theirs = numactl_facts(
        "available: 2 nodes (0-1)\nnode 0 cpus: 0 1 4 5\nnode 0 size: 65536 MB\nnode 0 free: 1 MB\n"
        "node 1 cpus: 2 3 6\nnode 1 size: 65535 MB\nnode distances:\nnode   0   1 \n  0:  10  21 \n  1:  21  11 \n",
        "policy: default\nphyscpubind: 0 1 2 3 4 5 6 7 \nmembind: 0 \n",
    )
    assert [line.partition(":")[0] for line in differences(theirs, ours)] == [
        "node cpus",
        "node memory in MiB",
        "distances",
        "allowed nodes",
    ]


def _require(tool: str, package: str) -> None:
    import pytest

    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed (package {package})")


def _run(*command: str) -> str:
    path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "LC_ALL": "C"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)} left with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _sets(items: list[ElementTree.Element]) -> list[list[int]]:
    return sorted(sorted(_mask(item.get("cpuset", ""))) for item in items)


def _grouped(cpus: list[Facts], key: str) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for cpu in cpus:
        if cpu[key] is not None:
            groups.setdefault(cpu[key], []).append(cpu["id"])
    return sorted(groups.values())


def _mask(text: str) -> set[int]:
    """hwloc's "0xf...f,0x00000003": words of 32 bits; an empty word is all ones further up, which no machine has."""
    bits = int("".join(f"{int(word or '0', 16):08x}" for word in text.split(",")), 16)
    return {bit for bit in range(bits.bit_length()) if bits >> bit & 1}


def _list(text: str) -> set[int]:
    spans = (part.partition("-") for part in text.split(",") if part)
    return {number for low, _, high in spans for number in range(int(low), int(high or low) + 1)}


def main() -> int:
    """Print the differences on this machine (or on a saved tree)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=shlex.join(PROGRAM), help="how to start ipexlaunch")
    parser.add_argument("--tree", help="a directory with sys/ and proc/ instead of this machine (lstopo only)")
    options = parser.parse_args()
    program = tuple(shlex.split(options.program))
    found = lstopo_differences(program, options.tree) + ([] if options.tree else numactl_differences(program))
    for line in found:
        print(line)
    print(f"{len(found)} differences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
