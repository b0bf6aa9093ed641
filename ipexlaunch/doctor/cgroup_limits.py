"""The limits of the cgroups above this process: quota, how often it stopped somebody, memory.

Sources: Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst and scheduler/sched-bwc.rst of the Linux kernel;
proc(5) for /proc/self/cgroup and /proc/self/mountinfo.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from ipexlaunch.doctor.host_files import read_file
from ipexlaunch.findings.facts import MemoryLimit
from ipexlaunch.findings.finding import Evidence
from ipexlaunch.findings.reading import Unread

NO_LIMIT_BYTES = 1 << 62
"""cgroup v1 writes its "no limit" as the largest number of whole pages, near 2**63."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CgroupLimits:
    """What the cgroups say."""

    quota: tuple[Evidence, ...]
    """The files that set a quota, and the counters of how often it stopped somebody; empty where there is no quota."""
    memory: MemoryLimit | Unread | None
    """The tightest memory limit; None where there is none."""


def read_cgroup_limits(root: str) -> CgroupLimits:
    """The limits of this process's own cgroups and of those above them.

    Args:
        root: "/" or the folder of a saved tree.
    """
    root = root.rstrip("/")
    texts = {}
    for name in ("cgroup", "mountinfo"):
        reading = read_file(f"{root}/proc/self/{name}", f"/proc/self/{name}")
        if reading.text is None:
            return CgroupLimits(quota=(), memory=Unread(reading.path, reading.problem))
        texts[name] = reading.text
    groups = [(line.split(":", 2)) for line in texts["cgroup"].splitlines() if line.count(":") >= 2]
    mounts = list(_cgroup_mounts(texts["mountinfo"]))
    quota: list[Evidence] = []
    memory: list[MemoryLimit] = []
    for _, controllers, path in groups:
        for mount, mount_root, names in mounts:
            if (controllers == "") != (not names) or (controllers and controllers not in names):
                continue
            for folder in _upwards(mount, mount_root, path):
                quota += _quota(root, folder)
                memory += _memory(root, folder)
    return CgroupLimits(quota=tuple(quota), memory=min(memory, key=lambda limit: limit.limit_bytes, default=None))


def _cgroup_mounts(mountinfo: str) -> Iterator[tuple[str, str, frozenset[str]]]:
    """(mount point, root of the mount, controllers; none for v2) of every cgroup file system."""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields, kinds = left.split(), right.split()
        if len(fields) < 5 or len(kinds) < 3 or kinds[0] not in ("cgroup", "cgroup2"):
            continue
        options = kinds[2]
        names = frozenset({options.removeprefix("rw,").removeprefix("ro,"), *options.split(",")})
        yield fields[4], fields[3], frozenset() if kinds[0] == "cgroup2" else names


def _upwards(mount: str, mount_root: str, path: str) -> Iterator[str]:
    """The folder of a cgroup, then those above it up to the mount point."""
    inside = path[len(mount_root.rstrip("/")) :] if path.startswith(mount_root.rstrip("/")) else ""
    parts = [part for part in inside.split("/") if part and part != ".."]
    for count in range(len(parts), -1, -1):
        yield "/".join([mount.rstrip("/"), *parts[:count]])


def _quota(root: str, folder: str) -> list[Evidence]:
    text = _text(root, f"{folder}/cpu.max")
    if text is not None:
        found = [] if text.startswith("max") else [Evidence(f"{folder}/cpu.max", text)]
    else:
        quota, period = (_text(root, f"{folder}/cpu.cfs_{name}_us") for name in ("quota", "period"))
        limited = quota is not None and quota.isdecimal()
        found = [Evidence(f"{folder}/cpu.cfs_quota_us", f"{quota} of {period} us")] if limited else []
    if found:
        stopped = [line for line in (_text(root, f"{folder}/cpu.stat") or "").splitlines() if "throttled" in line]
        found += [Evidence(f"{folder}/cpu.stat", ", ".join(stopped))] if stopped else []
    return found


def _memory(root: str, folder: str) -> list[MemoryLimit]:
    for name in ("memory.max", "memory.limit_in_bytes"):
        text = _text(root, f"{folder}/{name}")
        if text is not None and text.isdecimal() and int(text) < NO_LIMIT_BYTES:
            return [MemoryLimit(f"{folder}/{name}", int(text))]
    return []


def _text(root: str, path: str) -> str | None:
    """The file's text; None where it is not there (the root cgroup has no limits) or cannot be read."""
    full = os.path.join(root + path)
    reading = read_file(full, path)
    return None if reading.text is None else reading.text.strip()
