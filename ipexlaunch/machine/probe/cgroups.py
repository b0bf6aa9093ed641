"""The cgroups that this process is in, as directories under the root: from proc/self/cgroup and the mount table.

Source: the manual pages cgroups(7) and proc(5) (mountinfo), and kernel/cgroup/cpuset.c for file systems of type
"cpuset", whose file names have no prefix.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from ipexlaunch.machine.cpulist import shortened
from ipexlaunch.machine.probe.tree import Tree

MOUNTINFO, MOUNTS = "proc/self/mountinfo", "proc/mounts"
CONTROLLERS = frozenset(("cpu", "cpuset", "memory", "hugetlb"))
USED_OPTIONS = CONTROLLERS | {"cpuset_v2_mode"}
CGROUP_KINDS = ("cgroup", "cgroup2", "cpuset")
OWN_FILES = ("cgroup.", "cpus", "cpu.", "memory.", "hugetlb.", "tasks")
"""How names of files begin that the kernel puts into a group; groups below it have others."""
OWN_GROUPS, OWN_CPUSET = "proc/self/cgroup", "proc/self/cpuset"
LARGEST_MOUNT_TABLE = 1 << 26
"""Bytes; hosts with many containers have tens of thousands of mounts."""
LARGEST_PATH = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Cgroup:
    """One hierarchy and our place in it."""

    unified: bool
    """cgroup v2."""
    controllers: frozenset[str]
    """cgroup v1: those mounted here; cgroup v2: empty, its files tell."""
    v2_mode: bool
    """cgroup v1 with the mount option cpuset_v2_mode."""
    levels: tuple[str, ...]
    """Directories relative to the root, from our own up to the mount point."""
    assumed: bool
    """Whether a saved tree does not tell our group, so that the mount point's is taken for it."""

    def controls(self, controller: str) -> bool:
        """Whether this hierarchy may hold files of the controller."""
        return self.unified or controller in self.controllers


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """Where a cgroup hierarchy is mounted."""

    point: str
    inside: str
    """The group that shows at the mount point; "/" but in containers without a cgroup namespace."""
    kind: str
    """cgroup, cgroup2 or cpuset."""
    options: frozenset[str]


def _usual(folder: str, kind: str, *controllers: str) -> Mount:
    return Mount(point=f"/{folder}", inside="/", kind=kind, options=frozenset(controllers))


USUAL_MOUNTS = {
    f"{folder}/{name}": _usual(folder, kind, *controllers)
    for folder, kind, controllers, names in (
        ("sys/fs/cgroup", "cgroup2", (), ("cpuset.cpus.effective", "cpu.max", "memory.max", "cgroup.controllers")),
        ("sys/fs/cgroup/unified", "cgroup2", (), ("cgroup.controllers",)),
        ("sys/fs/cgroup/cpuset", "cgroup", ("cpuset",), ("cpuset.cpus",)),
        ("dev/cpuset", "cpuset", (), ("cpus",)),
        ("sys/fs/cgroup/cpu", "cgroup", ("cpu",), ("cpu.cfs_quota_us",)),
        ("sys/fs/cgroup/cpu,cpuacct", "cgroup", ("cpu",), ("cpu.cfs_quota_us",)),
        ("sys/fs/cgroup/memory", "cgroup", ("memory",), ("memory.limit_in_bytes",)),
    )
    for name in names
}
"""A file to the mount that it gives away, for saved trees without a mount table."""


def own_cgroups(tree: Tree, wanted: frozenset[str] = CONTROLLERS) -> tuple[Cgroup, ...]:
    """Our place in every hierarchy that has one of the wanted controllers.

    A hierarchy may be mounted several times (containers inside containers, saved trees that hold one of the places):
    the first mount that shows files there counts.
    """
    mounts = _mounts(tree)
    if not mounts:
        return ()
    paths = _own_paths(tree)
    assumed = not tree.live and not tree.tells(OWN_GROUPS)
    found: dict[str, list[Cgroup]] = {}
    for mount in mounts:
        unified = mount.kind == "cgroup2"
        controllers = frozenset(("cpuset",)) if mount.kind == "cpuset" else mount.options & wanted
        key = "" if unified else ",".join(sorted(controllers))
        if not (unified or controllers):
            continue
        # Without proc/self/cgroup only the cpuset's path is known; it is that of cgroup v2 too where that is mounted.
        path = next(
            (paths[name] for name in (("", "cpuset") if unified else sorted(controllers)) if name in paths), None
        )
        if path is None and not assumed:
            continue
        group = Cgroup(
            unified=unified,
            controllers=controllers,
            v2_mode="cpuset_v2_mode" in mount.options,
            levels=_levels(mount, "/" if path is None else path),
            assumed=path is None,
        )
        found.setdefault(key, []).append(group)
    return tuple(_shown(tree, groups) for groups in found.values())


def own_cgroup_unknown(tree: Tree) -> bool:
    """Whether a saved tree has cgroups with files and does not tell which of them is ours."""
    if tree.live:
        return False
    return any(group.assumed and _has_files(tree, group) for group in own_cgroups(tree))


def _shown(tree: Tree, groups: list[Cgroup]) -> Cgroup:
    """Of one hierarchy's mounts the first that has files at our place or above it; the first where none has."""
    if len(groups) == 1:
        return groups[0]
    return next((group for group in groups if _has_files(tree, group)), groups[0])


def _has_files(tree: Tree, group: Cgroup) -> bool:
    return any(name.startswith(OWN_FILES) for level in group.levels for name in tree.names(level) or ())


def _levels(mount: Mount, path: str) -> tuple[str, ...]:
    """Directories from our own group up to the mount point, relative to the root."""
    inside = mount.inside.rstrip("/")
    if inside and (path == inside or path.startswith(inside + "/")):
        path = path[len(inside) :]
    elif path.startswith("/.."):  # our group lies outside our cgroup namespace: only the mount point is ours to see
        path = ""
    point = mount.point.strip("/")
    parts = [part for part in path.split("/") if part]
    return tuple("/".join([point, *parts[:length]]) for length in range(len(parts), -1, -1))


def _own_paths(tree: Tree) -> dict[str, str]:
    """Controller to our path in its hierarchy, "" for cgroup v2; proc/self/cpuset speaks for kernels without cgroup."""
    paths: dict[str, str] = {}
    text = tree.optional_text(OWN_GROUPS)
    for line in filter(None, (text or "").splitlines()):
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if not number.isdecimal() or not path.startswith("/"):
            raise tree.problem(OWN_GROUPS, f"it holds {shortened(line)}, not 'NUMBER:CONTROLLERS:/PATH'")
        for name in names.split(","):
            paths[name] = _safe(path)
    if text is None:
        path = (tree.optional_text(OWN_CPUSET, LARGEST_PATH, may_be_empty=True) or "").strip("\n")
        if path:
            if not path.startswith("/"):
                raise tree.problem(OWN_CPUSET, f"it holds {shortened(path)}, which is no path")
            paths["cpuset"] = _safe(path)
    return paths


def _safe(path: str) -> str:
    """The path without ".." in its middle, so that it stays under the mount point."""
    return path if path.startswith("/..") else posixpath.normpath(path)


def _mounts(tree: Tree) -> list[Mount]:
    for path, parse in ((MOUNTINFO, parse_mountinfo), (MOUNTS, parse_mounts)):
        text = tree.optional_text(path, LARGEST_MOUNT_TABLE)
        if text is not None:
            try:
                return parse(text)
            except ValueError as error:
                raise tree.problem(path, str(error)) from None
    return list(dict.fromkeys(mount for marker, mount in USUAL_MOUNTS.items() if tree.tells(marker)))


def parse_mountinfo(text: str) -> list[Mount]:
    """The cgroup mounts in /proc/self/mountinfo: "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw".

    Raises:
        ValueError: a phrase that says which line is none.
    """
    mounts = []
    for line in _lines(text):
        left, dash, right = line.partition(" - ")
        fields, kind = left.split(" "), right.split(" ")
        if not dash or len(fields) < 6 or len(kind) < 3:
            raise ValueError(f"it holds {shortened(line)}, which is no mount")
        if kind[0] in CGROUP_KINDS:
            options = frozenset(kind[2].split(","))
            mounts.append(Mount(point=_unescape(fields[4]), inside=_unescape(fields[3]), kind=kind[0], options=options))
    return mounts


def parse_mounts(text: str) -> list[Mount]:
    """The cgroup mounts in /proc/mounts: "none /dev/cpuset cpuset rw 0 0".

    Raises:
        ValueError: a phrase that says which line is none.
    """
    mounts = []
    for line in _lines(text):
        words = line.split(" ")
        if len(words) < 4:
            raise ValueError(f"it holds {shortened(line)}, which is no mount")
        if words[2] in CGROUP_KINDS:
            options = frozenset(words[3].split(","))
            mounts.append(Mount(point=_unescape(words[1]), inside="/", kind=words[2], options=options))
    return mounts


def _lines(text: str) -> list[str]:
    """Lines that the kernel wrote: it has "#" as \\043, so that one that begins so is a note of who saved the tree."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def _unescape(text: str) -> str:
    r"""Spaces, tabs, newlines and backslashes stand as \040 and the like."""
    parts = text.split("\\")
    return parts[0] + "".join(chr(int(p[:3], 8)) + p[3:] if _is_octal(p[:3]) else "\\" + p for p in parts[1:])


def _is_octal(text: str) -> bool:
    return len(text) == 3 and all(c in "01234567" for c in text)
