"""The memory policy of this process as /proc tells it, where a container's filter refuses get_mempolicy."""

from __future__ import annotations

from ipexlaunch.doctor.read.host_files import read_file

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
