"""Archives: read in memory, links inside only, and what is no snapshot is said."""

from __future__ import annotations

import bz2
import contextlib
import errno
import gzip
import io
import lzma
import tarfile
import tracemalloc
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe import archive as module
from ipexlaunch.machine.probe import probe, tar_members
from ipexlaunch.machine.probe.archive import ArchiveFiles, open_archive
from tests.machine.probe.small_tree import CPU

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


def header(kind: bytes, size: int, name: str = "sys/x") -> bytes:
    """A header that promises what need not follow."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def pax(size: int) -> bytes:
    info = tarfile.TarInfo("sys/" + "x" * size)
    return info.tobuf(tarfile.PAX_FORMAT)


END = bytes(1024)
SMALL = packed(*cpu(0))[:2048]
BOMBS: dict[str, tuple[Callable[[], bytes], str]] = {
    "zeros in gzip": (
        lambda: gzip.compress(SMALL + header(b"0", 1 << 30) + bytes(1 << 26)),
        "holds more than 536870912",
    ),
    "zeros in bz2": (lambda: bz2.compress(SMALL + header(b"0", 1 << 34)), "holds more than 536870912 bytes"),
    "a long name": (lambda: SMALL + header(b"L", 1 << 28) + END, "a member has more than 65536 bytes of headers"),
    "a long link": (lambda: SMALL + header(b"K", 1 << 20) + END, "a member has more than 65536 bytes of headers"),
    "a long name of pax": (lambda: SMALL + pax(1 << 20) + END, "a member has more than 65536 bytes of headers"),
    "global headers": (lambda: SMALL + header(b"g", 1 << 30) + END, "a member has more than 65536 bytes of headers"),
    "many headers": (lambda: SMALL + header(b"L", 0) * 200 + END, "a member has more than 65536 bytes of headers"),
    "a name too long": (lambda: packed(member("sys/" + "x" * 2000)), "is longer than 1024 bytes or in more than 64"),
    "a name too deep": (lambda: packed(member("sys/" + "x/" * 90)), "is longer than 1024 bytes or in more than 64"),
    "a target too long": (lambda: packed(member("sys/x", kind=tarfile.SYMTYPE, target="y" * 2000)), "is longer than"),
    "a sparse file": (
        lambda: SMALL + header(b"S", 0) + END,
        "is stored as a sparse file, which holds nothing",
    ),
    "a negative size": (lambda: SMALL + header(b"0", -5) + END, "a size is negative"),
    "a wrong checksum": (lambda: SMALL + header(b"0", 0).replace(b"ustar", b"Ustar") + END, "the checksum of a header"),
    "an xz of 4 GiB to unpack": (
        lambda: lzma.compress(SMALL + END, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": (1 << 30) + (1 << 29)}]),
        "it cannot be unpacked by lzma",
    ),
}


@pytest.mark.parametrize("how", BOMBS)
def test_a_bomb_ends_at_the_first_thing_beyond_a_limit(how: str) -> None:
    make, words = BOMBS[how]
    data = make()
    tracemalloc.start()
    try:
        with pytest.raises(TopologyError) as caught:
            open_archive("a.tar", data)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
    assert words in str(caught.value)
    assert str(caught.value).startswith("cannot read the topology from a.tar: ")


def test_a_million_members_are_refused_at_the_first_that_is_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    many = gzip.compress(header(b"0", 0) * 3000 + END)
    assert open_archive("a.tar", gzip.compress(SMALL) + many).names("sys") is not None
    monkeypatch.setattr(tar_members, "MOST_MEMBERS", 2999)
    with pytest.raises(TopologyError, match="it has more than 2999 members, as no snapshot has"):
        open_archive("a.tar", many)


def test_what_is_kept_of_an_archive_has_a_limit_that_counts_folders_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 5000)
    many = (
        [member(f"sys/{n}", b"x" * 1000) for n in range(5)],
        [member(f"sys/{n}" + "/x" * 60) for n in range(2)],
        [member(f"sys/{n}", kind=tarfile.SYMTYPE, target="y" * 900) for n in range(6)],
    )
    for members in many:
        with pytest.raises(TopologyError, match="its files and their names have more than 5000 bytes"):
            open_archive("a.tar", packed(*members))
    hard = [member(f"sys/h{n}", kind=tarfile.LNKTYPE, target="sys/0") for n in range(50)]
    assert len(open_archive("a.tar", packed(member("sys/0", b"x" * 1000), *hard)).files) == 51


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_format_of_tar_with_long_names_is_read(form: int) -> None:
    data = io.BytesIO()
    long = f"m/sys/{'d' * 90}/{'e' * 90}"
    with tarfile.open(fileobj=data, mode="w", format=form) as made:
        for info, content in (
            member(f"{long}/x", b"1\n"),
            member("m/sys/ä", b"2\n"),
            member("m/sys/l", kind=tarfile.SYMTYPE, target="d" * 90 + "/" + "e" * 5),
            *cpu(0, "m/"),
        ):
            made.addfile(info, io.BytesIO(content))
    for packed_ in (data.getvalue(), gzip.compress(data.getvalue()), bz2.compress(data.getvalue())):
        files = open_archive("a.tar", packed_)
        assert files.read(f"{long[2:]}/x", 9) == b"1\n"
        assert files.read("sys/ä", 9) == b"2\n"
        assert len(probe(files).cpus) == 1


def test_padding_of_plain_tar_is_no_content_and_empty_files_of_proc_are_missing_and_told() -> None:
    padded = member(f"{CPU}/online", b"0-1\n" + bytes(4092))
    empty = [member(f"proc/{name}") for name in ("cpuinfo", "self/status", "self/mountinfo")]
    found = probe(open_archive("a.tar", packed(*cpu(0), *cpu(1), padded, *empty)))
    assert found.allowed_cpus == {0, 1}
    assert found.gaps == (
        "proc/cpuinfo, proc/self/mountinfo, proc/self/status are empty, as plain tar leaves files of which the kernel "
        "tells no size, and count as missing: save the machine with 'ipexlaunch topology --save FILE.tar.gz'",
    )


def test_a_plain_tar_of_a_kernel_that_gave_lists_of_cpus_no_size_is_read_by_ids_and_links() -> None:
    names = ("core_cpus", "core_cpus_list", "thread_siblings", "package_cpus", "core_siblings_list")
    lists = [member(f"{CPU}/cpu{n}/topology/{name}") for n in range(4) for name in names]
    nodes = [member(f"sys/devices/system/node/node{n}/{name}") for n in range(2) for name in ("cpulist", "cpumap")]
    links = [
        member(f"sys/devices/system/node/node{n // 2}/cpu{n}", kind=tarfile.SYMTYPE, target=f"../../cpu/cpu{n}")
        for n in range(4)
    ]
    cgroup = member("sys/fs/cgroup/cpu.max")
    cpus = [each for n in range(4) for each in cpu(n)]
    found = probe(open_archive("a.tar", packed(*cpus, *lists, *nodes, *links, cgroup)))
    assert [(each.core, each.node) for each in found.cpus] == [(0, 0), (1, 0), (2, 1), (3, 1)]
    [gap] = found.gaps
    assert gap.startswith("sys/devices/system/cpu/cpu*/topology/core_cpus, ")
    assert "and 2 others are empty" in gap


@given(st.binary(max_size=40), st.integers(0, 3000), st.sampled_from([lambda b: b, gzip.compress, lzma.compress]))
def test_a_damaged_archive_is_a_machine_or_an_error(junk: bytes, at: int, pack: Callable[[bytes], bytes]) -> None:
    data = pack(packed(*cpu(0), *cpu(1)))
    with contextlib.suppress(TopologyError):
        open_archive("a.tar", data[:at] + junk + data[at + len(junk) :])
