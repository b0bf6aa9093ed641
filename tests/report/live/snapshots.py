"""Runs at one moment, made by hand."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.launch.run_record import Snapshot, WorkerSnapshot
from ipexlaunch.report.live.status import RunIdentity, Usage

IDENTITY = RunIdentity(pid=4711, program="embed.py --seconds 10", started_at=1795251429.5, local_share_required=0.9)
MIB = 1 << 20

LAST_LINES = (
    "epoch 3/10 loss 0.1234 and a long line that goes on and on until the terminal has had enough of it",
    "\x1b[32mgreen\x1b[0m text\x07 \x1b]0;a title\x07and a tab\there",
    "日本語のログ行がここにあります、とても長い行です",
    " 10%|#     | 1/10\r 50%|#####   | 5/10\r",
    "",
    "no end \x1b[2J\x1b[H of mischief \u202eadpu\u2066 😀👩\u200d👧",
)


def worker(index: int, **changes: object) -> WorkerSnapshot:
    value = WorkerSnapshot(
        index=index,
        pid=1000 + index,
        phase="running",
        cpus=frozenset(range(14 * index, 14 * index + 14)),
        nodes=frozenset({index % 2}),
        memory="bind",
        items=1000 * (index + 1),
        tokens=0,
        rate=100.0 + index,
        local_pages=1.0,
        last_line=LAST_LINES[index % len(LAST_LINES)],
        exit_code=None,
    )
    return replace(value, **changes)  # type: ignore[arg-type]  # names of fields


def run_of(workers: list[WorkerSnapshot], *failures: str) -> Snapshot:
    return Snapshot(
        elapsed_s=3754.2,
        measured_s=3700.0,
        workers=tuple(workers),
        rate=sum(worker.rate or 0 for worker in workers),
        failures=failures,
    )


def usage(index: int, **changes: object) -> Usage:
    here, there = index % 2, 1 - index % 2
    memory = {here: 1200 * MIB, there: 5 * MIB}
    value = Usage(busy_cpus=13.9 - index / 100, cpu_s=100.0, memory=memory, proportional=650 * MIB)
    return replace(value, **changes)  # type: ignore[arg-type]  # names of fields


def many(count: int) -> tuple[Snapshot, dict[int, Usage]]:
    return run_of([worker(index) for index in range(count)]), {index: usage(index) for index in range(count)}


def eventful() -> tuple[Snapshot, dict[int, Usage]]:
    """Every phase, a failure, a restart, a stray, one that was stopped."""
    workers = [
        worker(0),
        worker(1, phase="starting", items=0, rate=None, local_pages=None, busy_with="compiling", busy_s=41.3),
        worker(2, phase="ready", items=0, rate=None, restarts=2),
        worker(3, phase="finished", rate=0.0),
        worker(4, phase="exited", exit_code=0, pid=None, rate=0.0, last_line="1234 items in 10.0 s: 123.4 items/s"),
        worker(5, phase="exited", exit_code=139, pid=None, rate=0.0),
        worker(6, cpus=frozenset(), nodes=frozenset(), memory="none", local_pages=None),
        worker(7, nodes=frozenset({2}), items=1_234_567_890, rate=1_234_567.0),
        worker(8, phase="waiting", pid=None, items=0, rate=None, restarts=1),
        worker(9, phase="exited", exit_code=143, stopped=True, pid=None, rate=0.0),
    ]
    usages = {index: usage(index) for index in (0, 1, 2, 3, 6)}
    usages[7] = Usage(busy_cpus=0.2, memory={0: 100 << 30, 1: 200 << 30, 2: 300 << 30, 3: 1 << 20})
    return run_of(workers, "instance 5 was killed by SIGSEGV", "instance 8 ended with exit code 1"), usages
