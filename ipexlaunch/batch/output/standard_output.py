"""Results on standard output, for a pipe: what is written is out of our hands, and nobody waits for that."""

from __future__ import annotations

from ipexlaunch.batch.output.appended_file import WriteError
from ipexlaunch.launch.background_writer import Outlet
from ipexlaunch.launch.guard_streams import NAMES, STDERR, STDOUT, closed_at_start, outlets

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
            raise WriteError("write results to standard output", "it is closed", "name a file with --output")
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
            raise WriteError(f"write results to {self._name}", self.problem)
