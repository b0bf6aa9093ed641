"""Snapshots read back to the same value and tell nothing of whose machine it is."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given

from ipexlaunch.errors import IpexLaunchError, RequestError
from ipexlaunch.machine.probe import open_topology, probe
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.probe.capture import record, save_snapshot
from ipexlaunch.machine.probe.tree import DirectoryFiles
from ipexlaunch.machine.topology import Topology
from tests.machine.probe.rich_machine import RICH, rich_files
from tests.strategies import topologies
from tests.sysfs_writer import sysfs_files


@given(topologies())
def test_a_generated_machine_survives(topology: Topology) -> None:
    files = ArchiveFiles("made:", sysfs_files(topology), {})
    assert probe(record(files)) == probe(files)


def test_this_machine_survives_and_the_same_machine_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = str(tmp_path / "one.tar.gz"), str(tmp_path / "two.tgz")
    count = save_snapshot(DirectoryFiles("/"), one)
    assert save_snapshot(DirectoryFiles("/"), two) == count
    assert Path(one).read_bytes() == Path(two).read_bytes()
    live = open_topology("live")
    assert replace(open_topology(one), source="live") == live
    with tarfile.open(one) as archive:
        assert sum(member.isreg() for member in archive) == count


PRIVATE = {
    "proc/sys/kernel/hostname": b"node17.example.org\n",
    "proc/cpuinfo": b"processor\t: 0\nFeatures\t: asimd\nmodel name\t: Arm\nmicrocode\t: 0x7\n\n"
    b"Serial\t\t: 00004711cafe\n",
    "proc/self/status": b"Name:\tpython\nPid:\t4711\nCpus_allowed:\tff\nCpus_allowed_list:\t0-5\n"
    b"Mems_allowed_list:\t0-3\n",
    "proc/self/cgroup": b"0::/slurm_node17/job\n7:pids:/user-cafe.slice\n1:name=systemd:/cafe\n",
    "proc/self/mountinfo": b"36 35 98:0 / /home rw - nfs4 filer.example.org:/cafe rw,addr=10.9.8.7\n"
    b"37 35 0:9 / /sys/fs/cgroup rw - cgroup2 none rw\n",
    "sys/fs/cgroup/slurm_node17/job/cpuset.cpus.effective": b"2-5\n",
    "sys/fs/cgroup/slurm_node17/job/cpuset.mems.effective": b"0-1\n",
    "sys/class/dmi/id/product_serial": b"cafe\n",
    "sys/devices/system/node/node0/meminfo": b"Node 0 MemTotal: 1024 kB\nNode 0 MemCafe: 3 kB\n",
}


def test_nothing_tells_whose_machine_it_is() -> None:
    files = ArchiveFiles("made:", {**rich_files(), **PRIVATE}, {})
    snapshot = record(files)
    kept = b"\n".join(path.encode() + content for path, content in snapshot.files.items())
    for word in (b"node17", b"example", b"cafe", b"10.9.8.7", b"4711", b"microcode", b"python"):
        assert word not in kept
    before, after = probe(files), probe(snapshot)
    assert after.limits[1].file == "sys/fs/cgroup/slurm_host/job/cpuset.cpus.effective"
    assert before.limits[1].file == "sys/fs/cgroup/slurm_node17/job/cpuset.cpus.effective"
    assert replace(after, limits=()) == replace(before, limits=())


def test_old_mount_tables_are_cleaned_too() -> None:
    tables = {
        "proc/self/mountinfo": None,
        "proc/self/cgroup": None,
        "proc/mounts": b"none /dev/my\\040cpuset cpuset rw 0 0\nfiler:/cafe /home nfs rw,addr=10.9.8.7 0 0\n",
        "proc/self/cpuset": b"/dummy\n",
        "dev/my cpuset/dummy/cpus": b"2-5\n",
        "dev/my cpuset/dummy/mems": b"0-1\n",
    }
    content = {path: data for path, data in {**rich_files(), **tables}.items() if data is not None}
    files = ArchiveFiles("made:", content, {})
    snapshot = record(files)
    assert snapshot.files["proc/mounts"] == b"none /dev/my\\040cpuset cpuset rw 0 0\n"
    assert probe(snapshot) == probe(files)
    assert probe(files).allowed_cpus == RICH.allowed_cpus


def test_a_machine_without_cgroups_leaves_an_empty_table() -> None:
    content = {**rich_files(), "proc/self/mountinfo": b"36 35 98:0 / / rw - ext4 none rw\n", "proc/mounts": b"x\n"}
    snapshot = record(ArchiveFiles("made:", content, {}))
    assert snapshot.files["proc/self/mountinfo"] == b"\n"
    content["proc/self/cgroup"] = b"1:name=systemd:/\n"
    content["proc/self/mountinfo"] = b"37 35 0:9 / /sys/fs/cgroup rw - cgroup2 none rw\n"
    assert record(ArchiveFiles("made:", content, {})).files["proc/self/cgroup"] == b"\n"


def test_where_it_cannot_be_written_is_said(tmp_path: Path) -> None:
    files = ArchiveFiles("made:", rich_files(), {})
    with pytest.raises(RequestError, match=r"the name does not end in .tar.gz; try 'x.zip.tar.gz'"):
        save_snapshot(files, "x.zip")
    (tmp_path / "file").touch()
    with pytest.raises(IpexLaunchError, match="file"):
        save_snapshot(files, str(tmp_path / "file" / "x.tar.gz"))
