"""What a batch job writes: outputs that are there, and ledgers that are damaged or held."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from ipexlaunch.batch.feed.commits import Commits
from ipexlaunch.batch.feed.dead_letters import letters_without_results, settle_dead_letters
from ipexlaunch.batch.feed.open_job import open_job
from ipexlaunch.batch.job_state import DoneItems
from ipexlaunch.batch.ledger import Ledger
from ipexlaunch.batch.output.append_results import AppendedFile, StandardOutput, WriteError
from ipexlaunch.batch.output.finalize import finish_output, order_to_pipe
from ipexlaunch.batch.output.result_rows import OutputRules
from tests.batch.shards.shard_jobs import DOUBLE
from tests.batch.shards.test_shard_directory import row
from tests.errors.provoke import Row, limited

PLACES = ("batch/feed/", "batch/ledger", "batch/loadgen", "batch/output/")

A = {"a.py": DOUBLE, "i.jsonl": '{"n": 1}\n'}
JOB: dict[str, object] = {"input": {"bytes": 12}, "program": {"name": "p.py"}}
ROWS_DONE = b"".join(row(number) for number in range(3))
BATCH = "batch --ninstances 1 --input i.jsonl --output o.jsonl"


def _open(**words: bool) -> None:
    given = {"resume": False, "overwrite": False, "rebuild": False, "retry_dead": False} | words
    open_job(OutputRules(path="o.jsonl"), JOB, **given)


def a_job(*, complete: bool = False, then: Callable[[], None] | None = None) -> None:
    """A ledger with three items done, and their results."""
    Path("o.jsonl").write_bytes(ROWS_DONE)
    with Ledger.create(os.path.realpath("o.jsonl.ledger"), JOB) as ledger:
        ledger.progress.done.add(range(3))
        ledger.progress.output_bytes = len(ROWS_DONE)
        ledger.progress.complete = complete
        ledger.commit()
    if then:
        then()


def _change_ledger(statement: str) -> None:
    a_job()
    connection = sqlite3.connect("o.jsonl.ledger")
    connection.execute(statement)
    connection.commit()
    connection.close()


def _append_without_room() -> None:
    file = AppendedFile("o", 0)
    try:
        limited(5, lambda: file.append(b"123456789"))
    finally:
        file.close()


def _cut_what_is_closed() -> None:
    file = AppendedFile("o", 0)
    file.close()
    file.truncate(0)


def _settle() -> None:
    a_job()
    with Ledger.resume("o.jsonl.ledger") as ledger:
        settle_dead_letters("d", ledger)


def _held_by_another(act: Callable[[], None]) -> None:
    a_job()
    holds = (
        "import sys; from ipexlaunch.batch.ledger import Ledger; "
        "ledger = Ledger.resume(sys.argv[1]); print(1, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", holds, "o.jsonl.ledger"], stdin=-1, stdout=-1) as other:
        assert other.stdout is not None
        other.stdout.readline()
        try:
            act()
        finally:
            other.communicate(b"\n")


def _overwrite_ledger() -> None:
    a_job()
    with open("o.jsonl.ledger", "r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)


def _retry_letters_of_parquet() -> None:
    letter = row(5, "reason", "killed")
    Path("o.parquet").write_bytes(b"PAR1")
    Path("o.parquet.dead.jsonl").write_bytes(letter)
    with Ledger.create(os.path.realpath("o.parquet.ledger"), JOB) as ledger:
        ledger.progress.done.add([5])
        ledger.progress.dead, ledger.progress.dead_bytes, ledger.progress.complete = 1, len(letter), True
        ledger.commit()
    rules = OutputRules(path="o.parquet", parquet=True)
    open_job(rules, JOB, resume=False, overwrite=False, rebuild=False, retry_dead=True)


def _write_to_nobody() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    output = StandardOutput(writing)
    try:
        output.append(b"1\n")
        output.wait(5.0)
    finally:
        os.close(writing)


def _look_at_a_pipe_that_nobody_reads() -> None:
    """What a feeder sees that waits for its pipe, with a journal that has just written to it."""
    reading, writing = os.pipe()
    os.close(reading)
    pipe = StandardOutput(writing)
    journal: Any = SimpleNamespace(answered=True, take_counts=list, since=None, busy=False, waiting_bytes=0)
    with contextlib.suppress(WriteError):
        pipe.append(b"1\n")
        pipe.wait(5.0)
    os.close(writing)
    Commits(journal, 1.0, 1, pipe, print).look(0.0)


ROWS = [
    # the job of an output
    Row(f"{BATCH} a.py", {**A, "o.jsonl": '{"x": 1}\n'}),
    Row(f"{BATCH} a.py", A, before=a_job),
    Row(f"{BATCH} --resume a.py", A, before=a_job),
    Row(f"{BATCH} --retry-dead a.py", A),
    Row(f"{BATCH} --resume a.py", {**A, "o.jsonl": '{"x": 1}\n'}),
    Row(f"{BATCH} --resume --rebuild a.py", {**A, "o.jsonl": row(1).decode() * 2}),
    Row(f"{BATCH} --resume --rebuild a.py", {**A, "o.jsonl": "nonsense\n"}),
    Row("batch --ninstances 1 --input i.jsonl --output o.parquet --resume --rebuild a.py", {**A, "o.parquet": "x"}),
    Row(lambda: _open(resume=True), before=lambda: a_job(then=lambda: os.truncate("o.jsonl", 3)), name="open_job(cut)"),
    Row(lambda: _open(resume=True), before=lambda: a_job(then=lambda: os.unlink("o.jsonl")), name="open_job(gone)"),
    Row(_open, before=a_job, name="open_job(there already)"),
    Row(f"{BATCH} a.py", A, before=lambda: a_job(then=lambda: os.unlink("o.jsonl"))),
    Row(
        lambda: _open(resume=True),
        before=lambda: a_job(complete=True, then=lambda: os.unlink("o.jsonl")),
        name="open_job(complete, gone)",
    ),
    Row(_retry_letters_of_parquet, name="open_job(dead letters of a Parquet file)"),
    # the ledger
    Row(lambda: _open(resume=True), before=_overwrite_ledger, name="open_job(a damaged ledger)"),
    Row(
        lambda: _open(resume=True),
        before=lambda: _change_ledger("PRAGMA user_version = 99"),
        name="open_job(a later ledger)",
    ),
    Row(
        lambda: _open(resume=True),
        before=lambda: _change_ledger("PRAGMA application_id = 1"),
        name="open_job(another's database)",
    ),
    Row(
        lambda: _open(resume=True),
        before=lambda: _change_ledger("DROP TABLE job"),
        name="open_job(a ledger without a job)",
    ),
    Row(lambda: _held_by_another(lambda: _open(resume=True)), name="open_job(held)"),
    Row(lambda: Ledger.create("f/l", JOB), {"f": ""}, name="Ledger.create(below a file)"),
    Row(
        lambda: _open(resume=True),
        before=lambda: _change_ledger("UPDATE progress SET mark = 7"),
        name="open_job(another mark)",
    ),
    # results
    Row(lambda: letters_without_results("d", DoneItems()), {"d": None}, name="letters_without_results(a directory)"),
    Row(_write_to_nobody, name="StandardOutput.append(nobody reads)"),
    Row(_look_at_a_pipe_that_nobody_reads, name="Commits.look(a pipe that nobody reads)"),
    Row(lambda: order_to_pipe("nowhere", 9, StandardOutput(1)), name="order_to_pipe(gone)"),
    Row(lambda: AppendedFile("f/o", 0), {"f": ""}, name="AppendedFile(below a file)"),
    Row(_append_without_room, name="AppendedFile.append(no room)"),
    Row(_cut_what_is_closed, name="AppendedFile.truncate(closed)"),
    Row(_settle, {"d": None}, name="settle_dead_letters(a directory in the way)"),
    Row(
        lambda: finish_output(OutputRules(path="f/o", keep_order=True), 0),
        {"f": "", "f.part": ""},
        name="finish_output(below a file)",
    ),
]

ELSEWHERE = {
    "is not installed beside ipexlaunch":
        "tests/errors/test_how_to_add.py::test_every_command_that_lacks_a_package_says_how_to_add_it",
    "write results to standard output | it is closed":
        "tests/launch/test_failing_output.py::test_results_for_a_closed_pipe_are_refused",
}  # fmt: skip
