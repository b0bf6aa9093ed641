"""The ledger: what it says after any end, who may hold it, and what becomes of one that is damaged."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest

from ipexlaunch.batch.job_state import DoneItems, JobState
from ipexlaunch.batch.ledger import Ledger, LedgerError

JOB: dict[str, object] = {"input": {"bytes": 12}, "program": {"name": "p.py"}}


def a_ledger(path: Path) -> str:
    """One with ten thousand items done."""
    with Ledger.create(str(path), JOB) as ledger:
        for begin in range(0, 10_000, 500):
            ledger.progress.done.add(range(begin, begin + 500))
            ledger.progress.output_bytes += 5000
            ledger.commit()
    return str(path)


def test_what_was_committed_is_there_again(tmp_path: Path) -> None:
    with Ledger.resume(a_ledger(tmp_path / "l")) as ledger:
        assert ledger.job == JOB
        assert ledger.progress.output_bytes == 100_000
        assert ledger.progress.done.count == 10_000
        assert 9_999 in ledger.progress.done
        assert 10_000 not in ledger.progress.done
        assert not ledger.progress.complete


def test_it_stays_small(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    with Ledger.create(path, JOB) as ledger:
        for begin in range(0, 2_000_000, 50_000):
            ledger.progress.done.add(range(begin, begin + 50_000))
            ledger.commit()
    assert os.path.getsize(path) < 100_000


def test_a_process_that_is_killed_in_the_middle_leaves_what_was_committed(tmp_path: Path) -> None:
    path = str(tmp_path / "l")

    def die_early() -> None:
        ledger = Ledger.create(path, JOB)
        ledger.progress.done.add(range(10))
        ledger.progress.output_bytes = 77
        ledger.commit()
        ledger.progress.done.add([10])
        os._exit(9)

    child = multiprocessing.get_context("fork").Process(target=die_early)
    child.start()
    child.join()
    with Ledger.resume(path) as ledger:
        assert (ledger.progress.done.count, ledger.progress.output_bytes) == (10, 77)


def hold_elsewhere(path: str) -> str:
    """What another process is told that wants it too."""

    def attempt(answer: multiprocessing.SimpleQueue[str]) -> None:
        for anew in (False, True):
            try:
                (Ledger.create(path, JOB) if anew else Ledger.resume(path)).close()
                answer.put("taken")
            except LedgerError as error:
                answer.put(str(error))

    context = multiprocessing.get_context("fork")
    answer = context.SimpleQueue()
    child = context.Process(target=attempt, args=(answer,))
    child.start()
    child.join()
    return " ".join([answer.get(), answer.get()])


def test_two_jobs_on_one_output_refuse_each_other(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    with Ledger.create(path, JOB):
        assert hold_elsewhere(path).count("another job holds it") == 2
    with Ledger.resume(path):
        assert hold_elsewhere(path).count("another job holds it") == 2
    assert hold_elsewhere(path) == "taken taken"


@pytest.mark.parametrize("length", [0, 1, 100, 4096, 5000, 8192])
def test_a_truncated_ledger_is_noticed_and_the_way_on_is_said(tmp_path: Path, length: int) -> None:
    path = a_ledger(tmp_path / "l")
    assert os.path.getsize(path) > length
    os.truncate(path, length)
    with pytest.raises(LedgerError, match="--rebuild"):
        Ledger.resume(path)
    with Ledger.create(path, JOB) as ledger:
        assert ledger.progress.done.count == 0


def test_a_ledger_that_was_written_over_is_noticed(tmp_path: Path) -> None:
    path = a_ledger(tmp_path / "l")
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(size // 2)
        file.write(os.urandom(size - size // 2))
    with pytest.raises(LedgerError, match="--rebuild"):
        Ledger.resume(path)


def test_another_programs_database_is_not_taken_for_one(tmp_path: Path) -> None:
    path = str(tmp_path / "l")
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()
    with pytest.raises(LedgerError, match="it is not one of ipexlaunch"):
        Ledger.resume(path)


def test_a_ledger_is_begun_with_what_an_output_holds(tmp_path: Path) -> None:
    done = DoneItems()
    done.add([0, 5])
    path = str(tmp_path / "l")
    Ledger.create(path, JOB, lambda: JobState(done=done, output_bytes=20)).close()
    with Ledger.resume(path) as ledger:
        assert (ledger.progress.done.count, ledger.progress.output_bytes) == (2, 20)
        assert 5 in ledger.progress.done


def test_a_job_that_could_not_begin_leaves_no_ledger_and_takes_no_old_one_away(tmp_path: Path) -> None:
    def fail() -> JobState:
        raise LedgerError("read it", "it is odd", "none")

    path = tmp_path / "o.ledger"
    with pytest.raises(LedgerError):
        Ledger.create(str(path), {}, fail)
    assert os.listdir(tmp_path) == []
    path.write_bytes(b"old")
    with pytest.raises(LedgerError):
        Ledger.create(str(path), {}, fail)
    assert path.read_bytes() == b"old"
