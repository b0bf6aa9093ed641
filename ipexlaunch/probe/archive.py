"""A saved tree in a tar archive, read in memory: nothing is unpacked, so nothing can land beside it."""

from __future__ import annotations

import errno
import importlib
import io
import posixpath
import tarfile
from collections.abc import Iterable

from ipexlaunch.errors import TopologyError

COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ\x00": "lzma"}
"""How such data begins, and the module that reads it."""
TAR_MAGIC, TAR_MAGIC_AT = b"ustar", 257
"""In the header of every tar archive since POSIX.1-1988."""

LARGEST_ARCHIVE = 1 << 29
"""Bytes of files in the archive, unpacked: a gzip bomb ends here."""
MOST_MEMBERS = 1 << 20
"""2,048 cpus with everything that sysfs has of them are 300,000."""
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
        TopologyError: it cannot be read, is cut off, is larger than any snapshot, or holds no sys/.
    """
    files: dict[str, bytes] = {}
    links: dict[str, str] = {}
    directories: list[str] = []
    plain = _decompressed(path, data)
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for count, member in enumerate(archive):
                if count > MOST_MEMBERS:
                    raise TopologyError(path, f"it has more than {MOST_MEMBERS} members, as no snapshot has")
                name = posixpath.normpath(member.name).lstrip("/")
                if member.isreg():
                    files[name] = plain[member.offset_data : member.offset_data + member.size]
                elif member.isdir():
                    directories.append(name)
                elif member.issym():
                    links[name] = member.linkname
                elif member.islnk():
                    files[name] = files[posixpath.normpath(member.linkname).lstrip("/")]
            end = archive.offset
    except KeyError as error:
        raise TopologyError(path, f"it holds a hard link to {error}, which is not before it") from None
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise TopologyError(path, f"it cannot be read as a tar archive: {error}") from None
    if plain[end : end + tarfile.BLOCKSIZE] != bytes(tarfile.BLOCKSIZE):
        raise TopologyError(path, "it is cut off: the end of the archive is missing")
    prefix = _root(path, (*files, *links, *directories))
    return ArchiveFiles(
        f"{path}:{prefix}",
        {name[len(prefix) :]: data for name, data in files.items() if name.startswith(prefix)},
        {name[len(prefix) :]: target for name, target in links.items() if name.startswith(prefix)},
        [name[len(prefix) :] for name in directories if name.startswith(prefix)],
    )


def _decompressed(path: str, data: bytes) -> bytes:
    """The plain tar archive."""
    module = next((module for start, module in COMPRESSIONS.items() if data.startswith(start)), None)
    if module is None:
        return data
    try:
        with importlib.import_module(module).open(io.BytesIO(data)) as file:
            plain: bytes = file.read(LARGEST_ARCHIVE + 1)
    except Exception as error:  # each library has errors of its own, and Python may have been built without it
        raise TopologyError(path, f"it cannot be unpacked by {module}: {error}") from None
    if len(plain) > LARGEST_ARCHIVE:
        raise TopologyError(path, f"it holds more than {LARGEST_ARCHIVE} bytes, as no snapshot does")
    return plain


def _root(path: str, names: tuple[str, ...]) -> str:
    """The folder that holds sys/: "" or "NAME/"."""
    prefixes = {""} if any(name.startswith("sys/") for name in names) else set()
    prefixes |= {f"{name.split('/')[0]}/" for name in names if name.split("/")[1:2] == ["sys"]}
    if "" in prefixes:
        return ""
    if len(prefixes) != 1:
        found = f"{len(prefixes)} folders with a sys/" if prefixes else "no sys/ at its top or one folder down"
        raise TopologyError(path, f"it holds {found}", "save one with 'ipexlaunch topology --save FILE.tar.gz'")
    return prefixes.pop()
