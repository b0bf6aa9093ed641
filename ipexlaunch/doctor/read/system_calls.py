"""The doctor's questions that only a system call answers; none of them changes anything outside this process.

Sources: mmap(2), mincore(2), madvise(2) and arch_prctl (Documentation/arch/x86/xstate.rst) of the Linux kernel.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager

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
