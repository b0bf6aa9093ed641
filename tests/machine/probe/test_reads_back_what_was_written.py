"""probe(write(t)) == t, for generated and shipped machines, in memory, as a directory and as an archive."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.machine.probe import open_topology, probe
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.probe.sources import shipped_machines
from ipexlaunch.machine.topology import Topology
from ipexlaunch.machine.topology_file import parse_topology, topology_to_json, topology_to_yaml
from tests.strategies import topologies
from tests.sysfs_writer import sysfs_files, write_sysfs


def as_probed(topology: Topology, source: str) -> Topology:
    """What the probe adds to a machine that was described by its bare facts."""
    online = frozenset(cpu.id for cpu in topology.cpus)
    present = topology.present_cpus or online | topology.offline_cpus
    return replace(
        topology,
        source=source,
        about="",
        present_cpus=present,
        possible_cpus=topology.possible_cpus or present,
    )


def probe_in_memory(topology: Topology) -> Topology:
    return probe(ArchiveFiles("made:", sysfs_files(topology), {}))


@given(topologies())
def test_a_generated_machine_is_read_back(topology: Topology) -> None:
    # Generated caches are shared at random, which is a sign of unlike cores.
    assert replace(probe_in_memory(topology), gaps=()) == as_probed(topology, "sysfs:made")


@given(topologies(), st.randoms(use_true_random=False))
def test_the_order_in_which_a_machine_is_read_changes_nothing(topology: Topology, random: object) -> None:
    files = list(sysfs_files(topology).items())
    random.shuffle(files)  # type: ignore[attr-defined]
    shuffled = probe(ArchiveFiles("made:", dict(files), {}))
    assert shuffled == probe_in_memory(topology)
    assert shuffled.fingerprint == topology.fingerprint


@given(topologies())
def test_a_generated_machine_survives_both_documents(topology: Topology) -> None:
    assert parse_topology(topology_to_yaml(topology), "made") == topology
    assert parse_topology(topology_to_json(topology), "made") == topology


@given(topologies(restricted=False))
def test_the_fingerprint_tells_nothing_but_ids(topology: Topology) -> None:
    bare = replace(
        topology,
        cpus=tuple(replace(c, l2=None, l3=None, kind=None, die=None, cluster=None) for c in topology.cpus),
        nodes=tuple(replace(n, memory_bytes=1024, distances={}) for n in topology.nodes),
        isa=frozenset(),
        present_cpus=frozenset(),
        accelerators=(),
    )
    assert bare.fingerprint == topology.fingerprint


@pytest.mark.parametrize("name", shipped_machines())
def test_a_shipped_machine_is_read_back(name: str) -> None:
    topology = open_topology(name)
    probed = probe_in_memory(topology)
    assert replace(probed, limits=topology.limits or probed.limits) == probed, "limits that are told are read"
    assert replace(probed, limits=topology.limits) == as_probed(topology, "sysfs:made")


def test_a_directory_and_an_archive_of_it_are_the_same_machine(tmp_path: Path) -> None:
    machine = open_topology("2s 3+2c 2t")
    write_sysfs(machine, tmp_path / "root")
    from_directory = open_topology(str(tmp_path / "root"))
    assert from_directory == as_probed(machine, f"sysfs:{tmp_path / 'root'}")
    for mode, name in (("w", "a.tar"), ("w:gz", "a.tar.gz"), ("w:bz2", "a.tar.bz2"), ("w:xz", "a.tar.xz")):
        for inside in (".", "machine"):
            path = tmp_path / name
            with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
                archive.add(tmp_path / "root", arcname=inside)
            assert open_topology(str(path)) == replace(from_directory, source=f"sysfs:{path}")
