"""`ipexlaunch shards` with real workers: what is merged is what one batch job writes, whatever happens to attempts."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ipexlaunch.cli.options.option_table import READS, WRITES
from ipexlaunch.cli.shards.make import NOT_OF_SHARDS, make_command
from tests.batch.check_results import problems_of, rows_of
from tests.batch.shards.shard_jobs import DOUBLE, ShardJob, plain_batch, preloaded, sharded, write_items
from tests.cli.option_states import options_of
from tests.cli.test_named_files import NEITHER, NO_TEXT

pytestmark = pytest.mark.process

POISONED = """
import os
from ipexlaunch import worker
for batch in worker.batches():
    if any(item["n"] in (4, 40) for item in batch.items):
        batch.failed("it is poisoned")
        continue
    batch.done([2 * item["n"] for item in batch.items])
"""

TEXT = """
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([repr(item) for item in batch.items])
"""


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wrong(job: ShardJob) -> list[str]:
    return problems_of(job.folder / "in.jsonl", job.output, lambda item: 2 * item["n"])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("in.jsonl", ["--id-field", "id"]),
        ("in.jsonl", ["--keep-order"]),
        ("in.txt", []),
        ("in.csv", ["--keep-order", "--on-bad-line", "dead-letter"]),
        ("in.jsonl.gz", ["--id-field", "id"]),
        ("in.parquet", ["--keep-order"]),
        ("part-*.jsonl", ["--keep-order"]),
        ("in.jsonl", ["--output", "out.parquet", "--id-field", "n", "--keep-order"]),
    ],
)
def test_what_is_merged_is_what_one_batch_job_writes(tmp_path: Path, name: str, options: list[str]) -> None:
    (tmp_path / "program.py").write_text(TEXT)
    write_items(tmp_path / "in.jsonl", 90)
    text = (tmp_path / "in.jsonl").read_text()
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "in.txt").write_text(text.replace("}\n", "}\r\n\n"))
    (tmp_path / "in.csv").write_text("a,b\n" + '"x\ny",1\n"a ""b""",2\n3\n\n' * 30)
    for number in range(2):
        (tmp_path / f"part-{number}.jsonl").write_text(text)
    if name.endswith("parquet") or "out.parquet" in options:
        pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pyarrow.table({"n": range(90)}), tmp_path / "in.parquet", row_group_size=7)
    job = ShardJob(tmp_path)
    output = tmp_path / ("out.parquet" if "out.parquet" in options else "out.jsonl")
    job.make("--input", name, *options, shards=2)
    wide = json.loads(job.command("status", "job", "--json")[1])
    for index in range(len(wide["shards"])):
        code, said = job.run(index, "--no-progress")
        assert code == 0, said
    code, said = job.merge()
    dead = Path(f"{output}.dead.jsonl")
    merged, letters = output.read_bytes(), dead.read_bytes() if dead.exists() else b""
    plain = [word.replace("out.parquet", "plain.parquet") for word in options]
    plain += [] if "--output" in plain else ["--output", "plain.jsonl"]
    plain_code, told = plain_batch(tmp_path, "--input", name, *plain, "--ninstances", "1", "program.py")
    assert code == plain_code, (said, told)
    other = tmp_path / output.name.replace("out", "plain")
    if "--keep-order" in options:
        assert merged == other.read_bytes()
    assert sorted(merged.splitlines()) == sorted(other.read_bytes().splitlines())
    other_letters = Path(f"{other}.dead.jsonl")
    expected = other_letters.read_bytes() if other_letters.exists() else b""
    assert sorted(letters.splitlines()) == sorted(expected.splitlines())
    assert bool(letters) == (name == "in.csv")


def test_an_attempt_that_was_killed_is_taken_over_and_nothing_is_lost(tmp_path: Path) -> None:
    job = sharded(tmp_path, 300, "--batch-size", "4")
    process = job.start_run(1, SLOW="0.01")
    rows = job.rows_of_attempt(1, 0)
    wait_until(lambda: rows.exists() and rows.read_bytes().count(b"\n") > 8)
    process.kill()
    process.communicate()
    with rows.open("ab") as file:
        file.write(b'{"id":"d1","number":101,"res')  # half a row
    had = rows.read_bytes().count(b"\n")
    assert "lost" in job.command("status", "job")[1]
    code, said = job.merge()
    assert code == 4
    assert "ipexlaunch shards run job --index 1" in said
    assert not job.output.exists()
    code, said = job.run(1)
    assert code == 0, said
    assert f"of which attempt 0 had {had} results" in said
    assert job.run(1) == (0, "ipexlaunch: shard 1 is done already, by attempt 1 on " + os.uname().nodename + "\n")
    assert [job.run(index)[0] for index in (0, 2)] == [0, 0]
    assert job.merge()[0] == 0
    assert job.merge()[0] == 0
    assert wrong(job) == []


def test_a_zombie_that_goes_on_comes_second_and_its_rows_are_not_used(tmp_path: Path) -> None:
    job = sharded(tmp_path, 200, "--batch-size", "4", shards=2)
    zombie = job.start_run(0, SLOW="0.05")
    rows = job.rows_of_attempt(0, 0)
    wait_until(lambda: rows.exists() and rows.read_bytes().count(b"\n") > 8)
    code, said = job.run(0)
    assert code == 0, said
    committed = (tmp_path / "job" / "done-00000").read_bytes()
    _, told = zombie.communicate(timeout=120)
    assert zombie.returncode == 0
    assert "attempt 0 came second; attempt 1 on" in told
    assert (tmp_path / "job" / "done-00000").read_bytes() == committed
    assert job.run(1)[0] == 0
    assert job.merge()[0] == 0
    assert wrong(job) == []


def test_two_attempts_at_once_both_end_well_and_one_counts(tmp_path: Path) -> None:
    job = sharded(tmp_path, 60, shards=1)
    both = [job.start_run(0) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("is committed, 60 results" in each for each in said) == 1
    assert job.merge()[0] == 0
    assert wrong(job) == []


def test_without_locks_nothing_is_lost_and_nothing_twice(tmp_path: Path) -> None:
    library = preloaded(tmp_path, "int flock(int file, int how) { return 0; }")
    job = sharded(tmp_path / "job", 120, "--batch-size", "4", shards=2)
    job.environment = {"LD_PRELOAD": str(library)}
    attempts = [job.start_run(index, SLOW="0.01") for index in (0, 0, 0, 1)]
    attempts[0].send_signal(signal.SIGKILL)
    assert [process.wait(120) for process in attempts[1:]] == [0, 0, 0]
    for process in attempts:
        process.communicate()
    assert job.merge()[0] == 0
    assert wrong(job) == []


LINK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
int linkat(int a, const char *b, int c, const char *d, int e) {
    int (*true_one)(int, const char *, int, const char *, int) = dlsym(RTLD_NEXT, "linkat");
    %s
    errno = EPERM;
    return -1;
}
int link(const char *b, const char *d) { return linkat(AT_FDCWD, b, AT_FDCWD, d, 0); }
"""


def test_a_link_whose_answer_is_lost_counts_and_one_that_was_not_made_is_told(tmp_path: Path) -> None:
    job = sharded(tmp_path / "job", 20, shards=2)
    job.environment = {"LD_PRELOAD": str(preloaded(tmp_path / "lost", LINK % "true_one(a, b, c, d, e);"))}
    code, said = job.run(0)
    assert (code, "attempt 0 is committed" in said) == (0, True), said
    job.environment = {"LD_PRELOAD": str(preloaded(tmp_path / "none", LINK % "(void)true_one;"))}
    code, said = job.run(1)
    assert (code, "Operation not permitted" in said, job.done(1)) == (2, True, False), said
    code, said = job.command("make", "other", "--input", "in.jsonl", "program.py")
    assert (code, "on a file system with hard links" in said) == (2, True), said


def test_a_file_system_whose_locks_fail_will_do(tmp_path: Path) -> None:
    library = preloaded(tmp_path, "#include <errno.h>\nint flock(int f, int h) { errno = ENOSYS; return -1; }")
    job = sharded(tmp_path / "job", 20, shards=1)
    job.environment = {"LD_PRELOAD": str(library)}
    code, said = job.run(0)
    assert code == 0, said
    assert job.merge()[0] == 0
    assert wrong(job) == []


@pytest.mark.parametrize(("number", "options"), [(signal.SIGUSR1, []), (signal.SIGTERM, ["--drain-on-term"])])
def test_a_shard_that_drains_asks_to_be_tried_again(tmp_path: Path, number: int, options: list[str]) -> None:
    job = sharded(tmp_path, 200, "--batch-size", "4", shards=1)
    process = job.start_run(0, *options, SLOW="0.02")
    rows = job.rows_of_attempt(0, 0)
    wait_until(lambda: rows.exists() and rows.read_bytes().count(b"\n") > 8)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 75, said
    assert "to resume: ipexlaunch shards run job --index 0" in said
    assert "ended (75)" in job.command("status", "job")[1]
    assert job.run(0)[0] == 0
    assert job.merge()[0] == 0
    assert wrong(job) == []


def test_dead_letters_are_taken_over_and_merged(tmp_path: Path) -> None:
    job = sharded(tmp_path, 100, "--batch-size", "2", "--attempts", "1", shards=2, script=POISONED)
    code, said = job.run(0)
    assert code == 0, said
    assert "2 items given up" in said
    (tmp_path / "job" / "done-00000").unlink()  # as if it had been lost just before its commit
    code, said = job.run(0)
    assert "had 48 results and 2 dead letters" in said
    assert code == 0
    assert job.run(1)[0] == 0
    code, said = job.merge()
    assert (code, "INVALID: 2 items given up" in said) == (4, True)
    assert job.merge()[0] == 4
    may_die = lambda item: item is not None and item["n"] in (4, 40)  # noqa: E731
    assert problems_of(tmp_path / "in.jsonl", job.output, lambda item: 2 * item["n"], may_die) == []
    assert sorted(row["number"] for row in rows_of(Path(f"{job.output}.dead.jsonl"))) == [4, 40]
    # A mended program does them in a batch job on what was merged.
    (tmp_path / "program.py").write_text(DOUBLE)
    words = ["--input", "in.jsonl", "--output", "out.jsonl", "--id-field", "id", "program.py"]
    assert plain_batch(tmp_path, "--resume", "--rebuild", *words)[0] == 4
    assert plain_batch(tmp_path, "--retry-dead", *words)[0] == 0
    assert wrong(job) == []


def test_a_bad_line_stops_its_shard_alone(tmp_path: Path) -> None:
    write_items(tmp_path / "in.jsonl", 60)
    text = (tmp_path / "in.jsonl").read_text().splitlines(keepends=True)
    text[50] = "{broken\n"
    (tmp_path / "in.jsonl").write_text("".join(text))
    (tmp_path / "program.py").write_text(DOUBLE)
    job = ShardJob(tmp_path)
    job.make(shards=2)
    code, said = job.run(1)
    assert code == 4, said
    assert "in.jsonl, line 51" in said
    assert not job.done(1)
    assert job.run(0)[0] == 0
    assert "ended (4)" in job.command("status", "job")[1]
    path = tmp_path / "job" / "job.yaml"
    path.write_text(path.read_text().replace("options: [", "options: [--on-bad-line, dead-letter, "))
    assert job.run(1)[0] == 0  # no result depends on that option
    assert job.merge()[0] == 4
    assert [row["line"] for row in rows_of(Path(f"{job.output}.dead.jsonl"))] == [51]


def test_what_was_changed_since_the_job_was_made_is_refused(tmp_path: Path) -> None:
    job = sharded(tmp_path, 40, shards=2)
    assert job.run(0)[0] == 0
    path = tmp_path / "job" / "job.yaml"
    kept = path.read_text()
    path.write_text(kept.replace("--id-field, id", "--id-field, n"))
    assert job.run(0) == (2, REFUSED_EDIT.format("use what attempt 0 has done of shard 0"))
    assert job.merge() == (2, REFUSED_EDIT.format("merge shard 0"))
    path.write_text(kept)
    (tmp_path / "program.py").write_text(DOUBLE + "# mended\n")
    assert "the script is not what it was" in job.run(1)[1]
    (tmp_path / "program.py").write_text(DOUBLE)
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write('{"id":"new","n":1}\n')
    code, said = job.run(1)
    assert code == 2
    assert "it is not what it was when the job was made: bytes was" in said
    assert not (tmp_path / "job" / "shard-00001").exists()


REFUSED_EDIT = (
    "ipexlaunch: cannot {}: it was done for another job/job.yaml: its input, program or options were others; "
    "put back what it was, or make a job in another DIR\n"
)


@pytest.mark.parametrize(
    ("words", "variables", "code", "told"),
    [
        (["--index", "2"], {}, 2, "the job has 2 shards, 0 to 1"),
        ([], {}, 2, "give --index K: none of SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX"),
        ([], {"SLURM_ARRAY_TASK_ID": "7"}, 2, "shards count from 0: --array=0-1"),
        ([], {"JOB_COMPLETION_INDEX": "1"}, 0, "shard 1 is done"),
        (["--index", "-1"], {}, 2, "--index"),
    ],
)
def test_the_index_is_given_or_the_engines(
    tmp_path: Path, words: list[str], variables: dict[str, str], code: int, told: str
) -> None:
    job = sharded(tmp_path, 10, shards=2)
    got, said = job.command("run", "job", *words, **variables)
    assert (got, told in said) == (code, True), said


def test_a_job_runs_from_any_directory_on_the_paths_that_it_was_made_with(tmp_path: Path) -> None:
    job = sharded(tmp_path / "here", 20, shards=1)
    other = tmp_path / "there"
    other.mkdir()
    moved = ShardJob(other)
    assert moved.command("run", str(tmp_path / "here" / "job"), "--index", "0")[0] == 0
    assert moved.command("merge", "../here/job")[0] == 0
    assert wrong(job) == []


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    job = sharded(tmp_path, 10, shards=1)
    tries = {
        ("job", "--input", "in.jsonl", "program.py"): "job.yaml is there already",
        ("a", "--input", "-", "program.py"): "a pipe has no ranges",
        ("a", "--input", "in.jsonl", "--output", "-", "program.py"): "in a pipe",
        ("a", "--input", "in.jsonl", "--output", "in.jsonl", "program.py"): "it is the input",
        ("a", "--input", "in.jsonl", "--output", "program.py", "program.py"): "it is the program",
        ("a", "--input", "none.jsonl", "program.py"): "no such file",
        ("a", "--input", "in.jsonl", "none.py"): "there is no such file",
        ("a", "--input", "in.jsonl"): "give either a PROGRAM or --model",
        ("a", "program.py"): "Missing option '--input'",
        ("--input", "in.jsonl", "program.py"): "DIR comes first",
        ("a", "--input", "in.jsonl", "--resume", "program.py"): "--resume is not for shards",
        ("a", "--input", "in.jsonl", "--shards", "2", "--hosts", "3", "program.py"): "exclude each other",
        ("a", "--input", "in.jsonl", "--format", "text", "--id-field", "id", "program.py"): "exclude each other",
        ("a", "--input", "in.jsonl", "--id-field", "pad", "program.py"): None,
        ("", "--input", "in.jsonl", "program.py"): "empty",
    }
    for words, told in tries.items():
        code, said = job.command("make", *words)
        assert code == (0 if told is None else 2), (words, said)
        assert told is None or told in said, (words, said)
        assert (tmp_path / "a" / "job.yaml").exists() == (told is None)
        shutil.rmtree(tmp_path / "a", ignore_errors=True)


def test_ids_that_are_given_twice_are_refused_by_make(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"id":"a","n":1}\n' * 2)
    (tmp_path / "program.py").write_text(DOUBLE)
    code, said = ShardJob(tmp_path).command("make", "a", "--input", "in.jsonl", "--id-field", "id", "program.py")
    assert code == 2
    assert "in.jsonl, line 2: its id 'a' was given before, in in.jsonl, line 1" in said


def test_make_says_what_it_assumed(tmp_path: Path) -> None:
    write_items(tmp_path / "in.jsonl", 1000)
    (tmp_path / "program.py").write_text(DOUBLE)
    job = ShardJob(tmp_path)
    code, said = job.command("make", "a", "--input", "in.jsonl", "program.py")
    assert code == 0
    assert "16 shards: 4 for each of 4 hosts" in said
    assert "--hosts was not given: 4 are assumed" in said
    code, said = job.command(
        "make", "b", "--input", "in.jsonl", "--hosts", "2", "--load-time", "0.5", "--rate", "2", "program.py"
    )
    assert "5 shards for 2 hosts, 100 s each at 2 items/s" in said
    assert "job" not in os.listdir(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_for_reading_only_is_told(tmp_path: Path) -> None:
    job = sharded(tmp_path, 10, shards=1)
    (tmp_path / "job").chmod(0o500)
    assert "cannot write in" in job.run(0)[1]


def test_makes_options_are_those_of_batch_and_tell_what_they_name() -> None:
    own = {"directory", "shards", "hosts", "load_time", "rate", "output_file"}
    names = {each.name for each in make_command.params}
    assert names - own - {"program", "arguments"} == options_of("batch").keys() - NOT_OF_SHARDS - {"output_file"}
    assert options_of("batch").keys() >= NOT_OF_SHARDS
    texts = {each.name for each in make_command.params if not isinstance(each.type, NO_TEXT)} - {"directory"}
    assert texts <= {*READS, *WRITES, *NEITHER}
