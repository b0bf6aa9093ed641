"""One batch job that is not left in peace until it has suffered so many faults; then what is left of it is compared.

    python -m tests.batch_faults --faults 1000

The checker (tests/batching/check_results.py) reads the input and the output and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.batching.check_results import problems_of, rows_of

ROOT = Path(__file__).parents[2]
HANG_S = 120.0
"""A launch that takes longer hangs; an undisturbed one takes some seconds."""

ITEMS = 3000
POISONED = frozenset({3, 400, ITEMS - 1})

PROGRAM = """
import os, signal, time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(0.004 * len(batch))
    if any(item["n"] in POISONED for item in batch.items):
        if len(batch) % 2:
            os.kill(os.getpid(), signal.SIGKILL)
        batch.failed("it is poisoned")
        continue
    batch.done([[item["n"], "x" * (item["n"] % 50)] for item in batch.items])
"""


def expected(item: dict[str, Any]) -> object:
    """What the program answers."""
    return [item["n"], "x" * (item["n"] % 50)]


@dataclass
class Job:
    """A job, what has been done to it, and what was wrong with how it took that."""

    folder: Path
    poisoned: frozenset[int]
    attempts: int
    suffered: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    given_up: int = 0
    """Items without fault that shared the blame for what was done to their workers."""

    @property
    def disk(self) -> Path:
        """Where the output is: a small disk of its own, where this process may mount one."""
        return self.folder / "disk"

    @property
    def output(self) -> Path:
        """The results."""
        return self.disk / "out.jsonl"

    @property
    def ledger(self) -> Path:
        """What says which of them count."""
        return self.disk / "out.jsonl.ledger"


def torment(folder: Path, faults: int, poison: bool) -> Job:
    """Run a job to its end under so many faults.

    Args:
        folder: an empty one.
        faults: how many; then it is left in peace.
        poison: whether some of its items kill their workers, or fail.
    """
    # Without poison no item may be given up, however often its worker is killed; with it, items are found by failing.
    job = Job(folder, POISONED if poison else frozenset(), 3 if poison else 1000)
    job.disk.mkdir()
    rows = [json.dumps({"id": f"d{n}", "n": n, "pad": "x" * (n * 37 % 90)}) + "\n" for n in range(ITEMS)]
    (folder / "in.jsonl").write_text("".join(rows))
    (folder / "program.py").write_text(PROGRAM.replace("POISONED", str(sorted(job.poisoned))))
    with small_disk(job.disk):
        complete = False
        while not complete and not job.problems:
            complete = launch(job, faults)
        job.suffered["a poisoned item"] += len(job.poisoned)
        job.problems += problems_of(folder / "in.jsonl", job.output, expected, lambda item: poison or item is None)
        dead = {row["value"]["n"] for row in rows_of(Path(f"{job.output}.dead.jsonl"))}
        job.problems += [f"the poisoned item {n} has a result" for n in job.poisoned - dead]
        job.given_up = len(dead - job.poisoned)
    return job


def launch(job: Job, faults: int) -> bool:
    """Begin or go on with the job, strike while it runs, and say whether it has come to its end."""
    left = faults - job.suffered.total()
    is_full = left > 0 and random.random() < 0.15
    room = fill_up(job) if is_full else None
    process = start(job, "--resume", room=room)
    began = time.monotonic()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.02, 0.4) if left > 0 else 1.0)  # the moment is the experiment
        if time.monotonic() - began > HANG_S:
            job.problems.append("it hung")
            process.kill()
        elif process.returncode is None and job.suffered.total() < faults:
            strike(job, process)
    words = process.stderr.read() if process.stderr is not None else ""
    if process.stderr is not None:
        process.stderr.close()
    job.codes[process.returncode] += 1
    (job.disk / "ballast").unlink(missing_ok=True)
    if process.returncode == 2 and is_full:
        return False  # nothing could be written at all
    if process.returncode == 2:
        if "--rebuild" not in words:
            job.problems.append(f"it refused to go on: {words}")
        rebuild = start(job, "--resume", "--rebuild")
        _, words = rebuild.communicate(timeout=HANG_S)
        if rebuild.returncode == 2:
            job.problems.append(f"its ledger could not be built anew: {words}")
        job.codes[rebuild.returncode] += 1
        return is_complete(job, rebuild.returncode)
    if process.returncode not in (0, 4, -9, 143, 128 + 9, -15, 3):
        job.problems.append(f"it ended with {process.returncode}: {words}")
    if process.returncode == 3:
        job.problems.append(f"a bug: {words}")
    if is_complete(job, process.returncode):
        return True
    if job.suffered.total() < faults:
        spoil(job)
    return False


def is_complete(job: Job, code: int) -> bool:
    """Whether a job has come to its end: everything has its result, or what was given up stands in its place."""
    rows = len(rows_of_whole_lines(job.output)) + len(rows_of_whole_lines(Path(f"{job.output}.dead.jsonl")))
    return code == 0 or (code == 4 and rows >= ITEMS)


def rows_of_whole_lines(path: Path) -> list[bytes]:
    """Lines with their end."""
    return [line for line in path.read_bytes().splitlines(True) if line.endswith(b"\n")] if path.exists() else []


def start(job: Job, *options: str, room: int | None = None) -> subprocess.Popen[str]:
    """Start a launcher; `room` is how large a file may become."""
    count = str(min(2, len(os.sched_getaffinity(0))))

    def limit() -> None:
        if room is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    return subprocess.Popen(
        [
            sys.executable, "-m", "ipexlaunch", "batch", "--input", "in.jsonl", "--output", str(job.output),
            "--id-field", "id", "--ninstances", count, "--grace", "2", "--stall-timeout", "1", "--ready-timeout", "30",
            "--batch-size", "8", "--attempts", str(job.attempts), *options, "program.py",
        ],
        cwd=job.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limit,
    )  # fmt: skip


def workers_of(pid: int) -> list[int]:
    """The workers of a launcher."""
    found = []
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            with contextlib.suppress(OSError):
                if b"IPEXLAUNCH_BATCHES=" in Path(f"/proc/{child}/environ").read_bytes():
                    found.append(int(child))
    return found


def signal_worker(number: signal.Signals) -> Callable[[subprocess.Popen[str]], bool]:
    """Signal one of the workers, if there is one."""

    def act(process: subprocess.Popen[str]) -> bool:
        workers = workers_of(process.pid)
        with contextlib.suppress(ProcessLookupError):
            if workers:
                os.kill(random.choice(workers), number)
                return True
        return False

    return act


def signal_launcher(number: signal.Signals) -> Callable[[subprocess.Popen[str]], bool]:
    """Signal the launcher and see it end."""

    def act(process: subprocess.Popen[str]) -> bool:
        process.send_signal(number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(HANG_S)
        return True

    return act


def stop_launcher(process: subprocess.Popen[str]) -> bool:
    """Stop the launcher for a moment."""
    process.send_signal(signal.SIGSTOP)
    time.sleep(random.uniform(0.0, 0.3))
    process.send_signal(signal.SIGCONT)
    return True


STRIKES: dict[str, tuple[float, Callable[[subprocess.Popen[str]], bool]]] = {
    "kill -9 of a worker": (0.45, signal_worker(signal.SIGKILL)),
    "SIGSTOP of a worker": (0.15, signal_worker(signal.SIGSTOP)),
    "kill -9 of the launcher": (0.25, signal_launcher(signal.SIGKILL)),
    "SIGTERM to the launcher": (0.05, signal_launcher(signal.SIGTERM)),
    "SIGSTOP of the launcher for a moment": (0.10, stop_launcher),
}


def strike(job: Job, process: subprocess.Popen[str]) -> None:
    """Do one thing to a running job."""
    names = list(STRIKES)
    name = random.choices(names, [STRIKES[name][0] for name in names])[0]
    if STRIKES[name][1](process):
        job.suffered[name] += 1


def spoil(job: Job) -> None:
    """Do something to the files of a job that does not run."""
    if random.random() < 0.25 and job.ledger.exists():
        os.truncate(job.ledger, random.randrange(job.ledger.stat().st_size + 1))
        Path(f"{job.ledger}-wal").unlink(missing_ok=True)
        job.suffered["a truncated ledger"] += 1
    elif random.random() < 0.3 and job.ledger.exists():
        wal = Path(f"{job.ledger}-wal")
        if wal.exists() and wal.stat().st_size:
            os.truncate(wal, random.randrange(wal.stat().st_size))
            job.suffered["a truncated write-ahead log"] += 1
    if random.random() < 0.3 and job.output.exists():
        with job.output.open("ab") as file:
            file.write(b'{"id":"d1","number":1,"res')
        job.suffered["half a row at the end of the output"] += 1


def fill_up(job: Job) -> int | None:
    """Leave little room: on the disk, where it is one of its own, or by a limit that the next launch gets."""
    job.suffered["a full disk"] += 1
    free = os.statvfs(job.disk)
    room = random.randrange(1, 60_000)
    if os.path.ismount(job.disk) and random.random() < 0.5:
        with contextlib.suppress(OSError), (job.disk / "ballast").open("wb") as file:
            file.write(b"\0" * max(0, free.f_bavail * free.f_frsize - room))
        return None
    size = job.output.stat().st_size if job.output.exists() else 0
    return size + room


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 4 MB, where this process may mount one."""
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
