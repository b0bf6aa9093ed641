"""Which cpus are online, and what to believe where a container shows another list than the host's.

lxcfs (LXC, LXD, Incus, Proxmox) puts a file of its own in the place of cpu/online: the container's cpuset, or 0 to n-1
for a quota of n cpus, while the cpuN directories, their online files and the nodes stay the host's. Affinity and cpuset
are what the kernel obeys. Source: src/sysfs_fuse.c and src/proc_cpuview.c of lxcfs; its issues 305, 401, 627, 731.
"""

from __future__ import annotations

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.probe.sysfs_paths import CPU
from ipexlaunch.machine.probe.tree import Tree
from ipexlaunch.machine.topology import Limit

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
