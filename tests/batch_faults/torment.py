"""One batch job that is not left in peace until it has suffered so many faults; then what is left of it is compared.

    python -m tests.batch_faults --faults 1000

A job with poisoned items has three acts: the job itself; --retry-dead with a program that is mended by half; and with
one that is mended. The checker (tests/batch/check_results.py) reads the input and the output and nothing else.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.batch.check_results import problems_of, rows_of
from tests.batch.hanging_disk import HangingDisk
from tests.batch_faults.strikes import HANG_S, STRIKES, HungError, small_disk, spoil

ROOT = Path(__file__).parents[2]

ITEMS = 3000
POISONED = {3: "kill", 400: "fail", 401: "exit 0", 1700: "fail, then die", 1701: "fail, then exit 0", ITEMS - 1: "odd"}
"""Number of an item to what the program does with a batch that holds it."""

KINDS = {
    "kill": "a poisoned item that kills",
    "fail": "a poisoned item that fails",
    "exit 0": "exit 0 in hand",
    "fail, then die": "failed, then dead",
    "fail, then exit 0": "failed, then exit 0",
    "odd": "a poisoned item that kills, or fails",
}

PROGRAM = """
import os, random, signal, time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(0.004 * len(batch))
    kinds = [POISONED[item["n"]] for item in batch.items if item["n"] in POISONED]
    kind = kinds[0] if kinds else ""
    if kind == "odd":
        kind = "kill" if len(batch) % 2 else "fail"
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "exit 0":
        os._exit(0)
    if kind:
        batch.failed("it is poisoned")
        if kind != "fail":
            os._exit(0 if kind.endswith("0") else 7)
        continue
    batch.done([[item["n"], "x" * (item["n"] % 50)] for item in batch.items])
    if random.random() < LEAVES:
        os._exit(random.choice([0, 7]))  # between two batches, with others in hand
"""


def expected(item: dict[str, Any]) -> object:
    """What the program answers."""
    return [item["n"], "x" * (item["n"] % 50)]


@dataclass
class Job:
    """A job, what has been done to it, and what was wrong with how it took that."""

    folder: Path
    poisoned: dict[int, str]
    attempts: int
    options: tuple[str, ...] = ()
    suffered: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    hanging: HangingDisk | None = None
    """The disk, where it can be made to hang."""
    words: str = ""
    """What the last launch said."""

    @property
    def disk(self) -> Path:
        """Where the output is: a small disk of its own that can hang, as far as this process may mount one."""
        return self.folder / "disk"

    @property
    def output(self) -> Path:
        """The results."""
        return self.disk / "out.jsonl"

    @property
    def gathered(self) -> Path:
        """The file that results are appended to."""
        return self.disk / "out.jsonl.part" if "--keep-order" in self.options else self.output

    @property
    def letters(self) -> Path:
        """The dead letters."""
        return self.disk / "out.jsonl.dead.jsonl"

    def write_program(self) -> None:
        """As it is in this act."""
        program = PROGRAM.replace("POISONED", repr(self.poisoned)).replace("LEAVES", "0.01")
        (self.folder / "program.py").write_text(program)


def torment(folder: Path, faults: int, poison: bool) -> Job:
    """Run a job to its end under so many faults.

    Args:
        folder: an empty one.
        faults: how many; then it is left in peace.
        poison: whether some of its items kill their workers, or fail.
    """
    # Without poison no item may be given up, however often its worker is killed; with it, items are found by failing.
    options = ("--keep-order",) if random.random() < 0.4 else ()
    job = Job(folder, POISONED if poison else {}, 3 if poison else 1000, options)
    rows = [json.dumps({"id": f"d{n}", "n": n, "pad": "x" * (n * 37 % 90)}) + "\n" for n in range(ITEMS)]
    (folder / "in.jsonl").write_text("".join(rows))
    half = dict(list(POISONED.items())[::2])
    acts: list[tuple[str, dict[int, str]]] = [("--resume", job.poisoned)]
    acts += [("--retry-dead", half), ("--retry-dead", {})] if poison else []
    with small_disk(job.disk) as job.hanging:
        for place, (option, poisoned) in enumerate(acts, 1):
            job.poisoned = poisoned
            job.write_program()
            complete = False
            while not complete and not job.problems:
                complete = launch(job, option, faults * place // len(acts))
            job.suffered.update(KINDS[kind] for kind in poisoned.values())
            job.problems += [f"act {place}: {problem}" for problem in ([] if job.problems else check(job))]
    return job


def check(job: Job) -> list[str]:
    """What is wrong once an act is over."""
    problems = problems_of(
        job.folder / "in.jsonl", job.output, expected, lambda item: item is not None and item["n"] in job.poisoned
    )
    letters = {row["number"]: row["reason"] for row in rows_of(job.letters)}
    problems += [f"the poisoned item {n} has no letter" for n in job.poisoned if n not in letters]
    for n, kind in job.poisoned.items():
        if kind.startswith("fail") and n in letters and letters[n] not in ("it is poisoned",):
            # Killed from outside in the very moment is right as well; never is it the fate of another item.
            problems += (
                [f"{n} ({kind}) died of {letters[n]}"] if "SIG" not in letters[n] and "had a" not in letters[n] else []
            )
    if not job.poisoned and job.letters.exists():
        problems.append("a file of letters is left")
    return problems


def launch(job: Job, option: str, faults: int) -> bool:
    """Begin or go on with the job, strike while it runs, and say whether the act has come to its end."""
    left = faults - job.suffered.total()
    is_full = left > 0 and random.random() < 0.15
    room = fill_up(job) if is_full else None
    act = option
    if option == "--retry-dead" and "continue with --resume" in job.words:
        option = "--resume"
    process = start(job, option, room=room)
    began = time.monotonic()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0.02, 0.4) if left > 0 else 1.0)  # the moment is the experiment
        if time.monotonic() - began > HANG_S:
            job.problems.append("it hung")
            process.kill()
        elif process.returncode is None and job.suffered.total() < faults:
            strike(job, process, option)
            began = time.monotonic()  # each worker that is stopped while it loads costs 30 s
    job.words = process.stderr.read() if process.stderr is not None else ""
    if process.stderr is not None:
        process.stderr.close()
    job.codes[process.returncode] += 1
    (job.disk / "ballast").unlink(missing_ok=True)
    if process.returncode == 2 and is_full:
        return False  # nothing could be written at all
    if process.returncode == 2:
        if "--rebuild" not in job.words:
            job.problems.append(f"it refused to go on: {job.words}")
        rebuild = start(job, "--resume", "--rebuild")
        _, job.words = rebuild.communicate(timeout=HANG_S)
        if rebuild.returncode == 2:
            job.problems.append(f"its ledger could not be built anew: {job.words}")
        job.codes[rebuild.returncode] += 1
        return is_complete(job, rebuild.returncode, act)
    if process.returncode not in (0, 4, -9, 143, 128 + 9, -15, 3):
        job.problems.append(f"it ended with {process.returncode}: {job.words}")
    if process.returncode == 3:
        job.problems.append(f"a bug: {job.words}")
    if is_complete(job, process.returncode, act):
        return True
    if job.suffered.total() < faults:
        job.suffered.update(spoil(job.output, job.gathered))
    return False


def is_complete(job: Job, code: int, option: str) -> bool:
    """Whether an act has come to its end: each item has its result or a letter; of a retry, none but what must have."""
    if code != 4:
        return code == 0
    dead = [json.loads(line) for line in rows_of_whole_lines(job.letters)]
    everything = len(rows_of_whole_lines(job.output)) + len(dead) >= ITEMS
    return everything and (option == "--resume" or {row["number"] for row in dead} <= set(job.poisoned))


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
            "--batch-size", "8", "--attempts", str(job.attempts), *job.options, *options, "program.py",
        ],
        cwd=job.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=limit,
    )  # fmt: skip


def strike(job: Job, process: subprocess.Popen[str], option: str) -> None:
    """Do one thing to a running job."""
    names = list(STRIKES)
    name = random.choices(names, [STRIKES[name][0] for name in names])[0]
    try:
        if STRIKES[name][1](process, job.hanging):
            job.suffered[f"{name}, in a retry" if option == "--retry-dead" else name] += 1
    except HungError as error:
        job.problems.append(f"it hung: {error}")


def fill_up(job: Job) -> int | None:
    """Leave little room: on the disk, where it is one of its own, or by a limit that the next launch gets."""
    job.suffered["a full disk"] += 1
    free = os.statvfs(job.disk)
    room = random.randrange(1, 60_000)
    if os.path.ismount(job.disk) and random.random() < 0.5:
        with contextlib.suppress(OSError), (job.disk / "ballast").open("wb") as file:
            file.write(b"\0" * max(0, free.f_bavail * free.f_frsize - room))
        return None
    size = job.gathered.stat().st_size if job.gathered.exists() else 0
    return size + room
