"""A disk that hangs on command: a folder that is seen through a file system of its own (bindfs), which can be stopped.

Whoever touches the folder then waits in the kernel, as on a server that is away: no signal but SIGKILL changes that.
Where the server was stopped in the middle of a request, SIGKILL does not either, until it goes on: such a process has
ended when its first thread has.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class HangingDisk:
    """A disk that answers until it is told not to."""

    path: Path
    """Where it is mounted."""
    server: int
    """The process that answers for it; who stops it, stops the disk."""

    def hang(self) -> None:
        """Answer nobody from now on."""
        os.kill(self.server, signal.SIGSTOP)

    def answer(self) -> None:
        """Answer whoever waits, and everybody from now on."""
        os.kill(self.server, signal.SIGCONT)

    def wait_until_it_hangs(self, process: subprocess.Popen[str]) -> None:
        """Return once somebody has stopped it, or the process has ended."""
        while state_of(self.server) != "T" and process.poll() is None:
            time.sleep(0.01)


def state_of(pid: int) -> str:
    """The state of a process's first thread, as proc_pid_stat(5) has it; "" where there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def has_ended(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> bool:
    """Whether a process has ended, as far as a disk that hangs lets go of it."""
    return state_of(process.pid) in ("", "Z") or process.poll() is not None


@contextlib.contextmanager
def hanging_disk(folder: Path) -> Iterator[HangingDisk | None]:
    """The disk under this folder, which is made; None where this process may not mount one, or bindfs is missing.

    Args:
        folder: what it holds lies in a folder beside it, NAME.below, which may be there already.
    """
    below = folder.with_name(f"{folder.name}.below")
    for path in (folder, below):
        path.mkdir(exist_ok=True)
    if shutil.which("bindfs") is None:
        yield None
        return
    server = subprocess.Popen(["bindfs", "-f", str(below), str(folder)], stderr=subprocess.DEVNULL)
    try:
        while server.poll() is None and not os.path.ismount(folder):
            time.sleep(0.01)
        yield HangingDisk(folder, server.pid) if server.returncode is None else None
    finally:
        server.send_signal(signal.SIGCONT)
        subprocess.run(["umount", "--lazy", str(folder)], stderr=subprocess.DEVNULL, check=False)
        server.terminate()
        server.wait()
