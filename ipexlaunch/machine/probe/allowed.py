"""What this process may use: affinity, Mems_allowed, cpuset cgroups (v1 and v2), CPU quota and memory limits.

Source: Documentation/admin-guide/cgroup-v1/cpusets.rst, Documentation/admin-guide/cgroup-v2.rst,
Documentation/scheduler/sched-bwc.rst, and the manual pages proc(5), cgroups(7) and cpuset(7).

Which cpus are online, and what to believe where a container shows another list than the host's.

lxcfs (LXC, LXD, Incus, Proxmox) puts a file of its own in the place of cpu/online: the container's cpuset, or 0 to n-1
for a quota of n cpus, while the cpuN directories, their online files and the nodes stay the host's. Affinity and cpuset
are what the kernel obeys. Source: src/sysfs_fuse.c and src/proc_cpuview.c of lxcfs; its issues 305, 401, 627, 731.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import CPU, format_list, parse_ids, printable, shortened
from ipexlaunch.machine.probe.cgroups import Cgroup, own_cgroups
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Limit

STATUS = "proc/self/status"
SYSTEM_CALL = "sched_getaffinity(2)"
AFFINITY_KEYS = ("Cpus_allowed_list", "Mems_allowed_list")

NO_LIMIT_BYTES = 1 << 62
"""cgroup v1 writes its "no limit" as the largest number of whole pages, near 2**63."""

ASKED_FOR = ("cpuset.cpus", "cpuset.mems")
"""In cgroup v2 what was asked for, empty for what the level above has: it decides in cut trees only."""
UNIFIED_CPUSET = (("cpuset.cpus.effective", ASKED_FOR[0]), ("cpuset.mems.effective", ASKED_FOR[1]))
LEGACY_CPUSET = (
    ("cpuset.cpus", "cpus", "cpuset.effective_cpus"),
    ("cpuset.mems", "mems", "cpuset.effective_mems"),
)
"""In cgroup v1 cpuset.cpus is what the kernel applies (it empties and refills it as cpus come and go)."""
LEGACY_CPUSET_V2_MODE = (
    ("cpuset.effective_cpus", "effective_cpus"),
    ("cpuset.effective_mems", "effective_mems"),
)
"""Mounted with cpuset_v2_mode, cpuset.cpus keeps what was asked for, as in cgroup v2."""


def read_limits(tree: Tree) -> tuple[Limit, ...]:
    """Everything that narrows what this process may use, as the files say it: affinity, then cpusets, then quotas."""
    affinity = _affinity(tree)
    groups = own_cgroups(tree)
    cpusets = [limit for group in groups if (limit := _cpuset(tree, group)) is not None]
    quotas = [limit for group in groups for limit in _quotas(tree, group)]
    return (*affinity, *cpusets, *quotas)


def memory_limits(tree: Tree, page_sizes: Collection[int]) -> tuple[Limit, ...]:
    """The memory that the cgroups allow, at every level; each enforces its own. Swap is no memory to plan with.

    Args:
        tree: where to read.
        page_sizes: bytes of the kinds of huge pages that the machine has.
    """
    groups = own_cgroups(tree)
    plain = [limit for group in groups for limit in _memory(tree, group)]
    return (*plain, *(limit for group in groups for limit in _huge_pages(tree, group, page_sizes)))


def _affinity(tree: Tree) -> Iterator[Limit]:
    text = tree.optional_text(STATUS)
    if text is None:
        if tree.live:
            raise tree.missing(STATUS)
        return
    if text and not any(line.startswith(("Name:", *AFFINITY_KEYS)) for line in text.splitlines()):
        raise tree.problem(STATUS, "it has no line 'Cpus_allowed_list: CPUS', nor any other that it should have")
    found = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key in AFFINITY_KEYS:
            try:
                found[key] = parse_ids(value.strip())
            except ValueError as error:
                raise tree.problem(STATUS, f"{key}: {error}") from None
    cpus, nodes = found.get("Cpus_allowed_list"), found.get("Mems_allowed_list")
    if cpus is not None and not cpus:
        raise tree.problem(STATUS, "Cpus_allowed_list names no cpu, and this process runs on one")
    if cpus is None and tree.live:  # gVisor's has no such line
        yield Limit(kind="affinity", file=SYSTEM_CALL, cpus=frozenset(tree.affinity()), nodes=nodes)
    elif cpus is not None or nodes is not None:
        yield Limit(kind="affinity", file=STATUS, cpus=cpus, nodes=nodes)


def _cpuset(tree: Tree, group: Cgroup) -> Limit | None:
    """The cpuset that holds the process: the nearest level that has files, because each lies in the one above."""
    if not group.controls("cpuset"):
        return None
    names = UNIFIED_CPUSET if group.unified else LEGACY_CPUSET_V2_MODE if group.v2_mode else LEGACY_CPUSET
    cpus, file = _nearest(tree, group, names[0], "cpu, and this process runs on one")
    nodes, other = _nearest(tree, group, names[1], "node, and this process has memory")
    if cpus is None and nodes is None:
        return None
    return Limit(kind="cpuset", file=printable(file or other), cpus=cpus, nodes=nodes)


def _nearest(tree: Tree, group: Cgroup, names: Collection[str], noun: str) -> tuple[frozenset[int] | None, str]:
    """The ids in the nearest of a group's files of these names, and its path; None where there is none."""
    for directory in group.levels:
        for name in names:
            path = f"{directory}/{name}"
            ids = tree.optional_ids(path)
            if ids:
                return ids, path
            if ids is not None and not (group.unified and name in ASKED_FOR):
                raise tree.problem(path, f"it names no {noun}")
    return None, ""


def _quotas(tree: Tree, group: Cgroup) -> Iterator[Limit]:
    if not group.controls("cpu"):
        return
    for directory in group.levels:
        path = f"{directory}/cpu.max" if group.unified else f"{directory}/cpu.cfs_quota_us"
        quota = _unified_quota(tree, path) if group.unified else _legacy_quota(tree, directory, path)
        if quota is not None:
            yield Limit(kind="quota", file=printable(path), quota=quota)


def _unified_quota(tree: Tree, path: str) -> float | None:
    """ "350000 100000" is 3.5 cpus, "max 100000" none."""
    text = tree.optional_text(path)
    if text is None:
        return None
    words = text.split()
    if len(words) == 2 and words[0] == "max" and words[1].isdecimal():
        return None
    if len(words) != 2 or not all(word.isdecimal() and len(word) < 20 and int(word) for word in words):
        raise tree.problem(path, f"it holds {shortened(text.strip())}, not 'QUOTA PERIOD' in microseconds")
    return int(words[0]) / int(words[1])


def _legacy_quota(tree: Tree, directory: str, path: str) -> float | None:
    quota = tree.optional_number(path)
    if quota is None or quota == -1:
        return None
    period = tree.number(f"{directory}/cpu.cfs_period_us")
    if quota <= 0 or period <= 0:
        raise tree.problem(path, f"it holds {quota}, and the period is {period} microseconds")
    return quota / period


def _memory(tree: Tree, group: Cgroup) -> Iterator[Limit]:
    """Beyond memory.max the kernel kills, beyond memory.high it stops whoever asks for more."""
    if not group.controls("memory"):
        return
    for directory in group.levels:
        for name in ("memory.max", "memory.high") if group.unified else ("memory.limit_in_bytes",):
            amount = _bytes(tree, f"{directory}/{name}")
            if amount is not None:
                yield Limit(kind="memory", file=printable(f"{directory}/{name}"), memory_bytes=amount)


def _huge_pages(tree: Tree, group: Cgroup, page_sizes: Collection[int]) -> Iterator[Limit]:
    if not group.controls("hugetlb"):
        return
    for size in sorted(page_sizes):
        name = f"hugetlb.{_page_name(size)}.{'max' if group.unified else 'limit_in_bytes'}"
        for directory in group.levels:
            amount = _bytes(tree, f"{directory}/{name}")
            if amount is not None:
                file = printable(f"{directory}/{name}")
                yield Limit(kind="memory", file=file, memory_bytes=amount, page_bytes=size)


def _page_name(size: int) -> str:
    """2 MiB as "2MB", as mm/hugetlb_cgroup.c has it (mem_fmt)."""
    for unit, name in ((1 << 30, "GB"), (1 << 20, "MB")):
        if size >= unit:
            return f"{size // unit}{name}"
    return f"{size >> 10}KB"


def _bytes(tree: Tree, path: str) -> int | None:
    """A limit in bytes; None where there is none."""
    text = tree.optional_text(path)
    if text is None or text.strip() == "max":
        return None
    digits = text.strip()
    if not (digits.isascii() and digits.isdecimal()) or len(digits) > 20:
        raise tree.problem(path, f"it holds {shortened(digits)}, which is no size in bytes")
    return int(digits) if int(digits) < NO_LIMIT_BYTES else None


ONLINE = f"{CPU}/online"


def online_cpus(
    tree: Tree, directories: frozenset[int], limits: tuple[Limit, ...]
) -> tuple[frozenset[int], Limit | None]:
    """The online cpus, and the list that a container shows instead, None where the list is the host's.

    Where a saved tree lacks the list: what cpuN/online and cpu/offline leave. Where the list contradicts the
    directories: what affinity and cpuset allow, of the cpus that are online by their own directory; the list where it
    holds all of these.

    Raises:
        TopologyError: the list is empty or files contradict each other, and neither affinity nor cpuset is known.
    """
    listed = tree.raw(ONLINE)
    online = tree.optional_ids(ONLINE) if listed is None or listed.strip(b"\0\n ") else frozenset()
    if online is None:
        online = directories - (tree.optional_ids(f"{CPU}/offline") or frozenset())
        online = frozenset(cpu for cpu in online if _state(tree, cpu) is not False)
        if not online:
            raise tree.problem(CPU, "no cpu is online")
        return online, None
    if not online:  # lxcfs has shown nothing at all where it could not read the container's cpuset
        problem: TopologyError | None = tree.problem(ONLINE, "it names no cpu" if listed else "it is empty")
    else:
        problem = _contradiction(tree, directories, online)
    if problem is None:
        return online, None
    lists = [limit.cpus for limit in limits if limit.cpus is not None]
    told = frozenset.intersection(*lists) if lists else frozenset()
    allowed = frozenset(cpu for cpu in directories & told if _state(tree, cpu) is not False)
    absent = online - directories
    if not allowed or (absent and (absent & told or not directories <= told)):
        raise problem  # a cpu without a directory is lost, unless the container has the directories of its own only
    believed = online if online <= directories and allowed <= online else allowed  # an empty list holds none of them
    return believed, Limit(kind="view", file=ONLINE, cpus=online)


def _contradiction(tree: Tree, directories: frozenset[int], online: frozenset[int]) -> TopologyError | None:
    absent = online - directories
    if absent:
        return tree.problem(f"{CPU}/cpu{min(absent)}", f"there is no such directory, and {ONLINE} names the cpu")
    for cpu in sorted(directories - online):
        if _state(tree, cpu):
            named = format_list(online)
            what = f"it does not name cpu {cpu}, which is online by its own directory"
            hint = f"it names {named}; affinity or cpuset would decide, and proc/self/status tells none"
            return tree.problem(ONLINE, what, hint)
    return None


def _state(tree: Tree, cpu: int) -> bool | None:
    """Whether a cpu is online by its own directory; None where nothing there tells.

    In saved trees the file may be empty (the kernel refuses to read it while a cpu is being switched): then it is
    the rest of the directory that tells.
    """
    path = f"{CPU}/cpu{cpu}/online"
    data = tree.raw(path)
    if data is not None and (tree.live or data.strip(b"\0")):
        return tree.number(path) != 0
    return True if tree.has(f"{CPU}/cpu{cpu}/topology/core_id") else None if data is None else False
