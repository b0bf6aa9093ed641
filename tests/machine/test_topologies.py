"""The machines that come with ipexlaunch, in topologies/."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from ipexlaunch.machine.probe.read_machine import open_topology
from ipexlaunch.machine.probe.sources import shipped_machines
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import parse_topology, topology_to_yaml

FOLDER = Path(__file__).parents[2] / "topologies"
FILES = sorted(FOLDER.glob("*.yaml"))
NAMES = [file.stem for file in FILES]
SHAPE = re.compile(r"-(\d+)s(?:-(\d+)n)?-([0-9+pe]+|\d+c|\d+(?:\+\d+)+c)(?:-(\d+)t)")
every_machine = pytest.mark.parametrize("name", NAMES)


def read(name: str) -> Topology:
    return parse_topology((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), name)


def test_there_are_machines_of_every_kind_that_the_project_promises_to_tell_apart() -> None:
    assert len(NAMES) >= 20
    assert set(NAMES) == set(shipped_machines())


@every_machine
def test_a_shipped_machine_is_written_as_the_program_writes_it(name: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    assert topology_to_yaml(parse_topology(text, name)) == text


@every_machine
def test_a_shipped_machine_says_first_where_its_facts_come_from(name: str) -> None:
    schema, about, *_ = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert schema == "schema: ipexlaunch/topology/1"
    assert re.match(r'about: "(Captured|Made up|From (the vendor\'s )?published|From a published)', about)


@every_machine
def test_the_name_of_a_shipped_machine_is_its_shape(name: str) -> None:
    machine = read(name)
    shape = SHAPE.search(name)
    assert shape, "a name holds Ns-Nn-Nc-Nt"
    sockets, nodes_per_socket, cores, threads = shape.groups()
    assert len({cpu.socket for cpu in machine.cpus}) == int(sockets)
    per_node = Counter(machine.by_cpu[core].node for core in machine.cores)
    if nodes_per_socket:
        assert len(per_node) == int(sockets) * int(nodes_per_socket)
    sizes = [int(size) for size in re.findall(r"\d+", cores)]
    if "p" in cores:
        kinds = Counter(machine.by_cpu[core].kind for core in machine.cores)
        assert [kinds["performance"], kinds["efficiency"]] == sizes
    elif not machine.offline_cpus and not nodes_per_socket:
        per_socket = Counter(machine.by_cpu[core].socket for core in machine.cores)
        assert set(per_socket.values()) == set(sizes)
    elif not machine.offline_cpus:
        assert list(per_node.values()) == sizes * (len(per_node) // len(sizes))
    assert max(len(siblings) for siblings in machine.cores.values()) == int(threads)


@every_machine
def test_a_shipped_machine_is_found_by_its_name(name: str) -> None:
    assert open_topology(name).fingerprint == read(name).fingerprint


@every_machine
def test_the_distances_of_a_shipped_machine_are_whole(name: str) -> None:
    machine = read(name)
    ids = {node.id for node in machine.nodes}
    for node in machine.nodes:
        assert set(node.distances) == ids
        assert node.distances[node.id] == 10
        assert all(far > 10 for other, far in node.distances.items() if other != node.id)


def test_the_readme_lists_every_machine_once() -> None:
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)) == NAMES
