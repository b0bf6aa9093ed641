"""Results on standard output, for a pipe: they are out of our hands when they are written."""

from __future__ import annotations

import os

from ipexlaunch.write_results.appended_file import WriteError


class StandardOutput:
    """Takes lines as an `AppendedFile` does; what is written cannot be taken back."""

    def __init__(self, descriptor: int = 1, name: str = "standard output") -> None:
        """Begin with nothing written.

        Args:
            descriptor: where to write.
            name: what it is, for messages.
        """
        self.length = 0
        self._descriptor = descriptor
        self._name = name

    def append(self, data: bytes) -> int:
        """Write all of it; the new length in bytes.

        Raises:
            WriteError: nobody reads any more, or the file it goes to is full.
        """
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError as error:
            raise WriteError(f"write results to {self._name}", str(error.strerror)) from None
        self.length += len(data)
        return self.length

    def close(self) -> None:
        """Nothing to do; the descriptor is the process's."""
