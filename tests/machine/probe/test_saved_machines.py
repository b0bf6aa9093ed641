"""Real machines that nobody here wrote: what is read of each equals what its truth file says.

The machines lie beside the checkout, in ../shared/topologies/dev, or in the folder that IPEXLAUNCH_TOPOLOGIES names.
They are not part of the repository; where they are missing, the tests say so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.machine.probe import open_topology
from ipexlaunch.machine.probe.capture import save_snapshot
from ipexlaunch.machine.probe.sources import files_of
from ipexlaunch.machine.topology import Cpu, Topology
from ipexlaunch.machine.topology_file import parse_topology, topology_to_json, topology_to_yaml

VARIABLE = "IPEXLAUNCH_TOPOLOGIES"
FOLDER = Path(os.environ.get(VARIABLE) or Path(__file__).resolve().parents[3] / "../shared/topologies/dev")
MACHINES = sorted(path.name.removesuffix(".truth.json") for path in FOLDER.glob("*.truth.json"))

pytestmark = pytest.mark.skipif(
    not MACHINES, reason=f"no machines in {FOLDER}; name their folder in the environment variable {VARIABLE}"
)


def differences(truth: dict[str, Any], machine: Topology) -> Iterator[tuple[str, object, object]]:
    """(fact, wanted, got) for every fact that the truth file has."""
    online = frozenset(cpu.id for cpu in machine.cpus)
    yield "online", parse_list(truth["online_cpus"]), online
    yield "cores", _sets(core["pus"] for core in truth["cores"]), _groups(machine.cpus, "core")
    yield "core ids", {min(cpus) for cpus in machine.cores.values()}, set(machine.cores)
    yield "packages", _sets(_ids(p["cpus"]) for p in truth["packages"]), _groups(machine.cpus, "socket")
    if truth.get("offline_cpus"):
        yield "offline", parse_list(truth["offline_cpus"]), machine.offline_cpus
    for level in ("l2", "l3"):
        if truth.get(level):
            yield level, _sets(_ids(cache["cpus"]) for cache in truth[level]), _groups(machine.cpus, level)
    if truth.get("dies"):
        yield "dies", _sets(_ids(die["cpus"]) for die in truth["dies"]), _groups(machine.cpus, "die")
    if (truth.get("raw") or {}).get("node_dirs") and truth.get("numa_nodes"):
        yield from _node_differences(truth, machine, online)
    if truth.get("allowed_cpus"):
        yield "allowed cpus", parse_list(truth["allowed_cpus"]) & online, machine.allowed_cpus
    if "cpu_quota" in truth:
        yield "quota", truth["cpu_quota"]["cpus"], machine.cpu_quota


def _node_differences(
    truth: dict[str, Any], machine: Topology, online: frozenset[int]
) -> Iterator[tuple[str, object, object]]:
    nodes = {node["os_index"]: node for node in truth["numa_nodes"]}
    yield "nodes", set(nodes), set(machine.by_node)
    for number, node in nodes.items():
        cpus = {cpu.id for cpu in machine.cpus if cpu.node == number}
        yield f"cpus of node {number}", _ids(node["cpus"]) & online, cpus
        yield f"memory of node {number}", node["memory_bytes"], machine.by_node[number].memory_bytes
    if truth.get("distances"):
        order = truth["distances"]["nodes"]
        for number, row in zip(order, truth["distances"]["matrix"], strict=True):
            wanted = dict(zip(order, row, strict=True))
            yield f"distances of node {number}", wanted, machine.by_node[number].distances
    if truth.get("allowed_mems"):
        yield "allowed nodes", parse_list(truth["allowed_mems"]), machine.allowed_nodes


@pytest.mark.parametrize("name", MACHINES)
def test_the_probe_says_what_the_truth_file_says(name: str) -> None:
    truth = json.loads((FOLDER / f"{name}.truth.json").read_text())
    found = list(differences(truth, open_topology(str(FOLDER / f"{name}.tar.xz"))))
    assert [fact for fact in found if fact[1] != fact[2]] == []


@pytest.mark.parametrize("name", MACHINES)
def test_a_saved_machine_survives_snapshot_and_documents(name: str, tmp_path: Path) -> None:
    source = str(FOLDER / f"{name}.tar.xz")
    machine, files, copy = open_topology(source), files_of(source), str(tmp_path / "copy.tar.gz")
    assert files is not None
    save_snapshot(files, copy)
    assert replace(open_topology(copy), source=machine.source) == machine
    assert parse_topology(topology_to_yaml(machine), "yaml") == machine
    assert parse_topology(topology_to_json(machine), "json") == machine


def _ids(text: str | None) -> frozenset[int]:
    return parse_list(text or "")


def _sets(groups: Iterable[Iterable[int]]) -> list[tuple[int, ...]]:
    return sorted(tuple(sorted(group)) for group in groups)


def _groups(cpus: Iterable[Cpu], key: str) -> list[tuple[int, ...]]:
    groups: dict[int, list[int]] = {}
    for cpu in cpus:
        if getattr(cpu, key) is not None:
            groups.setdefault(getattr(cpu, key), []).append(cpu.id)
    return _sets(groups.values())
