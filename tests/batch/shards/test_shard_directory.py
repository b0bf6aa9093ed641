"""Names that are made once by whoever comes first, attempts that take over whole rows, merges of what fits alone."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from ipexlaunch.batch.job_state import DoneItems
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.shards.attempt import Attempt, Commit, Ended
from ipexlaunch.batch.shards.merge_shards import DoneShard, UnfitShardError, check_shard, merge, refuse_doubled_ids
from ipexlaunch.batch.shards.names_once import link_once, link_whole
from ipexlaunch.batch.shards.shard_directory import (
    attempts_at,
    begin_attempt,
    commit,
    commit_of,
    end_attempt,
    files_of,
)
from ipexlaunch.batch.shards.sharded_job import Shard
from ipexlaunch.batch.shards.take_over import take_over
from ipexlaunch.errors import DocumentError, RequestError

SHARD = Shard(file=0, begin=0, end=1, first_line=1, first_item=10, items=5)


def about(number: int) -> Attempt:
    return Attempt(number=number, token=os.urandom(4).hex(), job="j", host="h", pid=os.getpid(), boot="b", since="")


def made(attempt: Attempt, **more: object) -> Commit:
    fields: dict[str, object] = dict.fromkeys(("rows", "row_bytes", "letters", "letter_bytes", "taken_over"), 0)
    fields |= {"attempt": attempt.number, "token": attempt.token, "job": "j", "host": "h", "seconds": 1.0, **more}
    return Commit(**fields)  # type: ignore[arg-type]


Found = TypeVar("Found")


def together(count: int, act: Callable[[int], Found]) -> list[Found]:
    """Have several threads do something at the same moment; what each got."""
    barrier, found = threading.Barrier(count), dict[int, Found]()

    def go(number: int) -> None:
        barrier.wait()
        found[number] = act(number)

    threads = [threading.Thread(target=go, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[number] for number in range(count)]


def row(number: int, key: str = "result", value: object = 1) -> bytes:
    return json.dumps({"id": f"d{number}", "number": number, key: value}, separators=(",", ":")).encode() + b"\n"


def test_attempts_that_begin_together_have_different_numbers_and_one_is_committed(tmp_path: Path) -> None:
    for index in range(20):
        begun = together(6, lambda _, at=index: begin_attempt(str(tmp_path), at, about))  # type: ignore[misc]
        assert sorted(attempt.number for _, attempt in begun) == list(range(6))
        commits = [(files, made(attempt)) for files, attempt in begun]
        holds = together(6, lambda n, at=index, own=commits: commit(str(tmp_path), at, *own[n]))  # type: ignore[misc]
        assert len({each.token for each in holds}) == 1
        assert commit_of(str(tmp_path), index) == holds[0]


def test_what_is_found_of_attempts(tmp_path: Path) -> None:
    files, _ = begin_attempt(str(tmp_path), 3, about)
    Path(files.rows).write_bytes(b"x" * 7)
    end_attempt(files, Ended(exit_code=75))
    os.mkdir(files_of(str(tmp_path), 3, 1).folder)  # the answer to its mkdir was lost
    found = list(attempts_at(str(tmp_path), 3))
    assert [(each.number, each.size, each.about is not None) for each in found] == [(0, 7, True), (1, 0, False)]
    assert found[0].ended == Ended(exit_code=75)
    assert begin_attempt(str(tmp_path), 3, about)[1].number == 2
    assert commit_of(str(tmp_path), 3) is None


def test_a_name_that_is_taken_keeps_what_it_holds(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    assert link_whole(path, "one")
    assert not link_whole(path, "two")
    (tmp_path / "b").write_text("two")
    link_once(str(tmp_path / "b"), path)
    assert Path(path).read_text() == "one"
    assert sorted(os.listdir(tmp_path)) == ["a", "b"]


def test_a_commit_that_holds_nothing_is_named(tmp_path: Path) -> None:
    (tmp_path / "done-00000").write_text("")
    with pytest.raises(DocumentError, match="done-00000"):
        commit_of(str(tmp_path), 0)


@pytest.mark.parametrize(
    ("rows", "whole"),
    [
        (row(10) + row(11), [10, 11]),
        (row(10) + row(11)[:-5], [10]),
        (row(10) + row(11)[:-1], [10]),  # its newline is missing
        (row(10) + b"\0" * 40 + b"\n" + row(12), [10]),  # what a file system shows of data that never came
        (row(10) + row(11)[:9] + row(12), [10]),
        (row(10) + row(10, value=2) + row(12), [10, 12]),
        (row(10) + row(15), [10]),  # of no item of this shard
        (b'{"id":1,"number":true,"result":1}\n', []),
        (b"[]\n" + row(10), []),
        (b"", []),
    ],
)
def test_whole_rows_are_taken_over_and_nothing_behind_a_torn_one(tmp_path: Path, rows: bytes, whole: list[int]) -> None:
    (tmp_path / "rows").write_bytes(rows)
    own = tmp_path / "own"
    taken = take_over(str(tmp_path / "rows"), str(tmp_path / "none"), str(own), str(tmp_path / "own-letters"), SHARD)
    lines = own.read_bytes()
    assert [json.loads(line)["number"] for line in lines.splitlines()] == whole
    assert json.loads(lines.splitlines()[0])["result"] == 1 if whole else not lines
    assert (taken.output_bytes, taken.done.count, taken.dead, taken.dead_bytes) == (len(lines), len(whole), 0, 0)
    assert (tmp_path / "rows").read_bytes() == rows
    assert not (tmp_path / "own-letters").exists()


def test_letters_are_taken_over_of_items_that_have_no_result(tmp_path: Path) -> None:
    (tmp_path / "rows").write_bytes(row(10) + row(11))
    (tmp_path / "letters").write_bytes(row(11, "reason", "?") + row(13, "reason", "killed") + b'{"id"')
    theirs, own = (
        (str(tmp_path / "rows"), str(tmp_path / "letters")),
        (str(tmp_path / "own"), str(tmp_path / "own-letters")),
    )
    taken = take_over(*theirs, *own, SHARD)
    assert (taken.done.count - taken.dead, taken.dead) == (2, 1)
    assert sorted(n for n in range(20) if n in taken.done) == [10, 11, 13]
    assert taken.dead_bytes == len(row(13, "reason", "killed"))
    assert (tmp_path / "own-letters").read_bytes() == row(13, "reason", "killed")
    assert isinstance(taken.done, DoneItems)


def done(folder: Path, index: int, shard: Shard, rows: bytes, letters: bytes = b"", **more: object) -> DoneShard:
    files, attempt = begin_attempt(str(folder), index, about)
    Path(files.rows).write_bytes(rows + b'{"torn')
    Path(files.letters).write_bytes(letters)
    counts = {"rows": rows.count(b"\n"), "row_bytes": len(rows)}
    counts |= {"letters": letters.count(b"\n"), "letter_bytes": len(letters)}
    held = commit(str(folder), index, files, made(attempt, **{**counts, **more}))
    return DoneShard(index, shard, held, files)


@pytest.mark.parametrize(
    ("rows", "letters", "told"),
    [
        (row(10) + row(11) + row(12) + row(13), b"", "4 results and 0 dead letters, of 5 items"),
        (b"".join(map(row, range(10, 15))), row(12, "reason", "?"), "done twice"),
        (b"".join(map(row, (10, 11, 11, 13, 14))), b"", "done twice"),
        (b"".join(map(row, (10, 11, 12, 13, 15))), b"", "item 15 is none of the shard"),
        (b"".join(map(row, (10, 11, 12, 13))) + b"{}\n", b"", "line 5"),
    ],
)
def test_a_shard_that_has_not_each_item_once_is_refused(tmp_path: Path, rows: bytes, letters: bytes, told: str) -> None:
    with pytest.raises(UnfitShardError, match=told):
        check_shard(done(tmp_path, 0, SHARD, rows, letters))


def test_a_shard_whose_file_was_cut_is_refused(tmp_path: Path) -> None:
    fits = done(tmp_path, 0, SHARD, b"".join(map(row, range(10, 15))))
    check_shard(fits)
    os.truncate(fits.files.rows, 30)
    with pytest.raises(UnfitShardError, match="has 30 bytes"):
        check_shard(fits)
    os.unlink(fits.files.rows)
    with pytest.raises(UnfitShardError, match="No such file"):
        check_shard(fits)


def two(folder: Path) -> list[DoneShard]:
    other = Shard(file=0, begin=1, end=2, first_line=9, first_item=15, items=3)
    return [
        done(folder, 0, SHARD, b"".join(map(row, (12, 10, 14, 13))), row(11, "reason", "it kills")),
        done(folder, 1, other, b"".join(map(row, (17, 15, 16)))),
    ]


@pytest.mark.parametrize("keep_order", [False, True])
def test_merged_rows_stand_as_one_job_would_have_written_them(tmp_path: Path, keep_order: bool) -> None:
    shards, output = two(tmp_path), tmp_path / "merged" / "out.jsonl"
    rules = OutputRules(path=str(output), keep_order=keep_order)
    merged = merge(shards, rules, str(tmp_path))
    numbers = [json.loads(line)["number"] for line in output.read_text().splitlines()]
    assert numbers == (sorted(numbers) if keep_order else [12, 10, 14, 13, 17, 15, 16])
    assert (merged.rows, merged.letters, merged.was_before) == (7, 1, False)
    assert Path(f"{output}.dead.jsonl").read_bytes() == row(11, "reason", "it kills")
    before = output.stat().st_ino
    assert merge(shards, rules, str(tmp_path)).was_before
    assert output.stat().st_ino == before
    output.unlink()  # the letters alone, as after a merge that was killed between the two
    assert not merge(shards, rules, str(tmp_path)).was_before
    assert sorted(os.listdir(output.parent)) == ["out.jsonl", "out.jsonl.dead.jsonl"]


@pytest.mark.parametrize("name", ["out.jsonl", "out.jsonl.dead.jsonl"])
def test_what_no_merge_has_written_is_never_replaced(tmp_path: Path, name: str) -> None:
    shards, rules = two(tmp_path), OutputRules(path=str(tmp_path / "out.jsonl"))
    (tmp_path / name).write_text("mine")
    with pytest.raises(RequestError, match="no merge of this job has written it"):
        merge(shards, rules, str(tmp_path))
    (tmp_path / name).unlink()
    merge(shards, rules, str(tmp_path))
    (tmp_path / name).write_text("mine")
    with pytest.raises(RequestError, match="no merge of this job has written it"):
        merge(shards, rules, str(tmp_path))
    assert (tmp_path / name).read_text() == "mine"


def test_an_id_in_two_shards_is_refused(tmp_path: Path) -> None:
    shards = two(tmp_path)
    refuse_doubled_ids(shards, str(tmp_path))
    twice = row(16).replace(b"d16", b"d11")  # a dead letter of the first shard has it
    shards[1] = done(tmp_path, 2, shards[1].shard, row(15) + twice + row(17))
    with pytest.raises(UnfitShardError, match="shard 2: its id 'd11' was given before, in shard 0"):
        refuse_doubled_ids(shards, str(tmp_path))
