"""Reading files under a root: what is there is read, what is not or cannot be says why."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipexlaunch.doctor.host_files_read import MISSING, FileText, Unavailable
from ipexlaunch.doctor.read import read_environment, read_host_files
from ipexlaunch.doctor.read.host_files import LONGEST_BYTES
from ipexlaunch.doctor.run_checks import PATHS
from tests.doctor.hosts import HEALTHY
from tests.doctor.trees import write_tree

SWAPS = "/proc/swaps"


def read(root: Path, path: str = SWAPS) -> FileText:
    return read_host_files(str(root), PATHS).read(path)


def test_a_tree_reads_back_as_it_was_written(tmp_path: Path) -> None:
    files = read_host_files(write_tree(tmp_path, HEALTHY), PATHS)
    found = {path: reading.text for path, reading in files.readings.items() if reading.text is not None}
    assert found == {path: text for path, text in HEALTHY.items() if any(_matches(path, pattern) for pattern in PATHS)}
    assert files.read(SWAPS).path == SWAPS


def _matches(path: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(path, pattern)


def test_a_root_with_wild_cards_in_its_name_is_a_name(tmp_path: Path) -> None:
    root = tmp_path / "saved [2]*"
    write_tree(root, HEALTHY)
    meminfo = "/sys/devices/system/node/node*/meminfo"
    assert [reading.path for reading in read_host_files(str(root), PATHS).matching(meminfo)] == [
        "/sys/devices/system/node/node0/meminfo",
        "/sys/devices/system/node/node1/meminfo",
    ]


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    assert read(tmp_path) == FileText(SWAPS, problem=MISSING)
    assert read(tmp_path).is_missing


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"a\0b\n", "it is not text"), (b"\x7fELF\0\0\1", "it is not text"), (b"9" * (LONGEST_BYTES + 1), "longer than")],
)
def test_a_file_that_is_no_text_or_endless_says_so(tmp_path: Path, data: bytes, problem: str) -> None:
    write_tree(tmp_path, {SWAPS: data})
    found = read(tmp_path)
    assert found.text is None
    assert not found.is_missing
    assert problem in found.problem


def test_of_the_long_files_the_beginning_is_enough(tmp_path: Path) -> None:
    write_tree(tmp_path, {"/proc/cpuinfo": "flags: avx2\n" * LONGEST_BYTES})
    assert len(read(tmp_path, "/proc/cpuinfo").require_text()) <= LONGEST_BYTES


def test_a_list_that_ends_in_a_nul_is_text(tmp_path: Path) -> None:
    write_tree(tmp_path, {"/sys/devices/system/cpu/online": b"0-3\n\0"})
    assert read(tmp_path, "/sys/devices/system/cpu/online").require_ids() == frozenset(range(4))


def test_a_folder_a_pipe_and_a_looping_link_say_so(tmp_path: Path) -> None:
    (tmp_path / "proc/sys/vm").mkdir(parents=True)
    (tmp_path / "proc/swaps").mkdir()
    os.mkfifo(tmp_path / "proc/meminfo")
    (tmp_path / "proc/loadavg").symlink_to("loadavg")
    for name in ("swaps", "meminfo"):
        assert read(tmp_path, f"/proc/{name}").problem == "it is not a regular file"
    assert read(tmp_path, "/proc/loadavg").problem == "it cannot be read (Too many levels of symbolic links)"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_not_ours_to_read_says_so(tmp_path: Path) -> None:
    write_tree(tmp_path, {SWAPS: "x"})
    (tmp_path / "proc/swaps").chmod(0)
    assert read(tmp_path).problem == "it cannot be read (Permission denied)"


def test_the_environment_is_what_the_process_was_started_with(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"/proc/self/environ": b"A=1\0B=x=y\0EMPTY=\0\xff=\xfe\0junk\0"})
    assert read_environment(root) == {"A": "1", "B": "x=y", "EMPTY": "", "\udcff": "\udcfe"}


def test_a_tree_without_an_environment_says_so(tmp_path: Path) -> None:
    assert read_environment(str(tmp_path)) == Unavailable("/proc/self/environ", MISSING)
    (tmp_path / "proc/self/environ").mkdir(parents=True)
    assert read_environment(str(tmp_path)) == Unavailable("/proc/self/environ", "it cannot be read (Is a directory)")


def test_the_live_environment_is_ours() -> None:
    found = read_environment("/")
    assert not isinstance(found, Unavailable)
    assert found["PATH"]
