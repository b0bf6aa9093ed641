"""Which libraries running workers have really mapped, read while they wait for the launcher."""

from __future__ import annotations

from ipexlaunch.launch.observer import Observer
from ipexlaunch.machine.proc_files import text_of

FEW_LOOKS = 3
"""At each worker: before the start and at its end the worker waits; between them a look holds up page faults."""


class MappedLibraries(Observer):
    """Remembers, by process, the shared libraries of its memory map."""

    def __init__(self, proc: str = "/proc") -> None:
        """Begin with nothing seen.

        Args:
            proc: root of procfs.
        """
        self._proc = proc
        self._looks: dict[int, int] = {}
        self.by_pid: dict[int, tuple[str, ...]] = {}
        """Process id to paths, in the order of the last look."""

    def on_looked(self, pid: int, *, waits: bool) -> None:
        """Read a worker's map, one at work no more than FEW_LOOKS times; one that is gone keeps what was read before.

        Source: proc(5), /proc/PID/maps.
        """
        if not waits and self._looks.get(pid, 0) >= FEW_LOOKS:
            return
        self._looks[pid] = self._looks.get(pid, 0) + 1
        found = libraries_in(text_of(f"{self._proc}/{pid}/maps") or "")
        if found:
            self.by_pid[pid] = found


def libraries_in(maps: str) -> tuple[str, ...]:
    """The paths of shared libraries in the text of a memory map, each once.

    Args:
        maps: lines of address, permissions, offset, device, inode and path.
    """
    paths = (parts[5] for line in maps.splitlines() if len(parts := line.split(maxsplit=5)) == 6)
    return tuple(dict.fromkeys(path for path in paths if path.startswith("/") and _is_library(path)))


def _is_library(path: str) -> bool:
    name = path.removesuffix(" (deleted)").rpartition("/")[2]
    return name.endswith(".so") or ".so." in name
