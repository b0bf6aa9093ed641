"""A saved tree in a tar archive, read in memory: nothing is unpacked, so nothing can land beside it."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from ipexlaunch.errors import TopologyError
from ipexlaunch.machine.probe.tar_members import COMPRESSIONS, FOLDER, LINK, REGULAR, SAVE, Unpacked, members_of

TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
"""In the header of every tar archive since POSIX.1-1988."""

MOST_KEPT = 1 << 27
"""Bytes of files and names that are held in memory; a machine with 2,048 cpus has 40 MB."""
MOST_LINKS = 40
"""Links in a row, as in the kernel (MAXSYMLINKS)."""


def is_archive(data: bytes) -> bool:
    """Whether data begins as a tar archive does, compressed or not."""
    return data.startswith(tuple(COMPRESSIONS)) or data.startswith(TAR_MAGIC, TAR_MAGIC_AT)


class ArchiveFiles:
    """Files of an archive whose root may be one folder down; hard and symbolic links lead inside it only."""

    def __init__(
        self, where: str, files: dict[str, bytes], links: dict[str, str], directories: Iterable[str] = ()
    ) -> None:
        """Keep what was read.

        Args:
            where: prefix of paths in messages.
            files: path below the root to content.
            links: path below the root to the target as the link has it.
            directories: directories below the root, needed only where they are empty.
        """
        self.where = where
        self.files = files
        self._links = links
        self.directories: dict[str, set[str]] = {}
        for path in directories:
            self.directories.setdefault(path, set())
        for path in (*files, *links, *self.directories):
            while path:
                parent, _, name = path.rpartition("/")
                siblings = self.directories.setdefault(parent, set())
                if name in siblings:
                    break
                siblings.add(name)
                path = parent

    def read(self, path: str, limit: int) -> bytes | None:
        """At most `limit` bytes of the file, or None where there is none."""
        data = self.files.get(path)
        if data is None:
            real = self._resolve(path)
            if real in self.directories:
                raise IsADirectoryError(errno.EISDIR, "Is a directory")
            data = self.files.get(real)
        return None if data is None else data[:limit]

    def names(self, path: str) -> list[str] | None:
        """Names in the directory, or None where there is none."""
        names = self.directories.get(path)
        if names is None:
            names = self.directories.get(self._resolve(path))
        return None if names is None else list(names)

    def _resolve(self, path: str) -> str:
        """The path without links; the same rules as under a directory."""
        if not self._links:
            return path
        done: list[str] = []
        todo = path.split("/")[::-1]
        followed = 0
        while todo:
            part = todo.pop()
            if part in ("", "."):
                continue
            if part == "..":
                del done[-1:]
                continue
            done.append(part)
            target = self._links.get("/".join(done))
            if target is None:
                continue
            followed += 1
            if followed > MOST_LINKS:
                raise OSError(errno.ELOOP, "Too many levels of symbolic links")
            del done[len(done) - 1 if not target.startswith("/") else 0 :]
            todo.extend(target.split("/")[::-1])
        real = "/".join(done)
        if followed and real not in self.files and real not in self.directories and path in self._links:
            raise OSError(errno.ENOENT, "a link that leads to no file of the archive")
        return real


def open_archive(path: str, data: bytes) -> ArchiveFiles:
    """Read an archive into memory.

    Args:
        path: its name, for messages.
        data: a .tar, .tar.gz, .tar.bz2 or .tar.xz that holds sys/, at its top or one folder down.

    Raises:
        TopologyError: it cannot be read, is cut off, is beyond a limit of any snapshot, or holds no sys/.
    """
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    directories: set[str] = set()
    kept = 0
    for member in members_of(path, Unpacked(path, data)):
        kept += len(member.content) + len(member.name) + len(member.target) + _grown(directories, member.name)
        if kept > MOST_KEPT:
            raise TopologyError(
                path, f"its files and their names have more than {MOST_KEPT} bytes, as no snapshot has", SAVE
            )
        if member.kind in REGULAR:
            files[member.name] = member.content
        elif member.kind in FOLDER:
            directories.add(member.name)
        elif member.kind == LINK:
            links[member.name] = member.target
        elif member.target in files:
            files[member.name] = files[member.target]
        else:
            raise TopologyError(path, f"it holds a hard link to {member.target!r}, which is not before it", SAVE)
    prefix = _root(path, (*files, *links, *directories))
    return ArchiveFiles(
        f"{path}:{prefix}",
        {name[len(prefix) :]: data for name, data in files.items() if name.startswith(prefix)},
        {name[len(prefix) :]: target for name, target in links.items() if name.startswith(prefix)},
        [name[len(prefix) :] for name in directories if name.startswith(prefix) and name != "."],
    )


def _grown(directories: set[str], name: str) -> int:
    """Add the folders above a name; how many bytes the names of the new ones have."""
    grown = 0
    while (name := name.rpartition("/")[0]) and name not in directories:
        directories.add(name)
        grown += len(name)
    return grown


def _root(path: str, names: tuple[str, ...]) -> str:
    """The folder that holds sys/: "" or "NAME/"."""
    prefixes = {""} if any(name.startswith("sys/") for name in names) else set()
    prefixes |= {f"{name.split('/')[0]}/" for name in names if name.split("/")[1:2] == ["sys"]}
    if "" in prefixes:
        return ""
    if len(prefixes) != 1:
        found = f"{len(prefixes)} folders with a sys/" if prefixes else "no sys/ at its top or one folder down"
        raise TopologyError(path, f"it holds {found}", SAVE)
    return prefixes.pop()
