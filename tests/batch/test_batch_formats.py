"""`ipexlaunch batch` with real workers over every kind of input and output, good and bad."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.measure.report import read_report, write_report
from tests.batch.check_results import rows_of
from tests.batch.test_batch_command import COUNT, ROOT, rows_are_written, wait_until

pytestmark = pytest.mark.process

LENGTHS = """
import sys
from ipexlaunch import worker
for batch in worker.batches():
    print("the worker's own words", flush=True)
    batch.done([{"given": item, "length": len(item)} for item in batch.items])
"""

SLOW = "import time\n" + LENGTHS.replace("    print", "    time.sleep(0.01)\n    print")


PEAK_KB = """
import resource, subprocess, sys
code = subprocess.call([sys.executable, *sys.argv[1:]])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""
"""Prints the peak of what it starts. A small program must start it: a process's peak begins with that of its parent."""


def start(
    folder: Path, *options: str, script: str = LENGTHS, before: tuple[str, ...] = (), **more: Any
) -> subprocess.Popen[str]:
    (folder / "program.py").write_text(script)
    words = ["-m", "ipexlaunch", "batch", "--ninstances", COUNT, "--grace", "5", *options, "program.py"]
    settings: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **more}
    return subprocess.Popen(
        [sys.executable, *before, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def run(
    folder: Path, *options: str, given: str | None = None, script: str = LENGTHS, before: tuple[str, ...] = ()
) -> tuple[int, str, str]:
    process = start(folder, *options, script=script, before=before, stdin=subprocess.PIPE)
    out, words = process.communicate(given, timeout=120)
    return process.returncode, out, words


def test_csv_comes_out_in_the_order_in_which_it_went_in(tmp_path: Path) -> None:
    lines = [f'k{n},"{"x" * (n * 37 % 50)}\nsecond line"' for n in range(300)]
    (tmp_path / "in.csv").write_text("key,text\n" + "\n".join(lines) + "\n")
    options = ("--input", "in.csv", "--output", "out.jsonl", "--id-field", "key", "--text-field", "text")
    code, _, words = run(tmp_path, *options, "--keep-order", "--batch-size", "7", "--report", "report.json")
    assert code == 0, words
    rows = rows_of(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"k{n}" for n in range(300)]
    assert [row["result"]["length"] for row in rows] == [n * 37 % 50 + 12 for n in range(300)]
    assert not (tmp_path / "out.jsonl.part").exists()
    text = (tmp_path / "report.json").read_text()
    report = read_report(text, "report.json")
    assert report.batch is not None
    assert (report.batch.items_done, report.batch.items_dead, report.batch.requeued) == (300, 0, 0)
    assert report.batch.padding_waste is not None
    assert write_report(report) == text
    # A finishing that was interrupted is done again, and only that.
    (tmp_path / "out.jsonl").rename(tmp_path / "out.jsonl.part")
    code, _, words = run(tmp_path, *options, "--keep-order", "--resume")
    assert code == 0, words
    assert "all 300 items are done already" in words
    assert rows_of(tmp_path / "out.jsonl") == rows
    code, _, words = run(tmp_path, *options, "--resume")
    assert code == 2
    assert "options --keep-order was true, is false" in words


def test_parquet_goes_in_and_out(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    texts = [f"text {n}" * (n % 5) for n in range(500)]
    table = pyarrow.table({"key": range(1000, 1500), "text": texts, "picture": [b"\0"] * 500})
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=77)
    options = ("--input", "in.parquet", "--output", "out.parquet", "--id-field", "key", "--text-field", "text")
    code, _, words = run(tmp_path, *options)
    assert code == 0, words
    rows = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert sorted(row["id"] for row in rows) == list(range(1000, 1500))
    assert {row["id"]: row["result"]["given"] for row in rows} == dict(enumerate(texts, 1000))
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("out")) == [
        "out.parquet",
        "out.parquet.ledger",
    ]


def test_a_pipe_is_read_as_its_writer_writes_and_results_leave_by_standard_output(tmp_path: Path) -> None:
    process = start(tmp_path, "--input", "-", "--format", "text", "--output", "-", stdin=subprocess.PIPE, bufsize=1)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("one\nthree\n")
    process.stdin.flush()
    first = {json.loads(process.stdout.readline())["result"]["given"] for _ in range(2)}
    assert first == {"one", "three"}  # though the input has not ended
    out, words = process.communicate("fifteen\n", timeout=60)
    assert process.returncode == 0, words
    # Nothing but results: the workers' words went elsewhere.
    assert [json.loads(line)["id"] for line in out.splitlines()] == [3]
    assert "the worker's own words" in words


def test_a_job_that_waits_for_a_pipe_can_be_stopped(tmp_path: Path) -> None:
    process = start(tmp_path, "--input", "-", "--output", "out.jsonl", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write('"one"\n')
    process.stdin.flush()
    wait_until(rows_are_written(tmp_path))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert [row["result"]["given"] for row in rows_of(tmp_path / "out.jsonl")] == ["one"]
    process.communicate()


def test_order_is_kept_on_standard_output_too(tmp_path: Path) -> None:
    given = "".join(f'"{"x" * (n * 37 % 50)}"\n' for n in range(200))
    code, out, words = run(tmp_path, "--input", "-", "--output", "-", "--keep-order", "--batch-size", "3", given=given)
    assert code == 0, words
    assert [json.loads(line)["number"] for line in out.splitlines()] == list(range(200))


@pytest.mark.parametrize(
    ("name", "data", "place"),
    [
        ("in.jsonl", b'"a"\n"b"\n{"c":\n"d"\n', "line 3: it is not JSON"),
        ("in.txt", b"a\nb\n\xe9\nd\n", "line 3: it is not UTF-8"),
        ("in.csv", b"x\na\nb,c\nd\n", "line 3: it has 2 fields, the first row has 1"),
    ],
)
def test_a_bad_line_is_named_and_what_came_before_is_done(tmp_path: Path, name: str, data: bytes, place: str) -> None:
    (tmp_path / name).write_bytes(data)
    code, _, words = run(tmp_path, "--input", name, "--output", "out.jsonl")
    assert code == 4
    assert f"cannot read {name}, {place}" in words
    good = 1 if name == "in.csv" else 2
    assert len(rows_of(tmp_path / "out.jsonl")) == good
    code, _, words = run(tmp_path, "--input", name, "--output", "out.jsonl", "--resume", "--on-bad-line", "dead-letter")
    assert code == 4
    assert "1 item given up, see out.jsonl.dead.jsonl" in words
    assert len(rows_of(tmp_path / "out.jsonl")) == good + 1
    (letter,) = rows_of(tmp_path / "out.jsonl.dead.jsonl")
    assert (letter["id"], letter["attempts"]) == (3, 0)
    assert place.partition(": ")[2] in letter["reason"]


def test_a_line_of_a_gigabyte_is_an_error_in_little_memory(tmp_path: Path) -> None:
    with open(tmp_path / "in.jsonl", "wb") as file:
        file.write(b'"a"\n')
        file.truncate(10**9)  # zeros that take no room
        file.seek(10**9)
        file.write(b'\n"b"\n')
    code, printed, words = run(
        tmp_path, "--input", "in.jsonl", "--output", "out.jsonl", "--on-bad-line", "dead-letter", before=("-c", PEAK_KB)
    )
    assert code == 4
    assert "line 2 of the input gives no item: it is longer than 64 MB" in words
    assert {row["result"]["given"] for row in rows_of(tmp_path / "out.jsonl")} == {"a", "b"}
    assert int(printed.split()[-1]) < 150_000  # the line itself is 64 MB when it is found to be too long


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--input", "none.jsonl", "--output", "o"), "cannot read none.jsonl: no such file or directory"),
        (("--input", ".", "--output", "o"), "its name does not end in .jsonl"),
        (("--input", "none.json", "--output", "o"), "cannot read none.json: there is no such file"),
        (("--input", "in.txt", "--output", "o.csv"), "results are JSON lines or Parquet"),
        (("--input", "in.txt", "--output", "o.jsonl.gz"), "--output-format jsonl"),
        (("--input", "in.txt", "--output", "o", "--id-field", "x"), "a line of text has no fields"),
        (("--input", "in.txt", "--output", "in.txt/o"), "Not a directory"),
        (("--input", "in.txt", "--output", "-", "--resume"), "cannot resume a job whose output is a pipe"),
        (("--input", "-", "--output", "o", "--resume"), "cannot resume a job whose input is a pipe"),
        (("--input", "in.txt", "--output", "-", "--output-format", "parquet"), "cannot write Parquet to standard out"),
        (("--input", "in.txt", "--output", "o", "--rebuild"), "--rebuild needs --resume"),
    ],
)
def test_what_cannot_be_done_is_said_before_a_worker_starts(
    tmp_path: Path, options: tuple[str, ...], words: str
) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    code, out, said = run(tmp_path, *options)
    assert code == 2
    assert words in said
    assert len(said.splitlines()) == 1
    assert out == ""
    assert not (tmp_path / "o").exists()


def test_an_ordered_job_goes_on_after_its_launcher_was_killed(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("".join(f"{'x' * (n * 37 % 50)}\n" for n in range(3000)))
    options = ("--input", "in.txt", "--output", "out.jsonl", "--keep-order", "--batch-size", "5")
    process = start(tmp_path, *options, script=SLOW)
    part = tmp_path / "out.jsonl.part"
    wait_until(lambda: part.exists() and part.stat().st_size > 20_000)
    process.kill()
    process.communicate()
    assert not (tmp_path / "out.jsonl").exists()
    time.sleep(0.2)
    code, _, words = run(tmp_path, *options, "--resume", script=SLOW)
    assert code == 0, words
    assert [row["number"] for row in rows_of(tmp_path / "out.jsonl")] == list(range(3000))
    assert "3000 items done" in words
