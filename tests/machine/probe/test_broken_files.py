"""One broken file at a time: an error that names the file, never a smaller machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe import probe
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.probe.capture import RecordingFiles
from ipexlaunch.machine.probe.tree import DirectoryFiles
from ipexlaunch.machine.topology import Topology
from tests.machine.probe.rich_machine import RICH, rich_files, sparse_files
from tests.sysfs_writer import Files, write_files

BREAKAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "truncated": lambda content: content[: len(content) // 2].rstrip(b"\n"),
    "without its last newline": lambda content: content.rstrip(b"\n"),
    "binary": lambda content: b"\x7fELF\x02\x01\x01\x00\x90\xff\n" + content,
    "with a NUL in it": lambda content: b"0\0" + content,
    "huge": lambda content: content * (3_000_000 // max(len(content), 1)),
    "of words": lambda _: b"no such thing\n",
}
MAY_BE_MISSING = (
    # Global facts that old kernels and reduced trees lack. What is allowed then is all there is.
    *("cpu/online", "cpu/present", "cpu/possible", "cpu/isolated", "smt/control", "node/online", "node/has_memory"),
    *("proc/cpuinfo", "proc/self/status", "proc/self/cgroup", "proc/self/mountinfo"),
    *("cpuset.cpus.effective", "cpuset.mems.effective", "cpu.max", "read_bandwidth", "read_latency", "numa_node"),
    *("cpu11/online",),  # of the offline cpu, which cpu/online does not name either
)
MAY_BE_HUGE = ("proc/cpuinfo", "proc/self/mountinfo", "proc/self/cgroup", "proc/self/status")
"""Repeated they are still such a file: one with many lines."""
MAY_BE_EMPTY = tuple(
    path
    for path in sparse_files()
    if path.startswith(("proc/", "sys/fs/cgroup/")) or path.endswith(("cpu11/online", "cpu/online"))
)
"""In a saved tree: plain tar leaves files of /proc and cgroups so; they count as missing, and that is said. The list of
online cpus may be a container's, and affinity is told."""
MAY_BE_WORDS = ("smt/control",)
FIRST_LINES_COUNT = ("proc/cpuinfo", "proc/self/status")
"""Binary data in front of them is one more line that nobody asks for; NULs are caught."""


def read_files(files: Files) -> list[str]:
    """Paths of the files that the probe reads, cpu and node directories of each kind once."""
    recorder = RecordingFiles(ArchiveFiles("made:", files, {}))
    assert probe(recorder) == RICH
    return sorted(recorder.contents)


SPARSE = sparse_files()
PATHS = read_files(SPARSE)
FOLDERS = {os.path.dirname(path) for path in SPARSE if "/topology/" not in path and "cpu11/" not in path}
"""They stay when their last file goes."""


def attempt(files: Files, links: dict[str, str] | None = None) -> Topology | TopologyError:
    try:
        return probe(ArchiveFiles("made:", files, links or {}, FOLDERS))
    except TopologyError as error:
        return error


def names_the_file(result: object, path: str) -> bool:
    return isinstance(result, TopologyError) and f"made:{path}" in str(result)


def test_both_trees_are_the_same_machine() -> None:
    assert probe(ArchiveFiles("made:", rich_files(), {})) == RICH
    assert probe(ArchiveFiles("made:", SPARSE, {})) == RICH
    assert len(PATHS) > 120


@pytest.mark.parametrize("how", BREAKAGES)
def test_a_broken_file_is_named(how: str) -> None:
    excused = {"huge": MAY_BE_HUGE, "of words": MAY_BE_WORDS, "empty": MAY_BE_EMPTY}.get(how, ())
    unnoticed = []
    for path in PATHS:
        broken = BREAKAGES[how](SPARSE[path])
        if broken == SPARSE[path] or path.endswith(excused):
            continue
        result = attempt({**SPARSE, path: broken})
        if not names_the_file(result, path):
            unnoticed.append((path, result if isinstance(result, TopologyError) else "no error"))
    assert unnoticed == []


def test_a_missing_file_is_named_where_no_other_says_the_same() -> None:
    unnoticed = []
    for path in PATHS:
        result = attempt({name: content for name, content in SPARSE.items() if name != path})
        if names_the_file(result, path):
            continue
        same_machine = isinstance(result, Topology) and (result.cpus, result.nodes) == (RICH.cpus, RICH.nodes)
        if not (path.endswith(MAY_BE_MISSING) and (same_machine or "read_" in path)):
            unnoticed.append((path, str(result)[:200]))
    assert unnoticed == []


def test_a_missing_file_whose_fact_stands_elsewhere_changes_nothing() -> None:
    files = rich_files()
    for path in read_files(files):
        result = attempt({name: content for name, content in files.items() if name != path})
        if path.endswith(MAY_BE_MISSING) or names_the_file(result, path):
            continue
        assert result == RICH, path


def test_a_looping_link_is_named() -> None:
    for path in PATHS:
        rest = {name: content for name, content in SPARSE.items() if name != path}
        assert names_the_file(attempt(rest, {path: os.path.basename(path)}), path), path


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("broken") / "root"
    write_files(SPARSE, folder)
    return folder


BREAK_ON_DISK: dict[str, Callable[[Path], None]] = {
    "a looping link": lambda path: path.symlink_to(path.name),
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a link out of the tree": lambda path: path.symlink_to("/sys/devices/system/cpu/online"),
    "a directory": lambda path: path.mkdir(),
    "a FIFO": lambda path: os.mkfifo(path),
    "empty": lambda path: path.touch(),
}


@pytest.mark.parametrize("how", BREAK_ON_DISK)
def test_on_disk_it_is_named_too(how: str, root: Path) -> None:
    paths = [
        path for path in PATHS if "/cpu0/" in path or ("/cpu1" not in path and "/cpu" not in path.replace("/cpu/", "/"))
    ]
    for path in [*paths, "sys/devices/system/cpu/online", "sys/devices/system/cpu/cpu14/topology/core_cpus"]:
        if how == "empty" and path in MAY_BE_EMPTY:
            continue
        file = root / path
        whole = file.read_bytes()
        file.unlink()
        BREAK_ON_DISK[how](file)
        try:
            with pytest.raises(TopologyError) as caught:
                probe(str(root))
            assert str(file) in str(caught.value)
        finally:
            file.rmdir() if file.is_dir() and not file.is_symlink() else file.unlink()
            file.write_bytes(whole)
    assert probe(str(root)).cpus == RICH.cpus


def test_links_inside_the_tree_are_followed(root: Path) -> None:
    folder = root / "sys/devices/system/node/node1"
    folder.rename(root / "elsewhere")
    folder.symlink_to("../../../../elsewhere")
    file = root / "sys/devices/system/cpu/cpu2/topology/core_cpus"
    file.rename(root / "one-file")
    file.symlink_to(root / "one-file")
    try:
        assert probe(str(root)).nodes == RICH.nodes
    finally:
        file.unlink()
        (root / "one-file").rename(file)
        folder.unlink()
        (root / "elsewhere").rename(folder)


def test_a_directory_that_leads_out_of_the_tree_is_named(root: Path) -> None:
    folder = root / "sys/devices/system/cpu/cpu4/topology"
    folder.rename(root / "elsewhere")
    folder.symlink_to("/sys/devices/system/cpu/cpu0/topology")
    try:
        with pytest.raises(TopologyError, match="leads out of the tree") as caught:
            probe(str(root))
        assert "cpu4/topology" in str(caught.value)
    finally:
        folder.unlink()
        (root / "elsewhere").rename(folder)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(root: Path) -> None:
    file = root / "sys/devices/system/cpu/online"
    file.chmod(0)
    try:
        with pytest.raises(TopologyError, match="Permission denied"):
            probe(str(root))
    finally:
        file.chmod(0o644)


def test_the_live_machine_must_have_procfs() -> None:
    for path in ("proc/self/status", "proc/cpuinfo"):
        files = {name: content for name, content in SPARSE.items() if name != path}
        with pytest.raises(TopologyError, match=f"/{path}: there is no such file"):
            probe(ArchiveFiles("/", files, {}))


def test_a_cpu_that_loses_its_directory_is_not_lost() -> None:
    files = {path: content for path, content in SPARSE.items() if "/cpu14/" not in path}
    with pytest.raises(TopologyError, match="cpu/cpu14: there is no such directory"):
        probe(ArchiveFiles("made:", files, {}))


def test_a_node_that_loses_its_directory_is_not_lost() -> None:
    files = {path: content for path, content in SPARSE.items() if "/node4/" not in path}
    with pytest.raises(TopologyError, match="node/node4: there is no such directory"):
        probe(ArchiveFiles("made:", files, {}))


def test_directory_files_of_no_directory_are_none(tmp_path: Path) -> None:
    files = DirectoryFiles(str(tmp_path / "nothing"))
    assert files.names("sys") is None
    assert files.read("sys/x", 10) is None


def test_a_looping_directory_is_named(root: Path) -> None:
    for folder in (root / "sys/devices/system/cpu/cpu4/cache", root / "sys/devices/system/node"):
        folder.rename(root / "elsewhere")
        folder.symlink_to(folder.name)
        try:
            with pytest.raises(TopologyError, match="Too many levels of symbolic links") as caught:
                probe(str(root))
            assert str(folder) in str(caught.value)
        finally:
            folder.unlink()
            (root / "elsewhere").rename(folder)


def test_files_larger_than_a_page_are_read_to_their_end(root: Path) -> None:
    file = root / "proc/self/status"
    whole = file.read_bytes()
    file.write_bytes(b"Noise:\t" + b"x" * 9000 + b"\n" + whole)
    many = root / "sys/devices/system/cpu/possible"
    few = many.read_bytes()
    many.write_bytes(",".join(str(number) for number in range(0, 4000, 2)).encode() + b"\n")
    try:
        machine = probe(str(root))
    finally:
        file.write_bytes(whole)
        many.write_bytes(few)
    assert machine.allowed_cpus == RICH.allowed_cpus
    assert len(machine.possible_cpus) == 2000


def test_a_state_that_is_a_bare_newline_is_named() -> None:
    path = "sys/devices/system/cpu/smt/control"
    assert names_the_file(attempt({**SPARSE, path: b"\n"}), path)


def test_an_empty_cpuset_path_is_none() -> None:
    files = {path: content for path, content in SPARSE.items() if path != "proc/self/cgroup"}
    machine = attempt({**files, "proc/self/cpuset": b""})
    assert isinstance(machine, Topology)
    assert [limit.kind for limit in machine.limits] == ["affinity"]
