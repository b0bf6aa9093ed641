"""`ipexlaunch batch` with real workers: each item once, whatever dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.measure.report import read_report
from tests.batch.check_results import problems_of, rows_of

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
COUNT = str(min(2, len(os.sched_getaffinity(0))))

DOUBLE = """
import time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(0.001 * len(batch))
    batch.done([2 * item["n"] for item in batch.items])
"""

HELD = """
import os, time
from ipexlaunch import worker
for batch in worker.batches():
    batch.done([2 * item["n"] for item in batch.items])
    while not os.path.exists("go"):
        time.sleep(0.005)
"""
"""Does one batch, and the rest once there is a file "go"."""


def doubled(item: dict[str, Any]) -> object:
    return 2 * item["n"]


def write_input(folder: Path, count: int) -> Path:
    path = folder / "in.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"d{n}", "n": n, "pad": "x" * (n * 37 % 90)}) + "\n" for n in range(count))
    )
    return path


def start(folder: Path, script: str, *options: str) -> subprocess.Popen[str]:
    program = folder / "program.py"
    if not program.exists() or program.read_text() != script:
        program.write_text(script)
    return subprocess.Popen(
        [
            sys.executable, "-m", "ipexlaunch", "batch", "--input", "in.jsonl", "--output", "out.jsonl",
            "--id-field", "id", "--ninstances", COUNT, "--grace", "5", "--report", "report.json",
            *options, "program.py",
        ],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
        text=True,
    )  # fmt: skip


def run(folder: Path, script: str, *options: str) -> tuple[int, str]:
    process = start(folder, script, *options)
    _, words = process.communicate(timeout=120)
    return process.returncode, words


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def rows_are_written(folder: Path) -> Callable[[], bool]:
    return lambda: (folder / "out.jsonl").exists() and (folder / "out.jsonl").stat().st_size > 0


def workers_of(pid: int) -> list[int]:
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(OSError):
            if b"IPEXLAUNCH_BATCHES=" in Path(f"/proc/{child}/environ").read_bytes():
                found.append(int(child))
    return found


def test_every_item_has_its_result(tmp_path: Path) -> None:
    given = write_input(tmp_path, 400)
    code, words = run(tmp_path, DOUBLE, "--batch-size", "8")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []
    assert "400 items done" in words
    report = read_report((tmp_path / "report.json").read_text(), "report.json")
    assert report.valid
    assert report.throughput.items == 400
    assert report.latency_ms["p50"] >= 1.0
    # A job that is done has nothing left to do.
    code, words = run(tmp_path, DOUBLE, "--resume")
    assert code == 0
    assert "all 400 items are done already" in words


def test_fewer_items_than_workers_is_no_fault(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1)
    code, words = run(tmp_path, DOUBLE)
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_an_empty_input_has_an_empty_output(tmp_path: Path) -> None:
    write_input(tmp_path, 0)
    code, words = run(tmp_path, DOUBLE)
    assert code == 0, words
    assert rows_of(tmp_path / "out.jsonl") == []


def test_items_of_a_killed_worker_go_to_the_others(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1500)
    process = start(tmp_path, HELD)
    wait_until(rows_are_written(tmp_path))
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    (tmp_path / "go").touch()
    _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words
    assert "was killed by SIGKILL" in words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_a_stopped_worker_is_killed_and_its_items_go_to_the_others(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1500)
    process = start(tmp_path, HELD, "--stall-timeout", "1")
    wait_until(rows_are_written(tmp_path))
    os.kill(workers_of(process.pid)[0], signal.SIGSTOP)
    (tmp_path / "go").touch()
    _, words = process.communicate(timeout=120)
    assert process.returncode == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


POISON = """
import os, signal
from ipexlaunch import worker
for batch in worker.batches():
    if any(item["n"] == 77 for item in batch.items):
        os.kill(os.getpid(), signal.SIGKILL)
    if any(item["n"] == 50 for item in batch.items):
        batch.failed(ValueError("50 is not liked"))
        continue
    batch.done([2 * item["n"] if item["n"] != 60 else float("nan") for item in batch.items])
"""


def test_items_that_cannot_be_done_are_found_and_given_up_with_the_reason(tmp_path: Path) -> None:
    given = write_input(tmp_path, 200)
    code, words = run(tmp_path, POISON, "--batch-size", "16")
    assert code == 4, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled, lambda item: item["n"] in (50, 60, 77)) == []
    reasons = {row["value"]["n"]: row["reason"] for row in rows_of(tmp_path / "out.jsonl.dead.jsonl")}
    assert "SIGKILL" in reasons[77]
    assert reasons[50] == "50 is not liked"
    assert "not JSON" in reasons[60]
    assert "3 items given up, see out.jsonl.dead.jsonl" in words


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_job_goes_on_where_it_was_ended(tmp_path: Path, number: signal.Signals) -> None:
    given = write_input(tmp_path, 3000)
    process = start(tmp_path, HELD)
    wait_until(rows_are_written(tmp_path))
    process.send_signal(number)
    process.communicate(timeout=120)
    done = len(rows_of_whole_lines(tmp_path / "out.jsonl"))
    assert 0 < done < 3000
    (tmp_path / "go").touch()
    code, words = run(tmp_path, HELD, "--resume")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []
    assert read_report((tmp_path / "report.json").read_text(), "report.json").throughput.items <= 3000 - done + 300


def rows_of_whole_lines(path: Path) -> list[bytes]:
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    given = write_input(tmp_path, 50)
    assert run(tmp_path, DOUBLE)[0] == 0
    code, words = run(tmp_path, DOUBLE)
    assert code == 2
    assert "--resume" in words
    assert run(tmp_path, DOUBLE, "--overwrite")[0] == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_a_job_that_is_not_the_same_any_more_is_refused(tmp_path: Path) -> None:
    write_input(tmp_path, 50)
    assert run(tmp_path, DOUBLE)[0] == 0
    code, words = run(tmp_path, DOUBLE.replace("2 *", "3 *"), "--resume")
    assert code == 2
    assert "program sha256 was" in words
    write_input(tmp_path, 51)
    code, words = run(tmp_path, DOUBLE, "--resume")
    assert code == 2
    assert "input bytes was" in words


def test_a_second_job_on_the_same_output_is_refused(tmp_path: Path) -> None:
    given = write_input(tmp_path, 1500)
    first = start(tmp_path, HELD)
    wait_until(rows_are_written(tmp_path))
    for option in ("--resume", "--overwrite"):
        code, words = run(tmp_path, HELD, option, "--report", "another.json")
        assert code == 75
        assert f"launcher {first.pid} on " in words
    (tmp_path / ".out.jsonl.held").unlink()  # somebody believed it dead
    code, words = run(tmp_path, HELD, "--resume", "--report", "another.json")
    assert code == 75
    assert "another job holds it" in words
    (tmp_path / "go").touch()
    first.communicate(timeout=120)
    assert first.returncode == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_a_lost_ledger_is_made_anew_from_the_output(tmp_path: Path) -> None:
    given = write_input(tmp_path, 3000)
    process = start(tmp_path, HELD)
    wait_until(rows_are_written(tmp_path))
    process.kill()
    process.communicate(timeout=120)
    os.truncate(tmp_path / "out.jsonl.ledger", 3)
    (tmp_path / "go").touch()
    code, words = run(tmp_path, HELD, "--resume")
    assert code == 2
    assert "--resume --rebuild" in words
    code, words = run(tmp_path, HELD, "--resume", "--rebuild")
    assert code == 0, words
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_a_broken_line_is_named_and_what_was_before_it_is_done(tmp_path: Path) -> None:
    given = write_input(tmp_path, 100)
    with given.open("a") as file:
        file.write('{"id": "d100", "n": \n')
    code, words = run(tmp_path, DOUBLE)
    assert code == 4
    assert "in.jsonl, line 101: it is not JSON" in words
    assert len(rows_of(tmp_path / "out.jsonl")) == 100


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("print('hello')", "items are left that were not done"),
        ("raise SystemExit(5)", "instance 0 ended with exit code 5"),
        ("from ipexlaunch import worker\nfor batch in worker.batches(): pass", "the program fails on every batch"),
        ("from ipexlaunch import worker\nworker.ready()\nraise SystemExit(5)", "times before they asked for items"),
        ("from ipexlaunch import worker\nfor batch in worker.batches(): batch.failed('no')", "were given up without"),
    ],
)
def test_a_program_that_does_nothing_right_does_not_run_for_ever(tmp_path: Path, script: str, problem: str) -> None:
    write_input(tmp_path, 300)
    code, words = run(tmp_path, script, "--batch-size", "4")
    assert code != 0
    assert problem in words


def test_a_mistake_in_the_program_shows_within_few_lines(tmp_path: Path) -> None:
    write_input(tmp_path, 300)
    script = "from ipexlaunch import worker\nfor batch in worker.batches():\n    batch.done(modle(batch.items))"
    code, words = run(tmp_path, script)
    assert code == 4
    lines = words.splitlines()
    mistakes = [place for place, line in enumerate(lines) if "NameError: name 'modle'" in line]
    verdicts = [place for place, line in enumerate(lines) if "the program fails on every batch" in line]
    assert 2 <= len(mistakes) <= 2 * int(COUNT) + 1
    assert len(verdicts) == 2  # when it is noticed, and as the reason of the report
    assert mistakes[-1] < verdicts[0]
    report = read_report((tmp_path / "report.json").read_text(), "report.json")
    assert len([line for line in report.warnings if "exit code 1" in line]) == int(COUNT)


def test_a_full_disk_ends_the_job_and_what_was_committed_stays(tmp_path: Path) -> None:
    given = write_input(tmp_path, 3000)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40000, 40000))"
    code = f"{limit}\nfrom ipexlaunch.cli.main import main\nraise SystemExit(main())"
    (tmp_path / "program.py").write_text(DOUBLE)
    command = [
        sys.executable, "-c", code, "batch", "--input", "in.jsonl", "--output", "out.jsonl", "--id-field", "id",
        "--ninstances", COUNT, "program.py",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 4, result.stderr
    assert "File too large" in result.stderr
    assert 0 < (tmp_path / "out.jsonl").stat().st_size <= 40000
    assert run(tmp_path, DOUBLE, "--resume")[0] == 0
    assert problems_of(given, tmp_path / "out.jsonl", doubled) == []


def test_batches_asked_for_without_a_job_are_an_error_that_says_so(tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(DOUBLE)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for words in ([str(script)], ["-m", "ipexlaunch", "--ninstances", "1", str(script)]):
        result = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=60)
        assert result.returncode != 0
        assert "ipexlaunch batch --input FILE --output FILE" in result.stderr
