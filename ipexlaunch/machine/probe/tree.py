"""The files under one root, read strictly: what is missing, cut off or binary is an error that names the file.

Every text file of sysfs and procfs ends in a newline, sometimes followed by NULs (kernels before 5.16 counted the final
NUL of some masks). A file that ends otherwise was cut off on its way here.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection
from typing import Protocol

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.cpulist import parse_ids, parse_mask, parse_number

ANOTHER_SOURCE = "describe the machine in a file or a sentence: --topology SRC"
ANOTHER_TREE = "put back what the kernel wrote, or save the machine again: ipexlaunch topology --save FILE.tar.gz"
"""What would work where a file of the machine that we run on is damaged, and where one of a saved machine is."""
LARGEST_FILE = 1 << 20
"""Bytes. sysfs lists and masks stay far below (8,192 cpus as single ids are 40 kB)."""


class Files(Protocol):
    """Where the bytes come from: a directory or an archive. Paths are relative to the root, without a leading slash."""

    where: str
    """The root, as the user can open it; ends so that a path can follow, "/" or "DIR/" or "FILE.tar:"."""

    def read(self, path: str, limit: int) -> bytes | None:
        """At most `limit` bytes of the file, or None where there is none.

        Raises:
            OSError: the file is there and cannot be read.
        """

    def names(self, path: str) -> list[str] | None:
        """Names in the directory, in any order, or None where there is none.

        Raises:
            OSError: the directory is there and cannot be read.
        """


def own_affinity() -> Collection[int]:
    """The cpus that this process may run on, as the kernel answers where no file tells."""
    return os.sched_getaffinity(0)


class Tree:
    """Strict readings over `Files`; every problem is a TopologyError that names the file."""

    def __init__(self, files: Files, affinity: Callable[[], Collection[int]] = own_affinity) -> None:
        """Read through `files`.

        Args:
            files: the machine's.
            affinity: sched_getaffinity(2) of this process; asked on the live machine only.
        """
        self.files = files
        self.live = files.where == "/"
        """On the live machine procfs must be there; saved trees may lack it."""
        self.affinity = affinity
        self.empty: list[str] = []
        """Files in a saved tree that hold nothing and count as missing: so a plain tar leaves those whose size is 0."""
        self._lists: dict[bytes, frozenset[int]] = {}
        self._masks: dict[bytes, frozenset[int]] = {}

    def place(self, path: str) -> str:
        """The path as the user can open it."""
        return self.files.where + path

    def problem(self, path: str, problem: str, hint: str = "") -> TopologyError:
        """The error for a file."""
        return TopologyError(self.place(path), problem, hint or (ANOTHER_SOURCE if self.live else ANOTHER_TREE))

    def has(self, path: str) -> bool:
        """Whether there is such a file or directory (or one that cannot be read)."""
        try:
            return self.files.read(path, 1) is not None
        except OSError:
            return True

    def tells(self, path: str) -> bool:
        """Whether there is such a file, and it holds something (or cannot be read).

        From Linux 5.16 to 5.19 masks and lists of cpus had no size, so that plain tar leaves them empty.
        """
        try:
            data = self.files.read(path, 1)
        except OSError:
            return True
        if data is None or self.live or data.strip(b"\0"):
            return data is not None
        self._note_empty(path)
        return False

    def names(self, path: str) -> list[str] | None:
        """Names in a directory that may be missing, then None."""
        try:
            return self.files.names(path)
        except OSError as error:
            raise self._unreadable(path, error) from None

    def raw(self, path: str, limit: int = LARGEST_FILE) -> bytes | None:
        """The bytes of a file that may be missing, then None."""
        try:
            data = self.files.read(path, limit + 1)
        except OSError as error:
            raise self._unreadable(path, error) from None
        if data is not None and len(data) > limit:
            raise self.problem(path, f"it is larger than {limit} bytes, as no such file of a kernel is")
        return self._told(path, data)

    def beginning(self, path: str, limit: int) -> bytes | None:
        """The first `limit` bytes of a file that may be missing, then None."""
        try:
            return self._told(path, self.files.read(path, limit))
        except OSError as error:
            raise self._unreadable(path, error) from None

    def _told(self, path: str, data: bytes | None) -> bytes | None:
        """The bytes, or None where a saved tree holds an empty file of /proc or of a cgroup."""
        if data is None or self.live or path.startswith(SIZED) or data.strip(b"\0"):
            return data
        self._note_empty(path)
        return None

    def _note_empty(self, path: str) -> None:
        if path not in self.empty:
            self.empty.append(path)

    def optional_text(self, path: str, limit: int = LARGEST_FILE, may_be_empty: bool = False) -> str | None:
        """The text of a file that may be missing, then None."""
        data = self.raw(path, limit)
        if data is None:
            return None
        if may_be_empty and not data:
            return ""
        return self._complete(path, data).decode("utf-8", "surrogateescape")

    def text(self, path: str) -> str:
        """The text of a file that must be there and say something."""
        text = self.optional_text(path)
        if text is None:
            raise self.missing(path)
        if not text.strip():
            raise self.problem(path, "it is empty")
        return text.strip()

    def ids(self, path: str) -> frozenset[int]:
        """The ids in a list or mask file that must be there; a bare newline is an empty set."""
        ids = self.optional_ids(path)
        if ids is None:
            raise self.missing(path)
        return ids

    def optional_ids(self, path: str) -> frozenset[int] | None:
        """The ids in a list or mask file that may be missing, then None."""
        data = self.raw(path)
        if data is None:
            return None
        parse, known = (parse_mask, self._masks) if path.endswith(MASKS) else (parse_ids, self._lists)
        if data in known:
            return known[data]
        text = self._complete(path, data).decode("utf-8", "surrogateescape").strip()
        try:
            ids = known[data] = parse(text)
        except ValueError as error:
            raise self.problem(path, str(error)) from None
        return ids

    def number(self, path: str) -> int:
        """The whole number in a file that must be there."""
        number = self.optional_number(path)
        if number is None:
            raise self.missing(path)
        return number

    def optional_number(self, path: str) -> int | None:
        """The whole number in a file that may be missing, then None."""
        data = self.raw(path)
        if data is None:
            return None
        try:
            return parse_number(self._complete(path, data))
        except ValueError as error:
            raise self.problem(path, str(error)) from None

    def missing(self, path: str) -> TopologyError:
        """The error for a file that must be there."""
        return self.problem(path, "there is no such file")

    def _complete(self, path: str, data: bytes) -> bytes:
        end = data.rstrip(b"\0")
        if not end:
            raise self.problem(path, "it is empty")
        if not end.endswith(b"\n"):
            raise self.problem(path, f"it is cut off or binary: it ends in {end[-20:]!r}, not in a newline")
        if b"\0" in end:
            raise self.problem(path, "it holds binary data")
        return end

    def _unreadable(self, path: str, error: OSError) -> TopologyError:
        return self.problem(path, f"it cannot be read: {error.strerror}")


SIZED = ("sys/devices/", "sys/bus/")
"""Where the kernel gives files a size; those of procfs and cgroups have none."""

MASKS = (
    *("/core_cpus", "/package_cpus", "/die_cpus", "/cluster_cpus"),
    *("/thread_siblings", "/core_siblings", "/cpumap", "/shared_cpu_map"),
)
"""Names of the files that hold a mask; lists are named like them with "_list" or "list" behind."""

_ABSENT = (errno.ENOENT, errno.ENOTDIR)
_PAGE = 4096


class DirectoryFiles:
    """Files under a directory: "/" for the live machine, or an unpacked snapshot, out of which no link leads."""

    def __init__(self, root: str) -> None:
        """Read under `root`."""
        self.where = root.rstrip("/") + "/"
        self._real_root = os.path.realpath(root).rstrip("/") + "/"
        self._live = self._real_root == "/"
        self._inside = {""}
        # A FIFO in the tree must not block us, and a link is looked at before it is followed.
        self._flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if self._live else os.O_NOFOLLOW)

    def read(self, path: str, limit: int) -> bytes | None:
        """At most `limit` bytes of the file, or None where there is none."""
        full = self.where + path
        try:
            if not self._live:
                self._enter(path.rpartition("/")[0])
            try:
                descriptor = os.open(full, self._flags)
            except OSError as error:
                if error.errno != errno.ELOOP or self._live:
                    raise
                descriptor = os.open(self._target(full), self._flags)
        except OSError as error:
            if error.errno in _ABSENT and not os.path.islink(full):
                return None
            raise
        try:
            if not self._live and not stat.S_ISREG(os.fstat(descriptor).st_mode):
                kind = errno.EISDIR if stat.S_ISDIR(os.fstat(descriptor).st_mode) else errno.EINVAL
                raise OSError(kind, os.strerror(kind) if kind == errno.EISDIR else "it is no regular file")
            data = os.read(descriptor, min(limit, _PAGE))  # the size asked for is allocated, a megabyte for a digit
            if len(data) < _PAGE and path.startswith("sys/"):
                return data  # sysfs hands out up to a page at a time; procfs may stop earlier, at the end of a line
            while 0 < len(data) < limit and (more := os.read(descriptor, limit - len(data))):
                data += more
        finally:
            os.close(descriptor)
        return data

    def names(self, path: str) -> list[str] | None:
        """Names in the directory, or None where there is none."""
        full = self.where + path
        try:
            if self._live:
                return os.listdir(full)
            self._enter(path)
            with os.scandir(full) as entries:
                names = []
                for entry in entries:
                    names.append(entry.name)
                    if entry.is_dir(follow_symlinks=False):
                        self._inside.add(f"{path}/{entry.name}")
                return names
        except OSError as error:
            if error.errno in _ABSENT and not os.path.islink(full):
                return None
            raise

    def _enter(self, directory: str) -> None:
        """Go down to a directory, once; a link that leads out would show this machine and not the saved one."""
        if directory in self._inside:
            return
        self._enter(directory.rpartition("/")[0])
        full = self.where + directory
        if os.path.islink(full):
            self._target(full)
        self._inside.add(directory)

    def _target(self, link: str) -> str:
        """Where a link leads, which must be inside the tree."""
        real = os.path.realpath(link)
        if not real.startswith(self._real_root):
            raise OSError(errno.EXDEV, f"a link leads out of the tree, to {real}")
        if os.path.islink(real):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return real
