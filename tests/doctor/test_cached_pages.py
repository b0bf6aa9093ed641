"""The page cache of real files on this host; placement over nodes is shown in guests (tests/guest)."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from ipexlaunch.doctor.host_facts import CachedFile
from ipexlaunch.doctor.host_files_read import Unavailable
from ipexlaunch.doctor.read import read_cached_file
from ipexlaunch.doctor.read.system_calls import PART_BYTES, PARTS, ask_for_amx, mapped, mincore_is_truthful

PAGE = mmap.PAGESIZE


def write(path: Path, pages: int) -> str:
    path.write_bytes(os.urandom(PAGE * pages))
    return str(path)


def drop(path: str, first_page: int = 0, pages: int = 0) -> bool:
    """Ask for pages to leave the cache; whether they did (tmpfs keeps them)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, first_page * PAGE, pages * PAGE, os.POSIX_FADV_DONTNEED)
        size = os.fstat(descriptor).st_size
        with mapped(descriptor, size) as file:
            return not any(file.cached(0, size)[first_page : first_page + pages if pages else None])
    finally:
        os.close(descriptor)


def asked(path: str) -> CachedFile:
    found = read_cached_file(path)
    assert isinstance(found, CachedFile), found
    return found


def test_a_file_that_was_just_written_is_cached_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "weights with a space", 300)
    found = asked(path)
    assert (found.size_bytes, found.asked_pages, found.cached_pages) == (300 * PAGE, 300, 300)
    assert sum(found.pages_by_node.values()) == 300


def test_the_last_page_counts_though_it_is_not_full(tmp_path: Path) -> None:
    path = tmp_path / "odd"
    path.write_bytes(b"x" * (PAGE + 1))
    assert asked(str(path)).cached_pages == 2


def test_what_was_dropped_is_not_cached_and_asking_does_not_read_it(tmp_path: Path) -> None:
    path = write(tmp_path / "weights", 512)
    if not drop(path):
        pytest.skip("this file system keeps its pages")
    for _ in range(2):
        found = asked(path)
        assert (found.asked_pages, found.cached_pages, dict(found.pages_by_node)) == (512, 0, {})


def test_of_a_file_half_in_the_cache_only_that_half_is_counted_and_it_stays_so(tmp_path: Path) -> None:
    path = write(tmp_path / "weights", 1024)
    if not drop(path, 512, 512):
        pytest.skip("this file system keeps its pages")
    for _ in range(2):
        found = asked(path)
        assert (found.cached_pages, sum(found.pages_by_node.values())) == (512, 512)


def test_of_a_large_file_evenly_spread_parts_are_asked(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(3 * PARTS * PART_BYTES + 5)
    found = asked(str(path))
    assert found.asked_pages == PARTS * PART_BYTES // PAGE
    assert found.cached_pages == 0


def test_an_empty_file_has_no_pages(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert asked(str(tmp_path / "empty")).asked_pages == 0


def test_what_is_no_file_says_so(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        assert read_cached_file(str(path)) == Unavailable(str(path), "it is not a regular file")
    missing = read_cached_file(str(tmp_path / "none"))
    assert missing == Unavailable(str(tmp_path / "none"), "it cannot be opened (No such file or directory)")


@pytest.mark.parametrize(
    ("owner", "user", "may_write", "told"),
    [
        (0, 0, True, True),
        (1000, 0, True, True),
        (1000, 1000, False, True),
        (0, 1000, True, True),
        (0, 1000, False, False),
    ],
)
def test_only_the_owner_the_writers_and_root_are_told_the_truth(
    owner: int, user: int, may_write: bool, told: bool
) -> None:
    assert mincore_is_truthful(owner, user, may_write) == told


def test_a_kernel_without_populate_read_has_each_page_touched_instead(tmp_path: Path) -> None:
    path = write(tmp_path / "weights", 64)
    with open(path, "rb") as opened, mapped(opened.fileno(), 64 * PAGE) as file:
        file.map_pages(8 * PAGE, 16 * PAGE, advice=9999)
        maps = [line for line in Path("/proc/self/smaps").read_text().split("VmFlags") if path in line]
        rss = next(int(line.split()[1]) for line in maps[0].splitlines() if line.startswith("Rss:"))
    assert rss * 1024 >= 16 * PAGE


def test_asking_leaves_no_mapping_behind(tmp_path: Path) -> None:
    path = write(tmp_path / "weights", 8)
    asked(path)
    assert path not in Path("/proc/self/maps").read_text()


def test_amx_is_granted_or_refused_with_a_reason() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    assert (ask_for_amx() == "") == ("amx_tile" in flags)
