"""A file that only grows, whose growth is on disk when it is said to be."""

from __future__ import annotations

import os

from ipexlaunch.documents.write_file import sync_directory
from ipexlaunch.errors import IpexLaunchError


class WriteError(IpexLaunchError):
    """Results cannot be written: the disk is full, a limit is reached, the directory is gone."""


class AppendedFile:
    """A file to append to; what was not synced may be cut off again."""

    def __init__(self, path: str, length: int = 0) -> None:
        """Open or create it, and cut off what lies beyond a length.

        Args:
            path: of the file.
            length: how many bytes of it count.

        Raises:
            WriteError: it cannot be opened, or is shorter than that.
        """
        self.path = path
        self.length = length
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | (0 if length else os.O_CREAT), 0o666)
            there = os.fstat(self._descriptor).st_size
            if there >= length:
                os.ftruncate(self._descriptor, length)
                os.lseek(self._descriptor, length, os.SEEK_SET)
                os.fsync(self._descriptor)
                sync_directory(os.path.dirname(os.path.abspath(path)))
        except OSError as error:
            if length and isinstance(error, FileNotFoundError):
                raise WriteError(
                    f"go on with {path}",
                    f"it is gone, but its ledger counts on {length} bytes of it",
                    "put it back; to go on from what is there: --resume --rebuild",
                ) from None
            raise WriteError(f"write {path}", str(error.strerror), "give a path that can be written") from None
        if there < length:
            os.close(self._descriptor)
            raise WriteError(
                f"go on with {path}",
                f"it has {there} bytes, but its ledger counts on {length}",
                "somebody has cut it; to go on from what it holds: --resume --rebuild",
            )

    def append(self, data: bytes) -> int:
        """Append all of it and sync; the new length in bytes.

        Raises:
            WriteError: it cannot be written; the file is as it was.
        """
        if not data:
            return self.length
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            self.truncate(self.length)
            raise WriteError(f"write {self.path}", str(error.strerror), "what was committed before stays") from None
        self.length += len(data)
        return self.length

    def truncate(self, length: int) -> None:
        """Cut off what lies beyond a length.

        Raises:
            WriteError: it cannot be.
        """
        try:
            os.ftruncate(self._descriptor, length)
            os.lseek(self._descriptor, length, os.SEEK_SET)
        except OSError as error:
            raise WriteError(f"cut {self.path}", str(error.strerror)) from None
        self.length = length

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)
