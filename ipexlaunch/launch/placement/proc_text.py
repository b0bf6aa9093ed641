"""What the kernel's texts under /proc/PID say of one process: pages by node, threads, OpenMP runtimes.

Pure: `inspect_workers.py` reads the files. What is not understood is counted, never guessed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from ipexlaunch.launch.placement.placement import Resident

OPENMP = r"lib(gomp|iomp5|omp5?)(?:-[0-9a-f]{6,})?\.so(?:\.\d+)*"
"""File names of the OpenMP runtimes of GCC, Intel and LLVM; wheels add a part of a checksum (libgomp-a34b3233.so.1)."""

SHARED_MEMORY = ("/dev/zero", "/dev/shm/", "/memfd:", "/SYSV")
"""How shared memory shows as a file: MAP_SHARED|MAP_ANONYMOUS, shm_open(3), memfd_create(2), shmget(2)."""

DELETED = r"\040(deleted)"

MOST_DIGITS = 18
"""Of any count that a kernel writes; int() refuses texts of thousands."""

NODE_PAGES = r"N([0-9]{1,4})=([0-9]{1,18})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Where the resident pages of a process are, in bytes by node; the four kinds of page are told apart."""

    anonymous: Mapping[int, int] = field(default_factory=dict)
    """Heap, stack, private mappings, written copies of file pages; transparent huge pages are among them."""
    huge: Mapping[int, int] = field(default_factory=dict)
    """Anonymous memory in pages of hugetlb (MAP_HUGETLB)."""
    shared: Mapping[int, int] = field(default_factory=dict)
    """Shared memory, in pages of any size."""
    file: Mapping[int, int] = field(default_factory=dict)
    """The page cache's own pages, which lie where whoever read the file first had them."""
    by_policy: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    """Anonymous memory, huge or not, by the policy of its mapping as the kernel words it, such as "bind:1"."""
    unclear: int = 0
    """Lines that were not understood; their pages are in none of the figures."""


def memory_of(numa_maps: str, page_kb: int = 4, huge_page_kb: int = 2048) -> Memory:
    """The pages of one process by kind and node.

    A page is anonymous where `anon=` counts it. A line that has pages of both kinds on several nodes does not tell
    which are where: it counts as anonymous where it has no file behind it, else as file.

    Args:
        numa_maps: text of /proc/PID/numa_maps.
        page_kb: size of a page where a line does not say (kernels before 4.0 lack kernelpagesize_kB).
        huge_page_kb: the same for a line that is marked huge.

    Source: Documentation/filesystems/proc.rst and fs/proc/task_mmu.c (show_numa_map) of the Linux kernel.
    """
    totals: dict[str, dict[int, int]] = {kind: {} for kind in ("anonymous", "huge", "shared", "file")}
    by_policy: dict[str, dict[int, int]] = {}
    unclear = 0
    # Only "\n" ends a line and only " " a word: of blanks, the kernel escapes no others in the names of files.
    for line in numa_maps.removesuffix("\n").split("\n") if numa_maps else ():
        mapping = _mapping(line, page_kb, huge_page_kb)
        if mapping is None:
            unclear += 1
            continue
        policy, found = mapping
        for kind, sizes in found.items():
            _add(totals[kind], sizes)
            if kind in ("anonymous", "huge"):
                _add(by_policy.setdefault(policy, {}), sizes)
    return Memory(**totals, by_policy=by_policy, unclear=unclear)


def sum_of(parts: Iterable[Memory]) -> Memory:
    """The memory of several processes together; pages that they share are counted in each."""
    totals: dict[str, dict[int, int]] = {kind: {} for kind in ("anonymous", "huge", "shared", "file")}
    by_policy: dict[str, dict[int, int]] = {}
    unclear = 0
    for part in parts:
        _add(totals["anonymous"], part.anonymous)
        _add(totals["huge"], part.huge)
        _add(totals["shared"], part.shared)
        _add(totals["file"], part.file)
        for policy, sizes in part.by_policy.items():
            _add(by_policy.setdefault(policy, {}), sizes)
        unclear += part.unclear
    return Memory(**totals, by_policy=by_policy, unclear=unclear)


def sum_by_node(*parts: Mapping[int, int]) -> dict[int, int]:
    """Several accounts of bytes by node together."""
    total: dict[int, int] = {}
    for part in parts:
        _add(total, part)
    return total


Mapped = tuple[str, Mapping[str, Mapping[int, int]]]
"""A mapping's policy, and its bytes by kind and node."""


def _mapping(line: str, page_kb: int, huge_page_kb: int) -> Mapped | None:
    """One line; None where it is not understood."""
    words = line.split(" ")
    if len(words) < 2 or not re.fullmatch(r"[0-9a-f]+", words[0]):
        return None
    rest = words[1:]
    # Two policies have a blank in their name: "prefer (many):0-1" and "weighted interleave:0-1".
    policy = " ".join(rest[:2]) if rest[1:] and (rest[1].startswith("(") or rest[0] == "weighted") else rest[0]
    pages: dict[int, int] = {}
    anonymous, name, huge, size = 0, "", False, 0
    for word in rest[1:]:
        key, equals, value = word.partition("=")
        if key == "file" and equals:
            name = value
        elif key == "huge" and not equals:
            huge = True
        elif key in ("anon", "kernelpagesize_kB") and equals:
            if not _is_count(value):
                return None
            if key == "anon":
                anonymous = int(value)
            else:
                size = int(value)
        elif key[:1] == "N" and equals and key[1:].isdigit():
            found = re.fullmatch(NODE_PAGES, word)
            if found is None or int(found[1]) in pages:
                return None
            pages[int(found[1])] = int(found[2])
    total = sum(pages.values())
    if anonymous > total:
        return None
    unit = (size or (huge_page_kb if huge else page_kb)) * 1024
    every = {node: count * unit for node, count in pages.items() if count}
    shared = huge or name.removesuffix(DELETED).startswith(SHARED_MEMORY)
    other = "shared" if shared else "file"
    own = "huge" if huge else "anonymous"
    if not anonymous:
        return (policy, {other: every} if every else {})
    if anonymous == total or (len(every) > 1 and not name):
        return (policy, {own: every})
    if len(every) > 1:
        return (policy, {other: every})
    node = next(iter(every))
    return (policy, {own: {node: anonymous * unit}, other: {node: (total - anonymous) * unit}})


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS


def _add(total: dict[int, int], more: Mapping[int, int]) -> None:
    for node, size in more.items():
        total[node] = total.get(node, 0) + size


class ThreadStat(NamedTuple):
    """One thread, as /proc/PID/task/TID/stat has it."""

    name: str
    state: str
    """R runs or could, S sleeps, D waits for a device, Z has ended, ..."""
    ticks: int
    """User and system time so far, in ticks of sysconf(_SC_CLK_TCK)."""
    started: int
    """Ticks since boot; with its id it tells a thread from a later one of the same number."""
    last_cpu: int
    """The cpu that it runs on or ran on last."""


def thread_stat(text: str) -> ThreadStat | None:
    """The thread that the text tells of; None where it is not understood.

    Source: proc_pid_stat(5), fields 2, 3, 14, 15, 22 and 39; the name is in brackets and may hold blanks and brackets.
    """
    head, bracket, tail = text.rpartition(")")
    fields = tail.split(None, 37)
    if not bracket or len(fields) < 37:
        return None
    try:
        return ThreadStat(
            head.partition("(")[2],
            fields[0],
            int(fields[11]) + int(fields[12]),
            int(fields[19]),
            int(fields[36]),
        )
    except ValueError:
        return None


def migrations_of(sched: str) -> int | None:
    """How often the thread changed its cpu so far; None where the kernel does not tell.

    Args:
        sched: text of /proc/PID/task/TID/sched (CONFIG_SCHED_DEBUG).

    Source: kernel/sched/debug.c (proc_sched_show_task).
    """
    found = re.search(r"^(?:se\.)?nr_migrations\s*:\s*(\d{1,18})\s*$", sched, re.MULTILINE)
    return int(found[1]) if found else None


def openmp_of(maps: str) -> frozenset[str]:
    """Paths of the OpenMP runtimes that are mapped into a process.

    Args:
        maps: text of /proc/PID/maps.
    """
    found: set[str] = set()
    for line in maps.split("\n"):
        if "omp" not in line:
            continue
        words = line.split(None, 5)
        if len(words) == 6:
            path = words[5].removesuffix(" (deleted)")
            if re.fullmatch(OPENMP, path.rpartition("/")[2]):
                found.add(path)
    return frozenset(found)


def openmp_clash(files: Iterable[str], preload: str = "") -> tuple[str, ...]:
    """The runtimes that work side by side in one process, each with a pool of threads; empty where one serves all.

    libiomp5 and libomp answer libgomp's calls too, so one of them that is preloaded leaves nothing to the others;
    libgomp does not answer theirs.

    Args:
        files: the runtimes that are mapped.
        preload: LD_PRELOAD of the process.

    Source: the compatibility layer openmp/runtime/src/kmp_gsupport.cpp of LLVM.
    """
    ordered = tuple(sorted(files))
    names = [name.rpartition("/")[2] for name in re.split(r"[\s:]+", preload) if name]
    serves_all = any(found[1] != "gomp" for name in names if (found := re.fullmatch(OPENMP, name)))
    return ordered if len(ordered) > 1 and not serves_all else ()


def transparent_huge_bytes_of(smaps_rollup: str) -> int | None:
    """Anonymous memory in transparent huge pages; None where the kernel does not tell.

    Args:
        smaps_rollup: text of /proc/PID/smaps_rollup (Linux 4.14).
    """
    found = re.search(r"^AnonHugePages:\s*(\d{1,18}) kB$", smaps_rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def resident_of(smaps_rollup: str) -> Resident | None:
    """What of a process's memory is its own; None where the kernel does not tell.

    Args:
        smaps_rollup: text of /proc/PID/smaps_rollup; its Pss_Anon and Pss_File came with Linux 5.3.

    Source: Documentation/ABI/testing/procfs-smaps_rollup of the Linux kernel.
    """
    sizes = {name: int(kb) * 1024 for name, kb in re.findall(r"^(\w+):\s*(\d{1,15}) kB$", smaps_rollup, re.MULTILINE)}
    if not sizes.keys() >= {"Pss", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty"}:
        return None
    return Resident(
        private_bytes=sizes["Private_Clean"] + sizes["Private_Dirty"],
        shared_bytes=sizes["Shared_Clean"] + sizes["Shared_Dirty"],
        proportional_bytes=sizes["Pss"],
        proportional_anonymous_bytes=sizes.get("Pss_Anon"),
        proportional_file_bytes=sizes.get("Pss_File"),
    )


def peak_memory_bytes_of(status: str) -> int:
    """Largest resident set so far (VmHWM of /proc/PID/status); 0 where there is none (it has ended)."""
    found = re.search(r"^VmHWM:\s*(\d{1,18}) kB$", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def variable_of(environ: str, name: str) -> str | None:
    """A variable's value as the process was started with; None where it had none.

    Args:
        environ: text of /proc/PID/environ.
        name: of the variable.
    """
    start = f"{name}="
    return next((entry[len(start) :] for entry in environ.split("\0") if entry.startswith(start)), None)
