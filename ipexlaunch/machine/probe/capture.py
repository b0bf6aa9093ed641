"""Snapshots: the files that the probe reads of a machine, without what tells whose machine it is, in one archive.

What is left out: every file that the probe does not read; of /proc/cpuinfo all but the lines it uses of the first cpu
(serial numbers stand at its end on some ARM boards); of /proc/self/status all but the allowed sets; of the mount table
all but cgroups (network mounts name servers and addresses). Where the host's name is part of a cgroup's name, it
becomes "host".
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterable

from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import RequestError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.probe.allowed import AFFINITY_KEYS, STATUS, SYSTEM_CALL
from ipexlaunch.machine.probe.archive import ArchiveFiles
from ipexlaunch.machine.probe.cgroups import (
    MOUNTINFO,
    MOUNTS,
    OWN_CPUSET,
    OWN_GROUPS,
    USED_OPTIONS,
    Mount,
    parse_mountinfo,
    parse_mounts,
)
from ipexlaunch.machine.probe.read_machine import CPUINFO, USED_KEYS, first_block, probe
from ipexlaunch.machine.probe.tree import Files, Tree

ENDINGS = (".tar.gz", ".tgz")
HOST_NAME = "proc/sys/kernel/hostname"
HOST = "host"
WHOLE_FILE = 1 << 16
"""Bytes kept of a file whose mere existence was asked for."""


class RecordingFiles:
    """Files that remembers what was read."""

    def __init__(self, files: Files) -> None:
        """Read through `files`."""
        self.where = files.where
        self.contents: dict[str, bytes] = {}
        self.directories: set[str] = set()
        self._files = files

    def read(self, path: str, limit: int) -> bytes | None:
        """At most `limit` bytes of the file, or None where there is none."""
        data = self._files.read(path, max(limit, WHOLE_FILE))
        if data is None:
            return None
        self.contents[path] = max(data, self.contents.get(path, b""), key=len)
        return data[:limit]

    def names(self, path: str) -> list[str] | None:
        """Names in the directory, or None where there is none."""
        names = self._files.names(path)
        if names is not None:
            self.directories.add(path)
            # What the probe counts by name alone: cpus, nodes, initiators. Other names are kept with their files.
            self.directories |= {f"{path}/{name}" for name in names if name.rstrip("0123456789") in ("cpu", "node")}
        return names


def save_snapshot(files: Files, path: str) -> int:
    """Write the archive; returns how many files are in it. The same machine gives the same bytes.

    Args:
        files: the machine.
        path: where to write; ends in .tar.gz or .tgz.

    Raises:
        TopologyError: the machine cannot be read.
        RequestError: the archive cannot be written there.
    """
    if not path.endswith(ENDINGS):
        raise RequestError(f"save the machine in {path!r}", "the name does not end in .tar.gz", f"try '{path}.tar.gz'")
    snapshot = record(files)
    data = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=data, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as archive,
    ):
        for name in sorted(filter(None, snapshot.directories)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(member)
        for name, content in sorted(snapshot.files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    try:
        write_file(path, data.getvalue())
    except OSError as error:
        found = os.strerror(error.errno or 0).lower()
        raise RequestError(f"save the machine in {path!r}", found, "give a path that can be written") from None
    return len(snapshot.files)


def record(files: Files) -> ArchiveFiles:
    """The snapshot in memory: what the probe reads, without what tells whose machine it is."""
    recorder = RecordingFiles(files)
    machine = probe(recorder)
    kept: dict[str, bytes] = {}
    for path, content in recorder.contents.items():
        if path.endswith("/meminfo"):
            content = b"".join(line for line in content.splitlines(keepends=True) if b" MemTotal:" in line)
        kept[path] = CLEANERS[path](content) if path in CLEANERS and content.strip(b"\0") else content
    for limit in machine.limits:
        if limit.file == SYSTEM_CALL:
            kept[STATUS] += f"Cpus_allowed_list:\t{format_list(limit.cpus or ())}\n".encode()
    host = (Tree(files).optional_text(HOST_NAME, may_be_empty=True) or "").strip().split(".")[0]
    if host:
        kept = _without_host(kept, host)
    return ArchiveFiles(files.where, kept, {}, recorder.directories)


def _clean_cpuinfo(content: bytes) -> bytes:
    block = first_block(content)
    return "".join(f"{key}\t: {value}\n" for key, value in block.items() if key in USED_KEYS).encode()


def _clean_status(content: bytes) -> bytes:
    lines = content.decode("ascii", "replace").splitlines()
    kept = "".join(f"{line}\n" for line in lines if line.partition(":")[0] in AFFINITY_KEYS)
    return (kept or ("Name:\tp\n" if lines else "")).encode()


def _clean_groups(content: bytes) -> bytes:
    """Hierarchies of other controllers are not looked at, and name what runs here."""
    lines = content.decode("utf-8", "surrogateescape").splitlines()
    return _table(line for line in lines if {"", *USED_OPTIONS} & set(line.split(":", 2)[1].split(",")))


def _clean_mountinfo(content: bytes) -> bytes:
    mounts = parse_mountinfo(content.decode("utf-8", "surrogateescape"))
    return _table(f"0 0 0:0 {_escape(m.inside)} {_escape(m.point)} rw - {m.kind} none {_options(m)}" for m in mounts)


def _clean_mounts(content: bytes) -> bytes:
    mounts = parse_mounts(content.decode("utf-8", "surrogateescape"))
    return _table(f"none {_escape(m.point)} {m.kind} {_options(m)} 0 0" for m in mounts)


def _table(lines: Iterable[str]) -> bytes:
    """At least one line, though an empty one: a table without lines would count as missing."""
    return "".join(f"{line}\n" for line in [*lines] or [""]).encode("utf-8", "surrogateescape")


def _options(mount: Mount) -> str:
    return ",".join(["rw", *sorted(mount.options & USED_OPTIONS)])


def _escape(text: str) -> str:
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\" else c for c in text)


CLEANERS: dict[str, Callable[[bytes], bytes]] = {
    CPUINFO: _clean_cpuinfo,
    STATUS: _clean_status,
    OWN_GROUPS: _clean_groups,
    MOUNTINFO: _clean_mountinfo,
    MOUNTS: _clean_mounts,
}


def _without_host(kept: dict[str, bytes], host: str) -> dict[str, bytes]:
    """The files with the host's name gone from the names of cgroups, in paths and in the tables that name them."""
    tables = [kept.get(path, b"").decode("utf-8", "surrogateescape") for path in (OWN_GROUPS, OWN_CPUSET)]
    parts = {part for table in tables for line in table.splitlines() for part in line.rpartition(":")[2].split("/")}
    named = {part: part.replace(host, HOST) for part in parts if host in part}

    def renamed(text: str) -> str:
        return "/".join(named.get(part, part) for part in text.split("/"))

    clean = {}
    for path, content in kept.items():
        folder, slash, name = path.rpartition("/")
        if path in (OWN_GROUPS, OWN_CPUSET, MOUNTINFO, MOUNTS):
            lines = content.decode("utf-8", "surrogateescape").splitlines()
            content = _table(" ".join(map(renamed, line.split(" "))) for line in lines) if lines else b""
        clean[renamed(folder) + slash + name] = content
    return clean
