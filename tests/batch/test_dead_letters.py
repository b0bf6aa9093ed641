"""Dead letters count as results do: after a crash at any line of the program each item has one result or one letter."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ipexlaunch.batch.feed import Journal
from ipexlaunch.batch.feed.commit_log import Uncommitted
from ipexlaunch.batch.feed.open_job import FORMER, open_job
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.batch.ledger import Ledger
from ipexlaunch.batch.output.result_rows import OutputRules, encode_rows
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.supervise.interfaces import Count
from tests.batch.check_results import rows_of

JOB: dict[str, object] = {"input": {"bytes": 12}, "program": {"name": "p.py", "sha256": "1"}}
MENDED: dict[str, object] = {**JOB, "program": {"name": "p.py", "sha256": "2"}}
ALL = range(5)

STEP = int(os.environ.get("IPEXLAUNCH_CRASH_STEP", "19"))
"""A process is killed at every so many lines; 1 takes some minutes."""


def item(number: int) -> Item:
    return Item(number, f"d{number}", {"n": number}, 1)


def account(journal: Journal, done: Sequence[int], dead: Sequence[int], reason: str) -> None:
    together = Uncommitted(letters=[DeadLetter(item(number), reason, 2) for number in dead])
    if done:
        together.numbers += done
        together.rows = [encode_rows([item(number) for number in done], [number * 2 for number in done])]
        together.counts = [Count(0, 0.0, len(done), 0.0)]
    journal.commit(together)


def rules(folder: Path, **form: Any) -> OutputRules:
    return OutputRules(path=str(folder / "out.jsonl"), **form)


def a_job(folder: Path, **form: bool) -> None:
    """Items 0 and 1 are done, 2 to 4 were given up."""
    journal = open_job(rules(folder, **form), JOB)
    account(journal, [0, 1], [2], "it is bad")
    account(journal, [], [3, 4], "it is bad")
    journal.complete()
    journal.close()


def retry(folder: Path, done: Sequence[int], dead: Sequence[int], **form: bool) -> None:
    journal = open_job(rules(folder, **form), MENDED, retry_dead=True)
    assert journal.again is not None
    account(journal, [number for number in done if number in journal.again], dead, "still bad")
    journal.complete()
    journal.settle()
    journal.close()


def places(folder: Path) -> tuple[list[int], dict[int, str]]:
    """(items with a result, items with a letter to its reason), each once."""
    results = [row["number"] for row in rows_of(folder / "out.jsonl")]
    letters = [(row["number"], row["reason"]) for row in rows_of(folder / "out.jsonl.dead.jsonl")]
    assert sorted([*results, *(number for number, _ in letters)]) == list(ALL)
    return sorted(results), dict(letters)


OURS = ("dead_letters.py", "commit_log.py", "open_job.py", "ledger.py", "appended_file.py", "test_dead_letters.py")


def dies_at_line(number: int, act: Callable[[], None]) -> bool:
    """Do it in a process that ends at its n-th line of ours as if it was killed; whether it came so far."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        assert code in (0, 9), code
        return code == 9
    seen = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal seen
        if not frame.f_code.co_filename.endswith(OURS):
            return None
        if event == "line":
            seen += 1
            if seen == number:
                os._exit(9)
        return trace

    try:
        sys.settrace(trace)
        act()
        os._exit(0)
    except BaseException:
        os._exit(1)


@pytest.mark.process
@pytest.mark.parametrize("is_lost", [False, True])
def test_a_retry_may_be_killed_at_every_line(tmp_path: Path, is_lost: bool) -> None:
    """The ledger is lost then too, or is not."""
    origin = tmp_path / "origin"
    origin.mkdir()
    a_job(origin)
    line = 1
    while True:
        folder = tmp_path / "job"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(origin, folder)
        died = dies_at_line(line, lambda folder=folder: retry(folder, [2], [3]))  # type: ignore[misc]
        if is_lost:
            open_job(rules(folder), MENDED, resume=True, rebuild=True).close()
        else:
            job = next(job for job in (MENDED, JOB) if opens(folder, job))
            open_job(rules(folder), job, resume=True).close()
        results, letters = places(folder)
        assert results in ([0, 1], [0, 1, 2])
        assert letters[4] == "it is bad"
        if not died:
            assert (results, letters) == ([0, 1, 2], {3: "still bad", 4: "it is bad"})
            assert line > 100
            break
        retry(folder, [2, 3, 4], [])
        assert places(folder) == (list(ALL), {})
        assert sorted(path.name for path in folder.iterdir()) == ["out.jsonl", "out.jsonl.ledger"]
        line += STEP


def opens(folder: Path, job: dict[str, object]) -> bool:
    with Ledger.resume(str(folder / "out.jsonl.ledger")) as ledger:
        return ledger.job["program"] == job["program"]


def test_a_letter_that_was_never_committed_does_not_count(tmp_path: Path) -> None:
    journal = open_job(rules(tmp_path), JOB)
    account(journal, [0], [4], "it is bad")
    journal.close()
    letters = tmp_path / "out.jsonl.dead.jsonl"
    committed = letters.read_bytes()
    # The process was killed after the letter was synced and before the ledger's commit.
    letters.write_bytes(committed + committed.replace(b"4", b"1") + b'{"id":"d2",')
    journal = open_job(rules(tmp_path), JOB, resume=True)
    assert letters.read_bytes() == committed
    account(journal, [1, 2, 3], [], "")
    journal.close()
    places(tmp_path)
    # The same where the ledger is lost as well: the result counts.
    letters.write_bytes(committed + committed.replace(b"4", b"1"))
    open_job(rules(tmp_path), JOB, resume=True, rebuild=True).close()
    assert places(tmp_path) == ([0, 1, 2, 3], {4: "it is bad"})


@pytest.mark.parametrize("is_complete", [False, True])
@pytest.mark.parametrize("is_deleted", [False, True])
def test_letters_that_were_cut_or_deleted_are_noticed_and_their_items_done_again(
    tmp_path: Path, is_complete: bool, is_deleted: bool
) -> None:
    if is_complete:
        a_job(tmp_path)
    else:
        journal = open_job(rules(tmp_path), JOB)
        account(journal, [0, 1], [2, 3, 4], "it is bad")
        journal.close()
    letters = tmp_path / "out.jsonl.dead.jsonl"
    if is_deleted:
        letters.unlink()
    else:
        os.truncate(letters, letters.stat().st_size - 10)
    for words in ({"resume": True}, {"retry_dead": True}):
        with pytest.raises(IpexLaunchError, match=r"its ledger counts on .*--resume --rebuild") as caught:
            open_job(rules(tmp_path), JOB, **words)
        assert str(letters) in str(caught.value)
        assert letters.exists() != is_deleted
    journal = open_job(rules(tmp_path), JOB, resume=True, rebuild=True)
    left = [number for number in ALL if number not in journal.progress.done]
    assert left == ([2, 3, 4] if is_deleted else [4])
    assert journal.progress.dead == 3 - len(left)
    account(journal, left, [], "")
    journal.close()
    places(tmp_path)


def test_a_ledger_of_format_1_is_opened_and_its_letters_are_treated_alike(tmp_path: Path) -> None:
    a_job(tmp_path)
    path = tmp_path / "out.jsonl.ledger"
    connection = sqlite3.connect(path)
    connection.executescript("ALTER TABLE progress DROP COLUMN letters; DROP TABLE recovered; PRAGMA user_version = 1;")
    connection.close()
    with (tmp_path / "out.jsonl.dead.jsonl").open("ab") as file:
        file.write(b'{"id":"d0","number":0,"reason":"?"}\n')
    retry(tmp_path, [2], [4])
    assert places(tmp_path) == ([0, 1, 2], {3: "it is bad", 4: "still bad"})
    os.unlink(tmp_path / "out.jsonl.dead.jsonl")
    with pytest.raises(IpexLaunchError, match="it is gone, but its ledger counts on"):
        open_job(rules(tmp_path), MENDED, resume=True)


def test_another_program_is_noted_beside_those_before_it_and_nothing_else_may_change(tmp_path: Path) -> None:
    a_job(tmp_path)
    retry(tmp_path, [2], [])
    with Ledger.resume(str(tmp_path / "out.jsonl.ledger")) as ledger:
        assert ledger.job == {**MENDED, FORMER: [JOB["program"]]}
    with pytest.raises(IpexLaunchError, match='program sha256 was "2", is "1"'):
        open_job(rules(tmp_path), JOB, resume=True)
    with pytest.raises(IpexLaunchError, match="input bytes was 12, is 13"):
        open_job(rules(tmp_path), {**MENDED, "input": {"bytes": 13}}, retry_dead=True)
    with pytest.raises(IpexLaunchError, match="there is no such job"):
        open_job(OutputRules(path=str(tmp_path / "none.jsonl")), JOB, retry_dead=True)


def test_results_that_are_in_order_already_are_gathered_again(tmp_path: Path) -> None:
    from ipexlaunch.batch.output.finalize import finish_output

    a_job(tmp_path, keep_order=True)
    form = rules(tmp_path, keep_order=True)
    finish_output(form, os.path.getsize(form.gathered))
    retry(tmp_path, [2, 3], [4], keep_order=True)
    assert [row["number"] for row in rows_of(tmp_path / "out.jsonl")] == [0, 1]  # whole until it is replaced
    finish_output(form, os.path.getsize(form.gathered))
    assert places(tmp_path) == ([0, 1, 2, 3], {4: "still bad"})
    # What is lost beside it is made anew from it.
    os.unlink(tmp_path / "out.jsonl.ledger")
    os.unlink(tmp_path / "out.jsonl.dead.jsonl")
    journal = open_job(form, MENDED, resume=True, rebuild=True)
    assert [number for number in ALL if number not in journal.progress.done] == [4]
    account(journal, [], [4], "bad once more")
    journal.complete()
    journal.close()
    finish_output(form, os.path.getsize(form.gathered))
    assert places(tmp_path) == ([0, 1, 2, 3], {4: "bad once more"})
    with (tmp_path / "out.jsonl").open("ab") as file:
        file.write(b"\n")
    with pytest.raises(IpexLaunchError, match="something else has changed"):
        open_job(form, MENDED, retry_dead=True)


@pytest.mark.parametrize("row", [b'{"number":true}\n', b"[]\n", b"[" * 100_000 + b"\n", b'{"number":-1}\n'])
def test_a_ledger_is_not_built_of_what_is_no_letter(tmp_path: Path, row: bytes) -> None:
    a_job(tmp_path)
    with (tmp_path / "out.jsonl.dead.jsonl").open("ab") as file:
        file.write(row)
    with pytest.raises(IpexLaunchError, match="line 4 is no row of a result"):
        open_job(rules(tmp_path), JOB, resume=True, rebuild=True)


def test_of_many_letters_the_last_of_each_item_stays(tmp_path: Path) -> None:
    a_job(tmp_path)
    with (tmp_path / "out.jsonl.dead.jsonl").open("ab") as file:
        for reason in ("second", "third"):
            file.write(json.dumps({"id": "d3", "number": 3, "reason": reason}).encode() + b"\n")
    open_job(rules(tmp_path), JOB, resume=True, rebuild=True).close()
    assert places(tmp_path) == ([0, 1], {2: "it is bad", 3: "third", 4: "it is bad"})
