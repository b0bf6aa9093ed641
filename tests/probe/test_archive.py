"""Archives: read in memory, links inside only, and what is no snapshot is said."""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable

import pytest

from ipexlaunch.errors import TopologyError
from ipexlaunch.probe import probe
from ipexlaunch.probe.archive import ArchiveFiles, open_archive
from tests.probe.small_tree import CPU

Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info, content


def packed(*members: Member) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as made:
        for info, content in members:
            made.addfile(info, io.BytesIO(content))
    return data.getvalue()


def cpu(number: int, root: str = "") -> list[Member]:
    base = f"{root}{CPU}/cpu{number}/topology"
    return [member(f"{base}/core_id", b"%d\n" % number), member(f"{base}/physical_package_id", b"0\n")]


def test_the_root_may_be_one_folder_down_or_written_with_dots() -> None:
    for root in ("", "./", "/", "host-7/", "./host-7/"):
        found = probe(open_archive("a.tar", packed(*cpu(0, root), *cpu(1, root))))
        assert [c.id for c in found.cpus] == [0, 1]


def test_files_at_the_top_win_over_a_folder_and_two_folders_are_an_error() -> None:
    assert len(probe(open_archive("a.tar", packed(*cpu(0), *cpu(0, "x/"), *cpu(1, "x/")))).cpus) == 1
    with pytest.raises(TopologyError, match=r"a\.tar: it holds 2 folders with a sys/"):
        open_archive("a.tar", packed(*cpu(0, "x/"), *cpu(0, "y/")))
    with pytest.raises(TopologyError, match=r"a\.tar: it holds no sys/ at its top or one folder down; save one with"):
        open_archive("a.tar", packed(member("readme", b"hello")))


def test_empty_directories_count() -> None:
    pipe = member(f"{CPU}/pipe", kind=tarfile.FIFOTYPE)
    empty, online = member(f"{CPU}/cpu5", kind=tarfile.DIRTYPE), member(f"{CPU}/online", b"0\n")
    assert probe(open_archive("a.tar", packed(*cpu(0), pipe, empty, online))).offline_cpus == {5}


def test_links_lead_inside_the_archive_only() -> None:
    files = open_archive(
        "a.tar",
        packed(
            *cpu(0),
            member("sys/same", kind=tarfile.SYMTYPE, target="./devices/system/cpu/cpu0/../cpu0/topology/core_id"),
            member("sys/absolute", kind=tarfile.SYMTYPE, target=f"/{CPU}/cpu0"),
            member("sys/hard", kind=tarfile.LNKTYPE, target=f"{CPU}/cpu0/topology/core_id"),
            member("sys/up", kind=tarfile.SYMTYPE, target="../../../../etc/passwd"),
            member("sys/loop", kind=tarfile.SYMTYPE, target="loop"),
        ),
    )
    for path in ("sys/same", "sys/hard", "sys/absolute/topology/core_id"):
        assert files.read(path, 9) == b"0\n"
    assert files.names("sys/absolute") == ["topology"]
    assert files.names("sys/nothing") is None
    assert files.read("sys/nothing", 9) is None
    with pytest.raises(OSError, match="leads to no file") as caught:
        files.read("sys/up", 9)
    assert caught.value.errno == errno.ENOENT
    with pytest.raises(OSError, match="Too many levels"):
        files.read("sys/loop", 9)
    with pytest.raises(IsADirectoryError):
        files.read(CPU, 9)


def test_hard_links_in_a_folder_are_found_below_it() -> None:
    link = member(f"m/{CPU}/cpu0/topology/die_id", kind=tarfile.LNKTYPE, target=f"m/{CPU}/cpu0/topology/core_id")
    files = open_archive("a.tar", packed(*cpu(0, "m/"), link))
    assert files.read(f"{CPU}/cpu0/topology/die_id", 9) == b"0\n"


def test_a_directory_without_links_is_no_file() -> None:
    with pytest.raises(IsADirectoryError):
        ArchiveFiles("x", {"a/b": b""}, {}).read("a", 1)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut gzip": lambda data: gzip.compress(data)[:-20],
    "a flipped byte in gzip": lambda data: gzip.compress(data)[:40] + b"\xff\xff" + gzip.compress(data)[42:],
    "no tar in gzip": lambda _: gzip.compress(b"hello"),
    "cut xz": lambda data: lzma.compress(data)[:-90],
    "a flipped byte in xz": lambda data: lzma.compress(data)[:60] + b"\0\0\0\0\0\0",
    "cut bz2": lambda data: bz2.compress(data)[:-60],
    "cut tar": lambda data: data[:700],
    "tar cut between two members": lambda data: data[:1024],
    "a hard link to nothing": lambda _: packed(member("sys/x", kind=tarfile.LNKTYPE, target="sys/y")),
    "only a header": lambda _: b"\x1f\x8b",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_archive_is_named(how: str) -> None:
    with pytest.raises(TopologyError, match=r"from a\.tar: it "):
        open_archive("a.tar", DAMAGE[how](packed(*cpu(0), *cpu(1))))
