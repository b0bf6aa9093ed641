"""`ipexlaunch batch` as its user sees it: odd items, programs that end oddly, what was given up tried again."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.batch.check_results import problems_of, rows_of
from tests.batch.test_batch_command import DOUBLE, doubled, rows_are_written, run, start, wait_until, write_input
from tests.batch.test_batch_formats import run as run_formats

pytestmark = pytest.mark.process

ODD_ENDS = """
import os, sys
from ipexlaunch import worker
for batch in worker.batches():
    given = [item["n"] for item in batch.items]
    if 7 in given:
        sys.exit(0)
    if 21 in given:
        batch.failed("21 is not liked")
        os._exit(3)
    if 35 in given:
        batch.done([{1: "a", "1": "b"} if n == 35 else 2 * n for n in given])
    elif 50 in given:
        batch.done(["\\ud800" if n == 50 else 2 * n for n in given])
    else:
        batch.done([2 * n for n in given])
"""


def test_whatever_a_program_does_with_an_item_only_that_one_is_given_up_and_the_mended_program_does_it(
    tmp_path: Path,
) -> None:
    given = write_input(tmp_path, 80)
    bad = (7, 21, 35, 50)
    code, words = run(tmp_path, ODD_ENDS, "--batch-size", "8")
    assert code == 4, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled, lambda item: item["n"] in bad) == []
    reasons = {row["value"]["n"]: row["reason"] for row in rows_of(tmp_path / "out.jsonl.dead.jsonl")}
    assert reasons[7] == "ended with exit code 0"
    assert reasons[21] == "21 is not liked"
    assert "the key '1' twice" in reasons[35]
    assert "half a character" in reasons[50]
    assert "4 items given up, see out.jsonl.dead.jsonl; to try them again: --retry-dead" in words
    code, words = run(tmp_path, ODD_ENDS, "--resume")
    assert (code, len(words.splitlines())) == (4, 2)
    assert "all 80 items are done already, 4 of them given up" in words
    # A mended program is another one, which --resume refuses.
    half = ODD_ENDS.replace("if 7 in", "if 700 in").replace("if 35 in", "if 3500 in")
    code, words = run(tmp_path, half, "--resume")
    assert code == 2
    assert "to retry the dead letters with this program: --retry-dead" in words
    code, words = run(tmp_path, half, "--retry-dead")
    assert code == 4, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled, lambda item: item["n"] in (21, 50)) == []
    code, words = run(tmp_path, DOUBLE, "--retry-dead")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []
    assert not (tmp_path / "out.jsonl.dead.jsonl").exists()
    code, words = run(tmp_path, DOUBLE, "--retry-dead")
    assert (code, words.splitlines()) == (0, ["ipexlaunch: no item was given up: there is nothing to try again"])
    for wrong in (("--retry-dead", "--resume"), ("--retry-dead", "--overwrite"), ("--retry-dead", "--rebuild")):
        assert run(tmp_path, DOUBLE, *wrong)[0] == 2


LEAVES = """
import os, time
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([2 * item["n"] for item in batch.items])
    os._exit(0)
"""


def test_a_program_that_ends_well_after_each_batch_does_all_items(tmp_path: Path) -> None:
    given = write_input(tmp_path, 24)
    code, words = run(tmp_path, LEAVES, "--batch-size", "8", "--attempts", "1")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


SLOW_ONE = """
import time
from ipexlaunch import worker
for batch in worker.batches():
    open("begun", "w").close()
    time.sleep(600)
"""


def test_an_item_whose_worker_was_asked_to_end_is_not_given_up(tmp_path: Path) -> None:
    given = write_input(tmp_path, 3)
    process = start(tmp_path, SLOW_ONE, "--attempts", "1")
    wait_until((tmp_path / "begun").exists)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert not (tmp_path / "out.jsonl.dead.jsonl").exists()
    assert run(tmp_path, DOUBLE, "--overwrite")[0] == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_a_program_that_ends_well_without_taking_anything_does_not_run_for_ever(tmp_path: Path) -> None:
    write_input(tmp_path, 30)
    code, words = run(tmp_path, "from ipexlaunch import worker\nworker.ready()\nworker.finish()")
    assert code == 4
    assert "times before they asked for items, at last: ended with exit code 0" in words


def test_an_item_that_takes_too_long_says_so_in_its_letter(tmp_path: Path) -> None:
    write_input(tmp_path, 10)
    script = DOUBLE.replace("    time.sleep(0.001 * len(batch))", "    if batch.ids == ['d3']: time.sleep(600)")
    code, words = run(tmp_path, script, "--batch-size", "1", "--attempts", "1", "--stall-timeout", "1")
    assert code == 4, words
    (letter,) = rows_of(tmp_path / "out.jsonl.dead.jsonl")
    assert (letter["id"], letter["reason"]) == ("d3", "had a batch for 1 s (--stall-timeout) and was killed")


ODD_LINES = [
    (b'{"id":1,"v":1e400}', "larger than any number"),
    (b'{"id":2,"v":NaN}', "NaN is no JSON"),
    (b'{"id":3,"v":%s1%s}' % (b"[" * 970, b"]" * 970), "512 deep"),
    (b'{"id":4,"v":%s}' % (b"[" * 100_000), "512 deep"),
    (b'{"id":5,"v":%s}' % (b"7" * 5000), "4300 digits"),
    (b'{"id":6,"v":"\\ud800"}', "half a character"),
    (b'{"id":7,"id":70}', "twice in one object"),
    (b'{"id":8.0}', "its id 'id' is a number"),
    (b'{"id":true}', "its id 'id' is true or false"),
    (b'{"id":"a"}', "its id 'a' was given before"),
]

ECHO = """
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([item.get("v") for item in batch.items])
"""


def test_odd_lines_end_no_job_and_every_id_stays_its_own(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    deep = b'{"id":"deep","v":%s1%s}' % (b"[" * 500, b"]" * 500)
    good = [b'{"id":"a"}', b'{"id":1}', b'{"id":"1","v":1e308}', deep]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join([*good, *(line for line, _ in ODD_LINES)]) + b"\n")
    words = ("--input", "in.jsonl", "--output", "out.parquet", "--id-field", "id")
    code, _, said = run_formats(tmp_path, *words, script=ECHO)
    assert code == 4
    assert "in.jsonl, line 5: it holds 1e400, which is larger than any number" in said
    code, _, said = run_formats(tmp_path, *words, "--resume", "--on-bad-line", "dead-letter", script=ECHO)
    assert code == 4
    assert "Traceback" not in said
    assert "line 5 of the input gives no item" in said
    ids = parquet.read_table(tmp_path / "out.parquet").column("id").to_pylist()
    assert sorted(ids) == ['"1"', '"a"', '"deep"', "1"]
    letters = rows_of(tmp_path / "out.parquet.dead.jsonl")
    assert [letter["line"] for letter in letters] == list(range(5, 15))
    assert {letter["id"] for letter in letters} == {None}
    for letter, (_, reason) in zip(letters, ODD_LINES, strict=True):
        assert reason in letter["reason"]
    # Once they are mended nothing of the job is lost: its rows were kept for this.
    assert (tmp_path / "out.parquet.part").exists()
    code, _, said = run_formats(tmp_path, *words, "--retry-dead", script=ECHO + "\n")
    assert code == 4
    assert len(rows_of(tmp_path / "out.parquet.dead.jsonl")) == 10
    assert parquet.read_table(tmp_path / "out.parquet").num_rows == 4


def test_columns_of_one_name_are_refused_before_anything_is_touched(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    numbers = pyarrow.array([1, 2])
    parquet.write_table(pyarrow.Table.from_arrays([numbers, numbers], ["a", "a"]), tmp_path / "in.parquet")
    (tmp_path / "out.jsonl").write_text("mine\n")
    words = ("--input", "in.parquet", "--output", "out.jsonl", "--overwrite")
    code, _, said = run_formats(tmp_path, *words, script=ECHO)
    assert (code, len(said.splitlines())) == (2, 1)
    assert "it names the column 'a' twice" in said
    assert (tmp_path / "out.jsonl").read_text() == "mine\n"


def test_letters_that_were_cut_are_noticed_and_carried_over_by_a_rebuild(tmp_path: Path) -> None:
    given = write_input(tmp_path, 30)
    fails = "    if any(item['n'] > 26 for item in batch.items): batch.failed('no'); continue\n    time"
    script = DOUBLE.replace("    time", fails)
    assert run(tmp_path, script, "--batch-size", "4")[0] == 4
    letters = tmp_path / "out.jsonl.dead.jsonl"
    assert len(rows_of(letters)) == 3
    os.truncate(letters, letters.stat().st_size - 5)
    code, words = run(tmp_path, script, "--resume")
    assert code == 2
    assert "its ledger counts on" in words
    assert "--resume --rebuild" in words
    assert run(tmp_path, script, "--resume", "--rebuild")[0] == 4
    assert problems_of(given, tmp_path / "out.jsonl", doubled, lambda item: item["n"] > 26) == []
    assert len(rows_of(letters)) == 3


def test_a_retry_that_is_killed_in_its_middle_is_gone_on_with(tmp_path: Path) -> None:
    given = write_input(tmp_path, 40)
    assert run(tmp_path, DOUBLE.replace("    time", "    batch.failed('no'); continue\n    time"))[0] == 4
    held = """
import os, time
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([2 * item["n"] for item in batch.items])
    while not os.path.exists("go"):
        time.sleep(0.005)
"""
    process = start(tmp_path, held, "--retry-dead", "--batch-size", "4")
    wait_until(rows_are_written(tmp_path))
    process.kill()
    process.communicate(timeout=60)
    (tmp_path / "go").touch()
    done = [json.loads(line)["number"] for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert 0 < len(done) < 40
    code, words = run(tmp_path, held, "--retry-dead")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []
