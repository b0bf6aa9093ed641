"""The machine: what is no machine, trees and archives that are damaged, and sentences that describe none."""

from __future__ import annotations

import gzip
import io
import tarfile

from ipexlaunch.machine.probe.capture import save_snapshot
from ipexlaunch.machine.probe.sources import LARGEST_SOURCE
from ipexlaunch.machine.probe.tar_members import BLOCK, LARGEST_ARCHIVE, LARGEST_HEADER, Unpacked, members_of
from ipexlaunch.machine.probe.tree import DirectoryFiles
from ipexlaunch.machine.synthetic import synthetic_machine
from tests.errors.provoke import Row

PLACES = ("machine/cpulist", "machine/synthetic", "machine/probe/archive", "machine/probe/capture",
          "machine/probe/sources", "machine/probe/tar_members")  # fmt: skip


def archive(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar of members with their contents."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=form) as packed:
        for member, content in members:
            packed.addfile(member, io.BytesIO(content))
    return file.getvalue()


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A file of it, or with other fields what they say."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in fields.items():
        setattr(info, key, value)
    return info, content


def changed(data: bytes, at: int, new: bytes) -> bytes:
    """The first header with other bytes, its checksum right."""
    block = bytearray(data)
    block[at : at + len(new)] = new
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block[:BLOCK])
    return bytes(block)


def _at_the_limit() -> None:
    """What 512 MiB of an archive end in."""
    unpacked = Unpacked("snapshot.tar", PLAIN)
    unpacked.count = LARGEST_ARCHIVE - BLOCK
    list(members_of("snapshot.tar", unpacked))


PLAIN = archive(member("sys/kernel/x", b"1\n"))


SMALL = {
    f"m/sys/devices/system/cpu/{path}": f"{text}\n"
    for path, text in {"online": "0", "cpu0/topology/core_id": "0", "cpu0/topology/physical_package_id": "0"}.items()
}


def _write_large(path: str) -> None:
    with open(path, "wb") as file:
        file.write(b"schema: x")
        file.truncate(LARGEST_SOURCE + 1)


def _shown(data: bytes) -> Row:
    return Row("topology --topology m.tar", {"m.tar": data})


ROWS = [
    # what is named
    Row("topology --topology xeon-no-such"),
    Row("topology --topology nothing-like-it-anywhere"),
    Row("topology --topology m.bin", {"m.bin": b"\xff\xfe\x00"}),
    Row("topology --topology /proc/self/mem"),
    Row("topology --save m.zip"),
    Row(
        lambda: save_snapshot(DirectoryFiles("m"), "m.txt/x.tar.gz"),
        {"m.txt": "", **SMALL},
        name="save_snapshot(below a file)",
    ),
    Row("topology --topology big.yaml", before=lambda: _write_large("big.yaml")),
    Row("topology --topology m", {"m/sys/devices/system/cpu/online": "0-1\n"}),
    Row("topology --topology m", {"m/sys/devices/system/cpu/online": "zero\n"}),
    # sentences
    Row("topology --topology '2s 2s'"),
    Row("topology --topology '2s 4q'"),
    Row("topology --topology '0s'"),
    Row("topology --topology '2s 3n 4+4c'"),
    Row("topology --topology '9999s 99c'"),
    Row("topology --topology '9000s 1c'"),
    Row(lambda: synthetic_machine(" "), name="synthetic_machine(' ')"),
    # lists
    Row("plan --topology '2s 4c' --cores-list 0-x"),
    Row("plan --topology '2s 4c' --cores-list 0-99999999"),
    Row("plan --topology '2s 4c' --cores-list 7-3"),
    # archives
    _shown(archive(member("readme", b"1"))),
    _shown(archive(member("sys/a", type=tarfile.LNKTYPE, linkname="sys/b"))),
    _shown(archive(member("sys", type=tarfile.DIRTYPE))[:600]),
    _shown(PLAIN[:512]),
    Row(_at_the_limit, name="members_of(512 MiB)"),
    _shown(archive(member("sys/x", b"1" * 600))[: BLOCK + 520]),
    _shown(b"x" + PLAIN[1:]),
    _shown(changed(PLAIN, 124, b"\xff" * 12)),
    _shown(changed(PLAIN, 124, b"12x45678901\0")),
    _shown(changed(PLAIN, 124, b"77777777777\0")),
    _shown(archive(member("sys/" + "x/" * 70))),
    _shown(changed(changed(archive(member("sys/x"))[:BLOCK], 124, b"%011o\0" % (1 << 27)), 0, b"sys/y")),
    _shown(changed(PLAIN, 156, b"S")),
    _shown(changed(archive(member("sys/" + "x" * 200, b"1")), 124, b"%011o\0" % (LARGEST_HEADER + 1))),
    _shown(
        archive(member("sys/x", pax_headers={"comment": "x"}), form=tarfile.PAX_FORMAT).replace(
            b"comment=", b"comment+"
        )
    ),
    Row("topology --topology m.tar.gz", {"m.tar.gz": gzip.compress(PLAIN)[:20]}),
    Row("topology --topology m.tar.gz", {"m.tar.gz": gzip.compress(PLAIN)[:10] + b"\xff" * 50}),
]

_MEMBERS = "tests/machine/probe/test_archive.py::test_a_million_members_are_refused_at_the_first_that_is_too_many"
_KEPT = "tests/machine/probe/test_archive.py::test_what_is_kept_of_an_archive_has_a_limit_that_counts_folders_and_links"
ELSEWHERE = {
    "members, as no snapshot has": _MEMBERS,
    "its files and their names have more than": _KEPT,
}
"""Half a million members take seconds."""
