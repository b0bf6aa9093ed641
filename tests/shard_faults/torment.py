"""One job in shards that is not left in peace until it has suffered so many faults; then what was merged is compared.

    python -m tests.shard_faults --faults 100

A simple engine queues attempts, two at a time, as Slurm or Ray would; what fails is queued again. Where there can be
hosts (tests/several_hosts/lab.py) attempts run on three of them, and one that dies takes all of its processes with it.
The checker (tests/batch/check_results.py) reads the input and the output and nothing else.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.batch.check_results import problems_of
from tests.batch.shards.shard_jobs import DOUBLE, ROOT, write_items
from tests.several_hosts.lab import Lab

ITEMS = 600
SHARDS = 6
AT_ONCE = 2
HANG_S = 180.0
"""An attempt that takes longer hangs; an undisturbed one takes some seconds."""

HALF_A_ROW = b'{"id":"d1","number":1,"res'


@dataclass
class Try:
    """An attempt that runs."""

    index: int
    process: subprocess.Popen[str]
    host: str
    began: float
    stopped: bool = False


@dataclass
class TormentedJob:
    """A job and what has been done to it."""

    folder: Path
    lab: Lab | None
    environment: dict[str, str]
    deaths: int
    """Of hosts that may still come."""
    suffered: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    running: list[Try] = field(default_factory=list)
    zombies: list[Try] = field(default_factory=list)

    def start(self, *words: str, host: str, slow: float) -> subprocess.Popen[str]:
        """Begin a command on a host, or here."""
        argv = [sys.executable, "-m", "ipexlaunch", *words]
        variables = {**self.environment, "SLOW": f"{slow}", "PYTHONPATH": str(ROOT)}
        with (self.folder / "said.log").open("a") as log:
            if self.lab is not None:
                return self.lab.on(host, argv, cwd=self.folder, env=variables, stdout=log, stderr=log)
            return subprocess.Popen(
                argv, cwd=self.folder, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, text=True,
            )  # fmt: skip

    def attempt(self, index: int) -> Try:
        """Try a shard somewhere."""
        host = random.choice([name for name in self.lab.names if self.lab.is_on(name)]) if self.lab else ""
        words = ("shards", "run", "job", "--index", str(index), "--no-progress")
        return Try(index, self.start(*words, host=host, slow=0.01), host, time.monotonic())

    def is_done(self, index: int) -> bool:
        """Whether a shard is committed."""
        return (self.folder / "job" / f"done-{index:05d}").exists()


def pids_of(each: Try) -> list[int]:
    """The launcher and its workers, the launcher first; numbers outside of its host."""
    found, level = [], [each.process.pid]
    while level:
        found += level
        children: list[int] = []
        for pid in level:
            with contextlib.suppress(OSError):
                children += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        level = children
    return [pid for pid in found if b"nsenter" not in command_line(pid)]


def command_line(pid: int) -> bytes:
    """Of a process; nothing where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def kill(pids: list[int], number: int) -> bool:
    """Signal processes; whether there was one."""
    struck = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
            struck = True
    return struck


def signal_launcher(number: int) -> Callable[[TormentedJob, Try], bool]:
    """Signal the launcher of an attempt."""
    return lambda job, each: kill(pids_of(each)[:1], number)  # noqa: ARG005


def kill_worker(job: TormentedJob, each: Try) -> bool:  # noqa: ARG001
    """Kill a worker."""
    workers = pids_of(each)[1:]
    return kill(random.sample(workers, min(1, len(workers))), signal.SIGKILL)


def make_zombie(job: TormentedJob, each: Try) -> bool:
    """Stop all of an attempt; the engine gives it up, and later it goes on."""
    if not kill(pids_of(each), signal.SIGSTOP):
        return False
    each.stopped = True
    job.running.remove(each)
    job.zombies.append(each)
    return True


def rival(job: TormentedJob, each: Try) -> bool:
    """Begin another attempt at the same shard."""
    job.running.append(job.attempt(each.index))
    return True


def kill_host(job: TormentedJob, each: Try) -> bool:
    """End a host with all that it runs; another boot of it comes at once."""
    if job.lab is None or not job.deaths:
        return False
    job.deaths -= 1
    job.lab.power_off(each.host)
    job.lab.restore(each.host)
    return True


def spoil(job: TormentedJob, each: Try) -> bool:
    """Kill all of an attempt and do to its rows what a lost host may leave."""
    if not kill(pids_of(each), signal.SIGKILL):
        return False
    each.process.wait()
    folders = sorted((job.folder / "job" / f"shard-{each.index:05d}").glob("attempt-*/rows.jsonl"))
    if folders and not job.is_done(each.index):
        rows = random.choice(folders)
        if any(other.index == each.index for other in (*job.zombies, *(o for o in job.running if o is not each))):
            return True  # somebody may be writing it
        kind = random.randrange(3)
        if kind == 2:
            os.truncate(rows, random.randrange(rows.stat().st_size + 1))
        else:
            with rows.open("ab") as file:
                file.write(HALF_A_ROW if kind else b"\0" * 100)
    return True


STRIKES: dict[str, tuple[float, Callable[[TormentedJob, Try], bool]]] = {
    "kill -9 of a launcher": (0.2, signal_launcher(signal.SIGKILL)),
    "kill -9 of a worker": (0.15, kill_worker),
    "an attempt stopped, given up, and on again as a zombie": (0.2, make_zombie),
    "a second attempt at the same time": (0.12, rival),
    "SIGUSR1 to a launcher": (0.08, signal_launcher(signal.SIGUSR1)),
    "SIGTERM to a launcher": (0.07, signal_launcher(signal.SIGTERM)),
    "killed, with half a row, zeros or a cut at the end of its rows": (0.1, spoil),
    "a host without power": (0.08, kill_host),
}


def torment(folder: Path, faults: int, lab: Lab | None, environment: dict[str, str], deaths: int) -> TormentedJob:
    """Run a job to its end under so many faults.

    Args:
        folder: an empty one.
        faults: how many; then it is left in peace.
        lab: the hosts; None where there can be none.
        environment: of every command.
        deaths: of hosts, at most.
    """
    job = TormentedJob(folder, lab, environment, deaths)
    write_items(folder / "in.jsonl", ITEMS)
    (folder / "program.py").write_text(DOUBLE)
    words = ["--input", "in.jsonl", "--output", "out.jsonl", "--id-field", "id", "--shards", str(SHARDS)]
    words += ["--batch-size", "4", "--attempts", "1000", "--grace", "5", "--ninstances", "1", "program.py"]
    host = lab.names[0] if lab is not None else ""
    if (code := job.start("shards", "make", "job", *words, host=host, slow=0).wait(HANG_S)) != 0:
        job.problems.append(f"make ended with {code}")
        return job
    while not job.problems and not all(map(job.is_done, range(SHARDS))):
        queue(job)
        if job.suffered.total() < faults and job.running and random.random() < 0.3:
            strike(job)
        reap(job)
        time.sleep(0.1)
    wake(job, all_of_them=True)
    end = time.monotonic() + HANG_S
    while job.running and time.monotonic() < end:
        reap(job)
        time.sleep(0.1)
    job.problems += [f"the attempt at shard {each.index} hangs" for each in job.running]
    merge(job, host, killed=job.suffered.total() < faults)
    job.problems += problems_of(folder / "in.jsonl", folder / "out.jsonl", lambda item: 2 * item["n"])
    return job


def queue(job: TormentedJob) -> None:
    """Begin attempts at what is not done, as long as fewer run than may."""
    busy = {each.index for each in job.running}
    left = [index for index in range(SHARDS) if not job.is_done(index) and index not in busy]
    while left and len(job.running) < AT_ONCE:
        index = left.pop(random.randrange(len(left)))
        job.running.append(job.attempt(index))
    if job.zombies and random.random() < 0.05:
        wake(job)


def strike(job: TormentedJob) -> None:
    """Do something to one of the attempts."""
    names = list(STRIKES)
    name = random.choices(names, [STRIKES[each][0] for each in names])[0]
    if STRIKES[name][1](job, random.choice(job.running)):
        job.suffered[name] += 1


def wake(job: TormentedJob, *, all_of_them: bool = False) -> None:
    """Have zombies go on."""
    for each in list(job.zombies) if all_of_them else job.zombies[:1]:
        job.zombies.remove(each)
        kill([*pids_of(each), each.process.pid], signal.SIGCONT)
        each.began = time.monotonic()
        job.running.append(each)


def reap(job: TormentedJob) -> None:
    """Look at what has ended."""
    for each in list(job.running):
        code = each.process.poll()
        if code is None:
            if time.monotonic() > each.began + HANG_S:
                job.problems.append(f"the attempt at shard {each.index} hangs")
                kill(pids_of(each), signal.SIGKILL)
            continue
        job.running.remove(each)
        job.codes[code] += 1
        if code == 0 and not job.is_done(each.index):
            job.problems.append(f"an attempt at shard {each.index} ended with 0, and it is not done")
        if code in (2, 3):
            job.problems.append(f"an attempt at shard {each.index} ended with {code}")


def merge(job: TormentedJob, host: str, *, killed: bool) -> None:
    """Merge, twice; before that a merge that is killed."""
    if killed:
        process = job.start("shards", "merge", "job", host=host, slow=0)
        time.sleep(random.uniform(0.2, 1.5))
        kill(pids_of(Try(0, process, host, 0.0)), signal.SIGKILL)
        process.wait()
        job.suffered["kill -9 of a merge"] += 1
    for _ in range(2):
        code = job.start("shards", "merge", "job", host=host, slow=0).wait(HANG_S)
        if code != 0:
            job.problems.append(f"merge ended with {code}")
