"""Read back where a worker and its children really are: affinity of every thread, anonymous pages by node."""

from __future__ import annotations

import os

from ipexlaunch.cpulist import parse_list
from ipexlaunch.placement import Placement, anonymous_bytes_by_node


def inspect_placement(pid: int, proc: str = "/proc") -> Placement | None:
    """What the kernel says of a process and its descendants now; None where it is gone.

    Args:
        pid: the worker's process id.
        proc: root of procfs; another directory in tests.
    """
    affinities: list[frozenset[int]] = []
    main_thread: frozenset[int] | None = None
    pages: dict[int, int] | None = {}
    for member in _with_descendants(pid, proc):
        for thread in _listed(f"{proc}/{member}/task"):
            affinity = _affinity(f"{proc}/{member}/task/{thread}/status")
            if affinity is None:
                continue  # the thread ended between the listing and the reading
            affinities.append(affinity)
            if thread == str(pid):
                main_thread = affinity
        text = _text(f"{proc}/{member}/numa_maps")
        if text is None:
            pages = None if str(member) == str(pid) else pages
        elif pages is not None:
            for node, size in anonymous_bytes_by_node(text).items():
                pages[node] = pages.get(node, 0) + size
    if main_thread is None:
        return None
    return Placement(
        cpus=frozenset().union(*affinities),
        threads=len(affinities),
        pinned_threads=sum(len(affinity) == 1 for affinity in affinities),
        main_thread_cpus=main_thread,
        pages=pages,
        peak_memory_bytes=_peak_memory_bytes(f"{proc}/{pid}/status"),
    )


def descendants(pid: int, proc: str = "/proc") -> list[int]:
    """Every process below this one, parents first; a process that ends meanwhile is left out.

    Source: proc(5), /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN).
    """
    return _with_descendants(pid, proc)[1:]


def _with_descendants(pid: int, proc: str) -> list[int]:
    found = [pid]
    for member in found:
        for thread in _listed(f"{proc}/{member}/task"):
            text = _text(f"{proc}/{member}/task/{thread}/children") or ""
            found.extend(int(child) for child in text.split())
    return found


def _affinity(path: str) -> frozenset[int] | None:
    for line in (_text(path) or "").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return parse_list(line.partition(":")[2], path)
    return None


def _peak_memory_bytes(path: str) -> int:
    for line in (_text(path) or "").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024  # "VmHWM:    1234 kB"
    return 0


def _listed(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _text(path: str) -> str | None:
    """The file's text; None where it does not exist, its process is gone, or it is not ours to read."""
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return None
