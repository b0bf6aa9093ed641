"""Counts are exact whoever makes them: threads, signal handlers, forked children, what runs at exit; in batch too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.launch.run_record import Announced, Samples
from ipexlaunch.launch.supervise.message_protocol import read_messages

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.process


def run(folder: Path, script: str, *words: str) -> tuple[int, dict[str, object], str]:
    """(exit code, report, standard error) of `ipexlaunch run` with one instance."""
    (folder / "script.py").write_text(script)
    command = words or ("run", "--ninstances", "1", "--lost-time", "1")
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *command, "--report", "report.json", "script.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, json.loads((folder / "report.json").read_text()), done.stderr


def counted(report: dict[str, object]) -> tuple[int, int]:
    found = report["throughput"]
    assert isinstance(found, dict)
    return found["items"], found["tokens"]


THREADS = """
import sys, threading
from ipexlaunch import worker
sys.setswitchinterval(1e-6)
worker.ready()
def work(n):
    for i in range(3):
        worker.count(items=i, tokens=n)
for _ in range(1000):
    threads = [threading.Thread(target=work, args=(n,)) for n in range({threads})]
    for t in threads: t.start()
    for t in threads: t.join()
print(worker.finish())
"""


@pytest.mark.parametrize("threads", [1, 8, 32])
def test_a_thousand_rounds_of_threads_are_counted_exactly(tmp_path: Path, threads: int) -> None:
    code, report, said = run(tmp_path, THREADS.format(threads=threads))
    assert code == 0, said
    assert counted(report) == (3000 * threads, 3000 * sum(range(threads)))


ELSEWHERE = """
import atexit, os, signal, threading
from ipexlaunch import worker
atexit.register(lambda: worker.count(items=100_000))
worker.ready()
signal.signal(signal.SIGALRM, lambda *_: worker.count(items=1))
for _ in range(200):
    worker.count(items=10)
    signal.raise_signal(signal.SIGALRM)
children = []
for _ in range(3):
    if (pid := os.fork()) == 0:
        worker.count(items=1000)
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
"""


def test_signal_handlers_forked_children_and_functions_at_exit_count_too(tmp_path: Path) -> None:
    code, report, said = run(tmp_path, ELSEWHERE)
    assert code == 0, said
    assert counted(report)[0] == 200 * 11 + 3 * 1000 + 100_000


LOSING = """
import json, os
from ipexlaunch import worker
worker.ready()
worker.count(items=5)
os.write(int(os.environ["IPEXLAUNCH_STATUS_FD"]), b'{"event":"finished","items":2000,"tokens":3}\\n')
"""


def test_another_total_than_has_arrived_is_invalid_with_both_figures(tmp_path: Path) -> None:
    code, _, said = run(tmp_path, LOSING)
    assert code == 4
    assert "it counted 2000 items in all, and 0 of them arrived here" in said
    assert "it counted 3 tokens in all, and 0 of them arrived here" in said


IN_BATCH = """
import threading
from ipexlaunch import worker
for batch in worker.batches():
    worker.count(items=len(batch), tokens=len(batch))
    answer = threading.Thread(target=batch.done, args=([0] * len(batch),))
    answer.start()
    answer.join()
"""


def test_in_batch_the_launcher_counts_the_items_and_a_program_that_does_so_too_doubles_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{n}\n" for n in range(50)))
    words = ("batch", "--ninstances", "1", "--input", "in.txt", "--output", "o.jsonl", "--batch-size", "10")
    code, report, said = run(tmp_path, IN_BATCH, *words)
    assert code == 0, said
    assert counted(report) == (50, 50)
    assert "the launcher gives the items here and counts them" in said


OVERLAPPING = """
import sys
from time import sleep
from ipexlaunch import worker
taken, most = [], 0
for batch in worker.overlapping_batches():
    if batch is not None:
        taken.append(batch)
        most = max(most, len(taken))
    elif most < 2:
        sleep(0.001)  # the launcher may be slower than we are
        continue
    if len(taken) == 3 or batch is None:
        while taken:
            batch = taken.pop()  # the last one first
            batch.done(batch.items)
print("open at once:", most, file=sys.stderr)
"""


def test_batches_overlap_and_are_answered_in_any_order(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{n}\n" for n in range(200)))
    words = ("batch", "--ninstances", "1", "--input", "in.txt", "--output", "o.jsonl", "--batch-size", "5")
    code, report, said = run(tmp_path, OVERLAPPING, *words)
    assert code == 0, said
    assert counted(report)[0] == 200
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert sorted(int(row["result"]) for row in rows) == list(range(200))
    assert "open at once: 3" in said or "open at once: 2" in said


def test_a_child_of_the_worker_is_counted_and_stands_outside_of_its_total() -> None:
    samples, told = Samples(), Announced()
    lines = bytearray(
        b'{"event":"progress","items":5}\n{"event":"progress","items":[7],"child":true}\n{"event":"finished","items":5}\n'
    )
    assert [said.event for said in read_messages(lines, samples, told, 9.0)] == ["progress", "progress", "finished"]
    assert list(samples.items) == [5, 7]
