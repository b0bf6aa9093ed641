"""What is done to a batch job: signals to its processes, damage to its files, a disk that is full or hangs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.batch.hanging_disk import HangingDisk, hanging_disk, has_ended, state_of

Strike = Callable[[subprocess.Popen[str], HangingDisk | None], bool]
"""Does something to a launcher or to its disk; whether there was something to do it to."""

HANG_S = 120.0
"""A launch that takes longer after the last strike hangs; an undisturbed one takes some seconds."""

HALF_A_ROW = b'{"id":"d1","number":1,"res'


def workers_of(pid: int) -> list[int]:
    """The workers of a launcher."""
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"IPEXLAUNCH_BATCHES=" in Path(f"/proc/{child}/environ").read_bytes():
                    found.append(int(child))
    return found


def signal_worker(number: signal.Signals) -> Strike:
    """Signal one of the workers, if there is one."""

    def act(process: subprocess.Popen[str], _: HangingDisk | None) -> bool:
        workers = workers_of(process.pid)
        with contextlib.suppress(ProcessLookupError):
            if workers:
                os.kill(random.choice(workers), number)
                return True
        return False

    return act


def signal_launcher(number: signal.Signals) -> Strike:
    """Signal the launcher and see it end."""

    def act(process: subprocess.Popen[str], _: HangingDisk | None) -> bool:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(HANG_S)
        return True

    return act


def stop_launcher(process: subprocess.Popen[str], _: HangingDisk | None) -> bool:
    """Stop the launcher for a moment."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(random.uniform(0.0, 0.3))
    process.send_signal(signal.SIGCONT)
    return True


def hang_disk(number: signal.Signals | None) -> Strike:
    """Have the disk hang: for a moment, or until the launcher has ended, which is signalled meanwhile."""

    def act(process: subprocess.Popen[str], disk: HangingDisk | None) -> bool:
        if disk is None:
            return False
        if random.random() < 0.7:  # most of them while it commits, the others at any moment of its start
            while process.poll() is None and not workers_of(process.pid):
                time.sleep(0.01)
            time.sleep(random.uniform(0.0, 2.0))
        disk.hang()
        time.sleep(random.uniform(0.0, 1.0))
        if number is not None:
            process.send_signal(number)
        hung = number is not None and not ends_without_its_disk(process)
        disk.answer()
        if hung:
            raise HungError(f"it did not end after {number!r} while its disk hung")
        return True

    return act


def ends_without_its_disk(process: subprocess.Popen[str]) -> bool:
    """Whether a launcher that was signalled ends while its disk hangs.

    While it starts it looks at its files itself. If the disk was stopped in the middle of that request, the kernel lets
    the process go no sooner than that is answered, whatever has killed it; but of its threads only that one is left.
    """
    waiting, deadline = 0, time.monotonic() + HANG_S
    while not has_ended(process) and time.monotonic() < deadline:
        time.sleep(0.01)
        with contextlib.suppress(OSError):
            alone = len(os.listdir(f"/proc/{process.pid}/task")) == 1
            waiting = waiting + 1 if alone and state_of(process.pid) == "D" else 0
        if waiting > 100:
            return True
    return has_ended(process)


class HungError(Exception):
    """A launcher that should have ended."""


STRIKES: dict[str, tuple[float, Strike]] = {
    "kill -9 of a worker": (0.45, signal_worker(signal.SIGKILL)),
    "SIGSTOP of a worker": (0.15, signal_worker(signal.SIGSTOP)),
    "kill -9 of the launcher": (0.25, signal_launcher(signal.SIGKILL)),
    "SIGTERM to the launcher": (0.05, signal_launcher(signal.SIGTERM)),
    "SIGSTOP of the launcher for a moment": (0.10, stop_launcher),
    "a disk that hangs for a moment": (0.15, hang_disk(None)),
    "a disk that hangs, then SIGTERM": (0.10, hang_disk(signal.SIGTERM)),
    "a disk that hangs, then kill -9 of the launcher": (0.05, hang_disk(signal.SIGKILL)),
}


def spoil(output: Path, gathered: Path) -> Iterator[str]:
    """Do something to the files of a job that does not run; what was done, one by one."""
    ledger, letters = Path(f"{output}.ledger"), Path(f"{output}.dead.jsonl")
    wal = Path(f"{ledger}-wal")
    if random.random() < 0.2 and ledger.exists():
        os.truncate(ledger, random.randrange(ledger.stat().st_size + 1))
        wal.unlink(missing_ok=True)
        yield "a truncated ledger"
    elif random.random() < 0.3 and wal.exists() and wal.stat().st_size:
        os.truncate(wal, random.randrange(wal.stat().st_size))
        yield "a truncated write-ahead log"
    if random.random() < 0.3 and gathered.exists() and gathered.read_bytes()[-1:] in (b"", b"\n"):
        with gathered.open("ab") as file:
            file.write(HALF_A_ROW)
        yield "half a row at the end of the output"
    if not letters.exists() or letters.read_bytes()[-1:] not in (b"", b"\n"):
        return  # nothing is ever put after half a letter: who opens the job cuts it off first
    if random.random() < 0.3:
        with letters.open("ab") as file:
            file.write(HALF_A_ROW)
        yield "half a letter at the end of the letters"
    elif random.random() < 0.3 and gathered.exists() and (row := first_row(gathered)):
        # As after a crash between the letter and the ledger's commit, of an item that is done since.
        with letters.open("ab") as file:
            file.write(row.replace(b'"result":', b'"reason":"?","attempts":1,"value":'))
        yield "a letter that was never committed"
    elif random.random() < 0.6:
        os.truncate(letters, random.randrange(letters.stat().st_size + 1))
        yield "letters cut"
    elif random.random() < 0.5:
        letters.unlink()
        yield "letters deleted"


def first_row(path: Path) -> bytes:
    """The first whole row of a file."""
    with path.open("rb") as file:
        line = file.readline()
    return line if line.endswith(b"\n") else b""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[HangingDisk | None]:
    """A disk of 4 MB that hangs on command, as far as this process may mount one."""
    below = folder.with_name(f"{folder.name}.below")
    below.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(below)]
    mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    try:
        with hanging_disk(folder) as disk:
            yield disk
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(below)], check=True)
