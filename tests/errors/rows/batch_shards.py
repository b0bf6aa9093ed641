"""Jobs in shards: inputs that cannot be cut, jobs that are there already, and shards that do not fit."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ipexlaunch.batch.input.input_files import InputFile
from ipexlaunch.batch.input.input_rules import InputRules
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.shards.cut_input import cut_files
from ipexlaunch.batch.shards.job_file import read_job
from ipexlaunch.batch.shards.merge_shards import check_shard, merge, refuse_doubled_ids
from ipexlaunch.batch.shards.shard_directory import begin_attempt, commit, write_new_job
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.batch.shards.shared_choices import keep_choice
from ipexlaunch.cli.main import main
from tests.batch.shards.shard_jobs import DOUBLE
from tests.batch.shards.test_shard_directory import SHARD, about, done, made, row, two
from tests.errors.provoke import Row

PLACES = ("batch/shards/",)

A = {"a.py": DOUBLE, "i.jsonl": '{"n": 1}\n'}


def _in(act: Callable[[Path], object]) -> Callable[[], object]:
    return lambda: act(Path.cwd())


def _unfit(folder: Path, rows: bytes) -> None:
    check_shard(done(folder, 0, SHARD, rows))


def _cut_off(folder: Path, change: Callable[[str], None]) -> None:
    fits = done(folder, 0, SHARD, b"".join(map(row, range(10, 15))))
    change(fits.files.rows)
    check_shard(fits)


def _twice(folder: Path) -> None:
    shards = two(folder)
    shards[1] = done(folder, 2, shards[1].shard, row(15) + row(16).replace(b"d16", b"d11") + row(17))
    refuse_doubled_ids(shards, str(folder))


def _written_by_others(folder: Path) -> None:
    shards = two(folder)
    (folder / "out.jsonl").write_text("mine")
    merge(shards, OutputRules(path=str(folder / "out.jsonl")), str(folder))


def _commit_where_a_folder_is(folder: Path) -> None:
    files, attempt = begin_attempt(str(folder), 0, about)
    os.rmdir(files.folder) if not os.listdir(files.folder) else None
    Path(files.folder).rename(folder / "gone")
    commit(str(folder), 0, files, made(attempt))


def _cut_what_is_gone() -> None:
    file = InputFile("i", InputRules())
    os.unlink("i")
    cut_files([file], [1], ".")


def _make() -> None:
    assert (
        main(
            [
                "shards",
                "make",
                "d",
                "--input",
                "i.jsonl",
                "--output",
                "o.jsonl",
                "--id-field",
                "n",
                "--shards",
                "1",
                "a.py",
            ]
        )
        == 0
    )


def _another_job() -> ShardedJob:
    return replace(read_job(Path("d/job.yaml").read_text(encoding="utf-8"), "job.yaml"), program="b.py")


def _edit_job() -> None:
    _make()
    job = Path("d/job.yaml")
    job.write_text(job.read_text().replace("begin: 0", "begin: 1"))


ROWS = [
    Row("shards run d --index 0", A, before=_edit_job),
    Row(lambda: write_new_job("d", _another_job()), A, before=_make, name="write_new_job(there already)"),
    Row(_cut_what_is_gone, {"i": "1"}, name="cut_files(gone)"),
    Row("shards run d --index 7", A, before=_make),
    Row("shards make d --input i.jsonl --output o.jsonl --shards 1 a.py", {**A, "d/job.yaml": ""}),
    Row("shards make f/d --input i.jsonl --output o.jsonl --shards 1 a.py", {**A, "f": ""}),
    Row(
        "shards make d --input i.jsonl --output o.jsonl --id-field n --shards 1 a.py",
        {**A, "i.jsonl": '{"n": 1}\n' * 2},
    ),
    Row(lambda: write_new_job("f/d", _another_job()), {**A, "f": ""}, before=_make, name="write_new_job(below a file)"),
    Row(lambda: begin_attempt("f", 0, about), {"f": ""}, name="begin_attempt(below a file)"),
    Row(_in(_commit_where_a_folder_is), name="commit(an attempt that is gone)"),
    Row(lambda: keep_choice("f", "x", ""), {"f": ""}, name="keep_choice(below a file)"),
    Row(_in(lambda folder: _unfit(folder, row(10))), name="check_shard(too few rows)"),
    Row(_in(lambda folder: _unfit(folder, row(10) * 2)), name="check_shard(one row twice)"),
    Row(_in(lambda folder: _cut_off(folder, lambda path: os.truncate(path, 9))), name="check_shard(cut)"),
    Row(_in(lambda folder: _cut_off(folder, os.unlink)), name="check_shard(gone)"),
    Row(_in(_twice), name="refuse_doubled_ids(an id in two shards)"),
    Row(_in(_written_by_others), name="merge(an output of others)"),
]

ELSEWHERE: dict[str, str] = {}
UNSHOWN = {
    "attempts were made": "a hundred thousand directories",
    "{place} went away": "another process removes a name between two calls",
}
