"""Results as they are appended: to a file that is synced before it counts, or to standard output."""

from __future__ import annotations

import os

from ipexlaunch.documents.write_file import sync_directory
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.background_writer import Outlet
from ipexlaunch.launch.guard_streams import NAMES, STDERR, STDOUT, closed_at_start, outlets


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
                    f"resume {path}",
                    f"it is gone, but its ledger counts on {length} bytes of it",
                    "put it back; to go on from what is there: --resume --rebuild",
                ) from None
            raise WriteError(f"write {path}", str(error.strerror), "give a path that can be written") from None
        if there < length:
            os.close(self._descriptor)
            raise WriteError(
                f"resume {path}",
                f"it has {there} bytes, but its ledger counts on {length}",
                "something else has cut it; to resume from what it holds: --resume --rebuild",
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
            raise WriteError(f"cut {self.path}", str(error.strerror), "what was committed before stays") from None
        self.length = length

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)


NAME_A_FILE = "name a file with --output"
"""What would work where nobody takes results."""

MOST_WAITING_BYTES = 8 << 20
"""While a pipe has so much to take, its job is held up: nobody is given more to do."""


class StandardOutput:
    """Takes lines as an `AppendedFile` does; what is written cannot be taken back."""

    def __init__(self, descriptor: int = STDOUT, name: str = "") -> None:
        """Begin with nothing written.

        Args:
            descriptor: where to write.
            name: what it is, for messages.

        Raises:
            WriteError: it was closed when the process began, so that results would go nowhere.
        """
        self.length = 0
        self._name = name or NAMES.get(descriptor, "the pipe")
        if descriptor == STDOUT and descriptor in closed_at_start:
            raise WriteError("write results to standard output", "it is closed", NAME_A_FILE)
        streams = outlets(STDOUT, STDERR)
        ours = {outlet.descriptor: outlet for outlet in streams}
        self._outlet = ours[descriptor] if descriptor in ours else Outlet(descriptor)

    @property
    def waiting_bytes(self) -> int:
        """What nobody has taken yet."""
        return self._outlet.thread.waiting_bytes

    @property
    def problem(self) -> str:
        """Why not everything was taken; "" where nothing is wrong so far."""
        return self._outlet.problem

    def append(self, data: bytes) -> int:
        """Have all of it written; the new length in bytes.

        Raises:
            WriteError: nobody reads any more, or the file it goes to is full.
        """
        self._outlet.add(data, whole=True)
        self.length += len(data)
        self._check()
        return self.length

    def make_room(self) -> None:
        """Return once little waits, however long that takes.

        Raises:
            WriteError: nobody reads any more, or the file it goes to is full.
        """
        if self.waiting_bytes > MOST_WAITING_BYTES:
            self.wait(None)

    def wait(self, patience_s: float | None) -> None:
        """Return once everything is taken.

        Args:
            patience_s: how long nothing may be taken; None for ever.

        Raises:
            WriteError: nobody reads any more, or the file it goes to is full.
        """
        self._outlet.wait(patience_s)
        self._check()

    def close(self) -> None:
        """Nothing to do; the descriptor is the process's."""

    def _check(self) -> None:
        if self.problem:
            raise WriteError(f"write results to {self._name}", self.problem, NAME_A_FILE)
