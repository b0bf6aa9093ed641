"""Read the files that the checks name, under one root, each with its text or the reason why there is none.

The memory limit of the cgroups above this process, and how often a quota stopped what runs in them.

Sources: Documentation/admin-guide/cgroup-v2.rst (memory.max, cpu.stat), cgroup-v1/memory.rst and
scheduler/sched-bwc.rst of the Linux kernel.

The memory policy of this process as /proc tells it, where a container's filter refuses get_mempolicy.

How large /dev/shm is.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import FileSystemSize, MemoryLimit
from ipexlaunch.doctor.host_files_read import MISSING, FileText, HostFiles, Unavailable
from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe.cgroups import own_cgroups
from ipexlaunch.machine.probe.tree import DirectoryFiles, Tree
from ipexlaunch.machine.proc_files import is_overmounted

LONGEST_BYTES = 1 << 18
"""No file that is read whole comes near it on 2,048 cpus (/proc/self/status has 3 KiB there)."""

BEGINNING_IS_ENOUGH = ("/proc/cpuinfo", "/proc/stat")
"""Files that grow with the machine and of which only the first part is wanted."""


def read_host_files(root: str, patterns: Sequence[str]) -> HostFiles:
    """Every file that the patterns name, as it stands under the root.

    Args:
        root: "/" or the folder of a saved tree that holds sys/ and proc/.
        patterns: paths as on the host, with `*` for one part of a name.
    """
    root, live = root.rstrip("/"), is_live(root)
    readings: dict[str, FileText] = {}
    for pattern in patterns:
        found = glob.glob(glob.escape(root) + pattern) if "*" in pattern else [root + pattern]
        for path in found:
            shown = path[len(root) :]
            readings[shown] = read_file(path, shown)
            if live and readings[shown].text is not None and is_overmounted(path):
                readings[shown] = replace(readings[shown], overmounted=True)
    return HostFiles(readings, tuple(patterns), live=live)


def is_live(root: str) -> bool:
    """Whether the root is that of this host."""
    return os.path.realpath(root or "/") == "/"


def read_file(path: str, shown: str) -> FileText:
    """One file.

    Args:
        path: where it is.
        shown: its path as on the host.
    """
    try:
        # O_NONBLOCK: a pipe in a saved tree must not hold us up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return FileText(shown, problem="it is not a regular file")
            data = _read_some(descriptor)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        return FileText(shown, problem=MISSING)
    except OSError as error:
        return FileText(shown, problem=f"it cannot be read ({error.strerror})")
    if len(data) > LONGEST_BYTES and shown not in BEGINNING_IS_ENOUGH:
        return FileText(shown, problem=f"it is longer than {LONGEST_BYTES} bytes")
    data = data[:LONGEST_BYTES]
    if b"\0" in data.rstrip(b"\0\n"):
        return FileText(shown, problem="it is not text")
    return FileText(shown, text=data.rstrip(b"\0").decode(errors="replace"))


def _read_some(descriptor: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while size <= LONGEST_BYTES:
        part = os.read(descriptor, LONGEST_BYTES + 1 - size)  # procfs gives one page at a time
        if not part:
            break
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def read_environment(root: str) -> dict[str, str] | Unavailable:
    """The variables that this process was started with, from /proc/self/environ under the root.

    Args:
        root: "/" or the folder of a saved tree.
    """
    shown = "/proc/self/environ"
    try:
        with open(root.rstrip("/") + shown, "rb") as file:
            data = file.read()
    except FileNotFoundError:
        return Unavailable(shown, MISSING)
    except OSError as error:
        return Unavailable(shown, f"it cannot be read ({error.strerror})")
    pairs = (os.fsdecode(part).partition("=") for part in data.split(b"\0"))
    return {name: value for name, equals, value in pairs if name and equals}


NAMES = ("memory.max", "memory.high", "memory.limit_in_bytes")
"""In cgroup v2 and v1."""

NO_LIMIT_BYTES = 1 << 62
"""cgroup v1 writes its "no limit" as the largest number of whole pages, near 2**63."""


def read_own_memory_limit(root: str) -> MemoryLimit | Unavailable | None:
    """The tightest limit of this process's cgroups; `Unavailable` also where they cannot be told.

    Args:
        root: "/" or the folder of a saved tree.
    """
    try:
        groups = own_cgroups(Tree(DirectoryFiles(root)), frozenset({"memory"}))
    except TopologyError as error:
        return Unavailable(error.path, error.problem)
    return read_memory_limit(root, [level for group in groups for level in group.levels])


def read_memory_limit(root: str, folders: Iterable[str]) -> MemoryLimit | Unavailable | None:
    """The tightest limit; None where no level sets one, `Unavailable` where a file cannot be read or understood.

    Args:
        root: "/" or the folder of a saved tree.
        folders: this process's memory cgroup and those above it, relative to the root.
    """
    limits: list[MemoryLimit] = []
    for folder in folders:
        for name in NAMES:
            reading = _read(root, f"/{folder}/{name}")
            if reading.is_missing:
                continue  # the other version's name, or the root cgroup, which has no limit
            text = (reading.text or "").strip()
            if reading.text is None or not (text == "max" or text.isdecimal()):
                return Unavailable(reading.path, reading.problem if reading.text is None else "it holds no limit")
            if text != "max" and int(text) < NO_LIMIT_BYTES:
                limits.append(MemoryLimit(reading.path, int(text)))
    return min(limits, key=lambda limit: limit.limit_bytes, default=None)


def read_throttling(root: str, quota_files: Iterable[str]) -> Iterator[Evidence]:
    """How often each cgroup with a quota was stopped, from the cpu.stat beside the file that sets the quota.

    Args:
        root: "/" or the folder of a saved tree.
        quota_files: e.g. "sys/fs/cgroup/job/cpu.max", relative to the root.
    """
    for file in quota_files:
        reading = _read(root, f"/{file.rpartition('/')[0]}/cpu.stat")
        stopped = [line for line in (reading.text or "").splitlines() if "throttled" in line]
        if reading.text is None:
            yield reading.evidence
        elif stopped:
            yield Evidence(reading.path, ", ".join(stopped))


def _read(root: str, path: str) -> FileText:
    return read_file(root.rstrip("/") + path, path)


NUMA_MAPS = "/proc/self/numa_maps"


def read_inherited_policy(root: str = "/") -> str:
    """The policy of the stack, which is that of the process ("default", "bind:0"); empty where it cannot be read.

    Args:
        root: "/" or the folder of a saved tree.

    Source: Documentation/filesystems/proc.rst (numa_maps) of the Linux kernel.
    """
    text = read_file(root.rstrip("/") + NUMA_MAPS, NUMA_MAPS).text or ""
    for line in text.splitlines():
        words = line.split()
        if "stack" in words[2:]:
            return words[1]
    return ""


def read_shared_memory(path: str = "/dev/shm") -> FileSystemSize | Unavailable:
    """Size and free space of the file system there; `Unavailable` where it cannot be asked.

    Args:
        path: a folder.

    Source: statvfs(3).
    """
    try:
        answer = os.statvfs(path)
    except OSError as error:
        return Unavailable(path, f"it cannot be asked ({error.strerror})")
    return FileSystemSize(path, answer.f_blocks * answer.f_frsize, answer.f_bavail * answer.f_frsize)
