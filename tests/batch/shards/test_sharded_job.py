"""What `make` writes down is read for ever, and refused where somebody has edited it into nonsense; how many shards."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.shards.attempt import Attempt, Commit, Ended, SeenAttempt, by_progress, state_of
from ipexlaunch.batch.shards.how_many import count_shards, divided, shortest_shard_s
from ipexlaunch.batch.shards.job_file import fingerprint, read_job, write_job
from ipexlaunch.batch.shards.sharded_job import Shard, ShardedFile
from ipexlaunch.errors import DocumentError, RequestError

KEPT = """\
schema: ipexlaunch/shards/1
directory: /data
program: script.py
arguments: [--n, '3']
program_sha256: ab679241
options: [--id-field, id, --ninstances, '2', --python, /usr/bin/python3]
output: {path: /data/out.jsonl, keep_order: true, parquet: false, openai: false, errors: null}
several: true
files:
- {path: /data/a.csv, name: a.csv, format: csv, bytes: 100, mtime_ns: 7, sha256_of_ends: ab, header_bytes: 5, is_compressed: false}
- {path: /data/b.jsonl.gz, name: b.jsonl.gz, format: jsonl, bytes: 50, mtime_ns: 8, sha256_of_ends: cd, header_bytes: 0, is_compressed: true}
written: '2026-11-30T06:31:12Z'
ipexlaunch: 0.1.0
hosts: 1
shards:
- {file: 0, begin: 0, end: 60, first_line: 1, first_item: 0, items: 9}
- {file: 0, begin: 60, end: 100, first_line: 11, first_item: 9, items: 5}
- {file: 1, begin: 0, end: 50, first_line: 1, first_item: 14, items: 40}
"""  # noqa: E501
"""A job of the first version that wrote one."""


def file(name: str, size: int, **more: object) -> ShardedFile:
    fields: dict[str, object] = {"path": f"/data/{name}", "name": name, "format": "csv", "bytes": size, "mtime_ns": 7}
    return ShardedFile(**{**fields, "sha256_of_ends": "ab", **more})  # type: ignore[arg-type]


def test_a_job_of_the_first_version_is_read() -> None:
    job = read_job(KEPT, "job.yaml")
    assert job.shards[1] == Shard(file=0, begin=60, end=100, first_line=11, first_item=9, items=5)
    assert job.items == 54
    assert write_job(job) == KEPT
    part = job.part(1)
    assert (part.name, part.begin, part.header_bytes, part.is_whole) == ("a.csv", 60, 5, False)
    assert job.part(0).header_bytes == 0
    assert job.part(2).is_whole


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("begin: 60", "begin: 61", "does not follow 60"),
        ("end: 100", "end: 99", "the file has 100 bytes, its shards end at 99"),
        ("first_item: 9", "first_item: 8", "9 comes after the shard before it"),
        ("items: 9", "items: 8", "8 comes after the shard before it"),
        ("{file: 1,", "{file: 2,", "there are 2 files"),
        ("several: true", "severall: true", "unknown key 'severall'; did you mean 'several'"),
        ("items: 40", "items: x", "should be a valid integer"),
        ("schema: ipexlaunch/shards/1", "schema: ipexlaunch/shards/9", "its schema is 'ipexlaunch/shards/9'"),
        ("- {file: 1, begin: 0, end: 50, first_line: 1, first_item: 14, items: 40}\n", "", "no shard is of file 1"),
    ],
)
def test_what_was_edited_into_nonsense_is_refused_with_its_place(old: str, new: str, told: str) -> None:
    assert KEPT.count(old) == 1
    with pytest.raises(DocumentError, match=told):
        read_job(KEPT.replace(old, new), "job.yaml")


def test_an_index_that_is_none_is_told_which_there_are() -> None:
    with pytest.raises(RequestError, match=r"the job has 3 shards, 0 to 2; .*--array=0-2"):
        read_job(KEPT, "job.yaml").shard(3)


def test_secrets_are_not_written() -> None:
    job = replace(read_job(KEPT, "job.yaml"), options=("--env", "API_KEY=very-secret"))
    assert "very-secret" not in write_job(job)


def test_what_results_depend_on_tells_jobs_apart() -> None:
    job = read_job(KEPT, "job.yaml")
    same = [replace(job, hosts=9), replace(job, written=""), replace(job, output=OutputRules(path="/x"))]
    others = [
        replace(job, shards=job.shards[:2]),
        replace(job, arguments=()),
        replace(job, program_sha256="2"),
        replace(job, files=(file("a.csv", 101), job.files[1])),
    ]
    assert {fingerprint(each, ["a"]) for each in [job, *same]} == {fingerprint(job, ["a"])}
    marks = {fingerprint(each, ["a"]) for each in others} | {fingerprint(job, ["b"]), fingerprint(job, ["a"])}
    assert len(marks) == 6
    assert fingerprint(job, ["id_field='id'"]) == "da059af29fb48f92"  # as the first version had it


def seen(number: int, size: int, *, job: str = "j", code: int | None = None, lost: bool = False) -> SeenAttempt:
    about = Attempt(number=number, token="t", job=job, host="h", pid=1, boot="b", since="")
    ended = None if code is None else Ended(exit_code=code)
    return SeenAttempt(number=number, size=size, about=about, ended=ended, is_lost=lost)


def test_the_furthest_attempt_of_this_job_is_taken_over() -> None:
    attempts = [seen(0, 10), seen(1, 30), seen(2, 90, job="other"), seen(3, 30), SeenAttempt(number=4, size=99)]
    assert [each.number for each in by_progress(attempts, "j")] == [1, 3, 0]


def test_states() -> None:
    commit = Commit(attempt=0, token="t", job="j", host="h", rows=1, row_bytes=1, letters=0, letter_bytes=0,
                    taken_over=0, seconds=1.0)  # fmt: skip
    assert state_of([], None) == "open"
    assert state_of([seen(0, 1)], None) == "at work"
    assert state_of([seen(0, 1), seen(1, 1, code=75)], None) == "at work"
    assert state_of([seen(0, 1, lost=True), seen(1, 1, code=75)], None) == "ended"
    assert state_of([seen(0, 1, code=4), seen(1, 1, lost=True)], None) == "lost"
    assert state_of([seen(0, 1)], commit) == "done"


def test_how_many_shards() -> None:
    assert shortest_shard_s(0.0) == 75.0
    assert shortest_shard_s(58.5) == pytest.approx(3000.0)
    assert count_shards(6, None, None, 10).shards == 24
    assert count_shards(2, 0.0, 100.0, 10**6).shards == 8  # 10,000 s of one host: 1,250 s each
    assert count_shards(2, 0.0, 100.0, 30_000).shards == 4  # 300 s: 75 s each
    assert count_shards(6, 58.5, 100.0, 10**6).shards == 6  # too short, but every host has one
    assert "too short" in count_shards(6, 58.5, 100.0, 10**6).why[1]
    assert "nobody said" in count_shards(1, None, None, 1).why[1]
    assert divided([100, 300, 0], 8) == [2, 6, 1]
    assert divided([0], 8) == [1]
