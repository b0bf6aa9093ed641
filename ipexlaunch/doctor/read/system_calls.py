"""The doctor's questions that only a system call answers; none of them changes anything outside this process.

Sources: mmap(2), mincore(2), madvise(2) and arch_prctl (Documentation/arch/x86/xstate.rst) of the Linux kernel.

Learn how much of a file is in the page cache, and on which nodes, without reading any of it from disk.

mincore tells which pages are in memory; those are mapped, and numa_maps then counts them by node. Asking costs about a
tenth of a second per GiB, so of a larger file evenly spread parts are asked.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from ipexlaunch.doctor.host_facts import CachedFile
from ipexlaunch.doctor.host_files_read import Unavailable

MADV_POPULATE_READ = 22
"""Linux 5.14; unlike touching a page it cannot end the process when the file is cut short meanwhile."""

ARCH_REQ_XCOMP_PERM = 0x1023
XFEATURE_XTILEDATA = 18
ARCH_PRCTL_NUMBER = 158
"""On x86-64; no other machine has it."""

FAILED = ctypes.c_void_p(-1).value


def _failure() -> OSError:
    code = ctypes.get_errno()
    return OSError(code, os.strerror(code))


def ask_for_amx() -> str:
    """Ask the kernel for the AMX tile state for this process, as oneDNN does in a worker.

    Returns:
        Empty where it is granted, else why not.
    """
    if os.uname().machine != "x86_64":
        return "not an x86 machine"
    call = ctypes.CDLL(None, use_errno=True).syscall
    words = (ctypes.c_long(ARCH_PRCTL_NUMBER), ctypes.c_long(ARCH_REQ_XCOMP_PERM), ctypes.c_long(XFEATURE_XTILEDATA))
    return "" if call(*words) == 0 else str(_failure().strerror)


class MappedFile:
    """A file mapped for reading. Its pages are not read from disk by anything here."""

    def __init__(self, address: int, size: int, library: ctypes.CDLL) -> None:
        """Keep the mapping; `mapped` makes and ends it."""
        self.address = address
        self.size = size
        self._library = library

    def cached(self, start: int, length: int) -> bytes:
        """For each page of a part whether it is in memory: one byte per page, 1 or 0.

        Args:
            start: offset in bytes, a multiple of the page size.
            length: in bytes.
        """
        vector = (ctypes.c_ubyte * -(-length // mmap.PAGESIZE))()
        place = ctypes.c_void_p(self.address + start)
        if self._library.mincore(place, ctypes.c_size_t(length), vector) != 0:
            raise _failure()
        return bytes(byte & 1 for byte in vector)

    def map_pages(self, start: int, length: int, advice: int = MADV_POPULATE_READ) -> None:
        """Enter pages that are cached into the page table, so that the kernel counts them for this mapping.

        Args:
            start: offset in bytes, a multiple of the page size.
            length: in bytes.
            advice: what madvise is called with; one that the kernel does not know makes each page be touched.
        """
        place = ctypes.c_void_p(self.address + start)
        if self._library.madvise(place, ctypes.c_size_t(length), ctypes.c_int(advice)) == 0:
            return
        error = _failure()
        if error.errno != errno.EINVAL:
            raise error
        for offset in range(start, start + length, mmap.PAGESIZE):
            ctypes.string_at(self.address + offset, 1)


@contextmanager
def mapped(descriptor: int, size: int) -> Iterator[MappedFile]:
    """Map a whole file for reading within the block.

    Args:
        descriptor: an open file.
        size: in bytes, at least one.

    Raises:
        OSError: the file system cannot map files, or the address space is limited.
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.mmap.restype = ctypes.c_void_p
    library.mmap.argtypes = (
        ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long
    )  # fmt: skip
    address = library.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, 0)
    if address is None or address == FAILED:
        raise _failure()
    try:
        # Without this a page that carries the read-ahead mark would have more of the file read in when it is mapped.
        library.madvise(ctypes.c_void_p(address), ctypes.c_size_t(size), ctypes.c_int(mmap.MADV_RANDOM))
        yield MappedFile(address, size, library)
    finally:
        library.munmap(ctypes.c_void_p(address), ctypes.c_size_t(size))


PART_BYTES = 1 << 20
PARTS = 1024
"""At most so many parts are asked of one file; a smaller file is asked whole."""

NOT_TOLD = "only its owner, or who may write to it, is told which of its pages are cached (mincore(2), since Linux 5.2)"


def read_cached_file(path: str) -> CachedFile | Unavailable:
    """Where the page cache holds one file.

    Args:
        path: a regular file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return Unavailable(path, f"it cannot be opened ({error.strerror})")
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return Unavailable(path, "it is not a regular file")
        if status.st_size == 0:
            return CachedFile(path=path, size_bytes=0, asked_pages=0, cached_pages=0, pages_by_node={})
        if not mincore_is_truthful(status.st_uid, os.geteuid(), os.access(path, os.W_OK, effective_ids=True)):
            return Unavailable(path, NOT_TOLD)
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
        return Unavailable(path, f"the kernel does not tell ({error.strerror})")
    finally:
        os.close(descriptor)


def mincore_is_truthful(owner: int, user: int, may_write: bool) -> bool:
    """Whether mincore tells a user the truth; for anybody else every page counts as cached.

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
