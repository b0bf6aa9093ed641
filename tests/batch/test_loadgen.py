"""`ipexlaunch loadgen`: LoadGen's own verdict over real workers, and what happens where there can be none."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ipexlaunch.measure.report import read_report
from tests.batch.test_batch_command import COUNT, ROOT

pytestmark = pytest.mark.process

SLEEPY = """
import time
from ipexlaunch import worker
for batch in worker.batches():
    time.sleep(0.005 * len(batch))
    batch.done([0] * len(batch))
"""

DYING = """
import os
from ipexlaunch import worker
for batch in worker.batches():
    os._exit(9)
"""


def loadgen(folder: Path, script: str, *options: str) -> tuple[int, str, str]:
    pytest.importorskip("mlperf_loadgen")
    (folder / "program.py").write_text(script)
    (folder / "in.txt").write_text("".join(f"text {n}\n" for n in range(100)))
    files = ("--input", "in.txt", "--report", "report.json", "--loadgen-log-dir", "log")
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "loadgen", "--ninstances", COUNT, *files, *options, "program.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.returncode, done.stdout, done.stderr


def test_offline_is_valid_and_its_rate_is_ours(tmp_path: Path) -> None:
    workers = int(COUNT)
    code, summary, words = loadgen(
        tmp_path, SLEEPY, "--qps", str(250 * workers), "--min-duration", "2", "--batch-size", "4"
    )
    assert code == 0, words
    assert "Result is : VALID" in summary
    assert summary == (tmp_path / "log/mlperf_log_summary.txt").read_text() + "\n"
    rate = re.search(r"Samples per second: ([0-9.]+)", summary)
    assert rate
    report = read_report((tmp_path / "report.json").read_text(), "report.json")
    assert report.valid
    # More than they can do in 2 s, with 5 ms an item: LoadGen issues the expected rate times the duration, and a tenth.
    assert report.throughput.items == pytest.approx(1.1 * 2 * 250 * workers, abs=2)
    assert report.throughput.makespan == pytest.approx(float(rate[1]), rel=0.2)


def test_server_is_invalid_where_answers_come_too_late(tmp_path: Path) -> None:
    options = ("--scenario", "Server", "--qps", "30", "--min-duration", "1", "--min-queries", "20")
    code, summary, words = loadgen(tmp_path, SLEEPY, *options, "--target-latency-ms", "1")
    assert code == 4, words
    assert "Scenario : Server" in summary
    assert "Result is : INVALID" in summary
    reason = words.partition("INVALID: LoadGen says: Result is INVALID (")[2].splitlines()[0]
    assert "Performance constraints satisfied: NO" in reason
    advice = summary.partition("Recommendations:\n")[2].splitlines()[0].strip(" *")
    assert advice
    assert advice in reason


def test_a_program_that_dies_ends_the_test_without_a_verdict(tmp_path: Path) -> None:
    code, summary, words = loadgen(tmp_path, DYING, "--qps", "50", "--min-duration", "1")
    assert code not in (0, 2, 3), words
    assert summary == ""
    assert "LoadGen's test did not finish" in words


def test_without_samples_or_loadgen_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(SLEEPY)
    (tmp_path / "empty.txt").touch()
    command = [sys.executable, "-m", "ipexlaunch", "loadgen", "--qps", "9", "--input", "empty.txt", "program.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "cannot draw samples from empty.txt: it has no items" in done.stderr
    (tmp_path / "empty.txt").write_text("a\n")
    (tmp_path / "mlperf_loadgen.py").write_text("raise ImportError\n")
    environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "pip install 'ipexlaunch[loadgen]'" in done.stderr
