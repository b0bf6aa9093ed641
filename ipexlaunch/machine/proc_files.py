"""Read the small files of /proc, many and often, of processes that may end at any moment.

Find the library or program that a thread began in: the one whose pool it belongs to. Nothing of it is stopped.

The C library keeps, beside the robust list that get_robust_list(2) tells of any thread, the function that the thread
was begun with and its argument (glibc: `struct pthread`, members robust_head, start_routine, arg; nptl/descr.h).
Threads of the C++ library begin in its own code; their argument is an object of the library that made them, whose first
word points to that library's table of functions. Reading another process's memory needs what ptrace(2) calls
PTRACE_MODE_ATTACH, which a launcher has over its workers; where it is refused, nothing is told.
"""

from __future__ import annotations

import ctypes
import os
import re
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple

BUFFER_BYTES = 1 << 16
LINE_BYTES = 4096


def is_overmounted(path: str) -> bool:
    """Whether something else is mounted in the place of one file of /proc or /sys, as lxcfs does in containers.

    Such a file describes the container, not the host: its cpus may have other numbers, its sums are the container's.

    Args:
        path: below /proc or /sys of the live machine; any other path is none.
    """
    if not path.startswith(("/proc/", "/sys/")):
        return False
    try:
        return os.stat(path).st_dev != os.stat("/".join(path.split("/")[:2])).st_dev
    except OSError:
        return False


def children_of(thread: str) -> list[int]:
    """The processes that a thread has started and that live.

    Args:
        thread: its directory, /proc/PID/task/TID.

    Source: proc(5), children (CONFIG_PROC_CHILDREN).
    """
    return [int(child) for child in (text_of(f"{thread}/children") or "").split()]


def descendants(pid: int, proc: str = "/proc") -> list[int]:
    """Every process below this one, parents first; a process that ends meanwhile is left out.

    Source: proc(5), /proc/PID/task/TID/children (CONFIG_PROC_CHILDREN).
    """
    found = [pid]
    for member in found:
        for thread in names_in(f"{proc}/{member}/task"):
            found.extend(children_of(f"{proc}/{member}/task/{thread}"))
    return found[1:]


def names_in(path: str) -> list[str]:
    """What a directory holds; nothing where its process has ended."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def line_of(path: str) -> str:
    """A text of one line; the kernel gives it in one read.

    Raises:
        FileNotFoundError, ProcessLookupError: it is gone.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, LINE_BYTES).decode(errors="replace")
    finally:
        os.close(descriptor)


def text_of(path: str) -> str | None:
    """The file's text; None where it does not exist, its process is gone, or it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    parts: list[bytes] = []
    try:
        while part := os.read(descriptor, BUFFER_BYTES):
            parts.append(part)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="replace")


GET_ROBUST_LIST = {"x86_64": 274, "aarch64": 100, "riscv64": 100, "ppc64le": 299, "s390x": 305, "loongarch64": 100}
"""System call numbers: asm/unistd.h of each architecture."""

BEHIND_LIST_BYTES = 0x800
"""The function stands so near behind the list (0x350 with glibc 2.36 on x86-64)."""

WORD = struct.Struct("=Q")

C_LIBRARY = re.compile(r"(libc|libpthread|ld-[\w-]+|ld)[-.\d]*\.so.*|ld-musl.*")
CPP_LIBRARY = re.compile(r"lib(std)?c\+\+.*")

GO_NOTE = b"Go\x00\x00"
"""Name of the note that the Go linker writes near the beginning of a program (cmd/internal/buildid)."""

NOTES_BYTES = 4096


class MappedFile(NamedTuple):
    """A file that is mapped into a process."""

    begin: int
    end: int
    is_code: bool
    path: str


class ThreadStarts:
    """Answers for the threads of one process at one moment."""

    def __init__(
        self,
        process: int,
        proc: str = "/proc",
        *,
        robust_list: Callable[[int], int] | None = None,
    ) -> None:
        """Read what is mapped.

        Args:
            process: its id.
            proc: root of procfs.
            robust_list: address of a thread's robust list, 0 where the kernel does not tell; None asks the kernel.
        """
        self._process, self._proc = process, proc
        self._robust_list = robust_list or robust_list_of
        self._mappings = _mappings(text_of(f"{proc}/{process}/maps") or "")

    @property
    def mapped(self) -> frozenset[str]:
        """Paths of the files that are mapped."""
        return frozenset(mapping.path for mapping in self._mappings)

    @property
    def program(self) -> str:
        """Path of the program; "" where it cannot be read."""
        try:
            return os.readlink(f"{self._proc}/{self._process}/exe").removesuffix(" (deleted)")
        except OSError:
            return ""

    def is_go(self) -> bool:
        """Whether the program was made by the Go linker."""
        try:
            with open(f"{self._proc}/{self._process}/exe", "rb") as file:
                return GO_NOTE in file.read(NOTES_BYTES)
        except OSError:
            return False

    def begins_in(self, thread: int) -> str:
        """Path of the file that the thread began in; "" for a main thread, and where it cannot be told.

        Args:
            thread: its id.
        """
        if thread == self._process:
            return ""
        words = self._words(self._robust_list(thread), BEHIND_LIST_BYTES)
        for i, word in enumerate(words):
            path = self._path_of(word, code=True)
            if path and not C_LIBRARY.fullmatch(_name(path)):
                return (self._maker(words[i + 1 : i + 2]) or path) if CPP_LIBRARY.fullmatch(_name(path)) else path
        return ""

    def files_of(self, threads: Iterable[int]) -> frozenset[str]:
        """Every file that some of the threads began in.

        Args:
            threads: their ids.
        """
        return frozenset(filter(None, map(self.begins_in, threads)))

    def _maker(self, argument: tuple[int, ...]) -> str:
        """The library whose object a thread of the C++ library was given."""
        table = self._words(argument[0], WORD.size) if argument else ()
        return self._path_of(table[0], code=False) if table else ""

    def _path_of(self, address: int, *, code: bool) -> str:
        for mapping in self._mappings:
            if mapping.begin <= address < mapping.end:
                return mapping.path if mapping.is_code or not code else ""
        return ""

    def _words(self, address: int, size: int) -> tuple[int, ...]:
        """The words from an address on; () where they cannot be read."""
        if not address:
            return ()
        try:
            with open(f"{self._proc}/{self._process}/mem", "rb", buffering=0) as memory:
                memory.seek(address)
                data = memory.read(size)
        except (OSError, ValueError, OverflowError):
            return ()
        return tuple(word for (word,) in WORD.iter_unpack(data[: len(data) // WORD.size * WORD.size]))


def robust_list_of(thread: int) -> int:
    """Address of the head of a thread's robust list; 0 where the kernel does not tell.

    Args:
        thread: its id.
    """
    number = GET_ROBUST_LIST.get(os.uname().machine)
    if number is None:
        return 0
    head, size = ctypes.c_void_p(), ctypes.c_size_t()
    call = ctypes.CDLL(None, use_errno=True).syscall
    failed = call(ctypes.c_long(number), ctypes.c_long(thread), ctypes.byref(head), ctypes.byref(size))
    return 0 if failed else head.value or 0


def _mappings(maps: str) -> list[MappedFile]:
    found = []
    for line in maps.split("\n"):
        words = line.split(None, 5)
        if len(words) == 6 and words[5].startswith("/"):
            begin, _, end = words[0].partition("-")
            found.append(MappedFile(int(begin, 16), int(end, 16), "x" in words[1], words[5].removesuffix(" (deleted)")))
    return found


def _name(path: str) -> str:
    return path.rpartition("/")[2]
