"""Learn how much of a file is in the page cache, and on which nodes, without reading any of it from disk.

mincore tells which pages are in memory; those are mapped, and numa_maps then counts them by node. Asking costs about a
tenth of a second per GiB, so of a larger file evenly spread parts are asked.
"""

from __future__ import annotations

import mmap
import os
import stat

from ipexlaunch.doctor.host_facts import CachedFile
from ipexlaunch.doctor.host_files_read import Unread
from ipexlaunch.doctor.read.system_calls import MappedFile, mapped

PART_BYTES = 1 << 20
PARTS = 1024
"""At most so many parts are asked of one file; a smaller file is asked whole."""

NOT_TOLD = "only its owner, or who may write to it, is told which of its pages are cached (mincore(2), since Linux 5.2)"


def read_cached_file(path: str) -> CachedFile | Unread:
    """Where the page cache holds one file.

    Args:
        path: a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Unread(path, f"it cannot be opened ({error.strerror})")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Unread(path, "it is not a regular file")
        if status.st_size == 0:
            return CachedFile(path=path, size_bytes=0, asked_pages=0, cached_pages=0, pages_by_node={})
        if not is_told(status.st_uid, os.geteuid(), os.access(path, os.W_OK, effective_ids=True)):
            return Unread(path, NOT_TOLD)
        with mapped(descriptor, status.st_size) as file:
            asked, cached = _map_cached(file)
            return CachedFile(
                path=path,
                size_bytes=status.st_size,
                asked_pages=asked,
                cached_pages=cached,
                pages_by_node=_pages_by_node(file.address) if cached else {},
            )
    except OSError as error:
        return Unread(path, f"the kernel does not tell ({error.strerror})")
    finally:
        os.close(descriptor)


def is_told(owner: int, user: int, may_write: bool) -> bool:
    """Whether mincore tells a user the truth; anybody else is told that every page is cached.

    Args:
        owner: user id of the file's owner.
        user: effective user id of this process.
        may_write: whether it may write to the file.

    Source: can_do_mincore() in mm/mincore.c of the Linux kernel.
    """
    return user in (0, owner) or may_write


def _map_cached(file: MappedFile) -> tuple[int, int]:
    """(pages asked, pages cached); the cached ones are mapped afterwards."""
    asked = cached = 0
    for start in _parts(file.size):
        length = min(PART_BYTES, file.size - start)
        states = file.cached(start, length)
        asked += len(states)
        cached += sum(states)
        first = 0
        while (first := states.find(1, first)) >= 0:
            end = states.find(0, first)
            end = len(states) if end < 0 else end
            file.map_pages(start + first * mmap.PAGESIZE, (end - first) * mmap.PAGESIZE)
            first = end
    return asked, cached


def _parts(size: int) -> list[int]:
    """Offsets of the parts to ask: all of them, or PARTS evenly spread ones."""
    count = -(-size // PART_BYTES)
    if count <= PARTS:
        return [number * PART_BYTES for number in range(count)]
    return [number * count // PARTS * PART_BYTES for number in range(PARTS)]


def _pages_by_node(address: int) -> dict[int, int]:
    """Mapped pages of the mapping at this address, by node.

    Source: Documentation/filesystems/proc.rst (numa_maps).
    """
    with open("/proc/self/numa_maps", encoding="utf-8", errors="replace") as maps:
        for line in maps:
            words = line.split()
            if words and int(words[0], 16) == address:
                pairs = [word.partition("=") for word in words]
                kilobytes = next((int(value) for key, _, value in pairs if key == "kernelpagesize_kB"), 0)
                scale = kilobytes * 1024 // mmap.PAGESIZE or 1
                return {
                    int(key[1:]): int(value) * scale
                    for key, _, value in pairs
                    if key[:1] == "N" and key[1:].isdecimal()
                }
    return {}
