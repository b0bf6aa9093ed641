"""The memory limit of the cgroups above this process, and how often a quota stopped what runs in them.

Sources: Documentation/admin-guide/cgroup-v2.rst (memory.max, cpu.stat), cgroup-v1/memory.rst and
scheduler/sched-bwc.rst of the Linux kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ipexlaunch.doctor.finding import Evidence
from ipexlaunch.doctor.host_facts import MemoryLimit
from ipexlaunch.doctor.host_files_read import FileText, Unread
from ipexlaunch.doctor.read.host_files import read_file
from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe.cgroups import own_groups
from ipexlaunch.machine.probe.tree import DirectoryFiles, Tree

NAMES = ("memory.max", "memory.high", "memory.limit_in_bytes")
"""In cgroup v2 and v1."""

NO_LIMIT_BYTES = 1 << 62
"""cgroup v1 writes its "no limit" as the largest number of whole pages, near 2**63."""


def read_own_memory_limit(root: str) -> MemoryLimit | Unread | None:
    """The tightest limit of this process's cgroups; `Unread` also where they cannot be told.

    Args:
        root: "/" or the folder of a saved tree.
    """
    try:
        groups = own_groups(Tree(DirectoryFiles(root)), frozenset({"memory"}))
    except TopologyError as error:
        return Unread(error.path, error.problem)
    return read_memory_limit(root, [level for group in groups for level in group.levels])


def read_memory_limit(root: str, folders: Iterable[str]) -> MemoryLimit | Unread | None:
    """The tightest limit; None where no level sets one, `Unread` where a file cannot be read or understood.

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
                return Unread(reading.path, reading.problem if reading.text is None else "it holds no limit")
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
