"""A rate says what it counts from, where one worker loads several seconds longer than the other."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

LOADS_UNEQUALLY = """
import os, time
from ipexlaunch import worker
time.sleep(4.0 * (worker.index == 1))
begun = time.monotonic()
print("loaded", begun, flush=True)
for batch in worker.batches():
    time.sleep(0.002 * len(batch))
    batch.done([0] * len(batch))
print(worker.index, "worked", time.monotonic() - begun, flush=True)
"""

LOADING_S = 4.0

pytestmark = pytest.mark.process


def run(folder: Path, *words: str) -> tuple[dict[str, object], str, str]:
    """The report, standard output and standard error of a command on two instances of the first allowed cpu or two."""
    (folder / "program.py").write_text(LOADS_UNEQUALLY)
    (folder / "in.txt").write_text("".join(f"text {n}\n" for n in range(400)))
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("two instances need two cpus")
    done = subprocess.run(
        [
            sys.executable, "-m", "ipexlaunch", *words, "--ninstances", "2", "--input", "in.txt", "--batch-size", "4",
            "--lost-time", "1", "--report", "report.json", "program.py",
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
    )  # fmt: skip
    assert done.returncode in (0, 4), done.stderr
    report: dict[str, object] = json.loads((folder / "report.json").read_text())
    return report, done.stdout, done.stderr


def throughput(report: dict[str, object]) -> dict[str, float]:
    found = report["throughput"]
    assert isinstance(found, dict)
    return found


def test_loadgen_counts_from_a_common_start_so_that_loading_is_not_in_the_rate(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_loadgen")
    words = ("loadgen", "--qps", "200", "--min-duration", "1")
    report, summary, said = run(tmp_path, *words)
    rate = re.search(r"Samples per second: ([0-9.]+)", summary)
    assert rate
    rates = throughput(report)
    assert str(rates["start"]) == "common"
    assert "from the common start to the last item" in said
    theirs_s = rates["items"] / float(rate[1])
    # LoadGen's own time and ours differ by the start of its thread, not by the four seconds of loading.
    assert rates["seconds"] < theirs_s + LOADING_S / 2


def test_batch_counts_from_the_first_workers_start_and_says_so(tmp_path: Path) -> None:
    report, _, said = run(tmp_path, "batch", "--output", "out.jsonl")
    assert str(throughput(report)["start"]) == "first"
    assert "from the first worker's start to the last item" in said
    assert "common start" not in said
    assert "for only 100%" not in said
    assert "straggler" not in said  # the one that came later worked no slower
    if "got no item" not in said:
        instances = report["instances"]
        assert isinstance(instances, list)
        # Each over its own time: the four seconds in which the second loaded are not its work.
        assert instances[1]["items"] / instances[1]["rate"] < LOADING_S / 2


def test_an_empty_input_needs_no_advice_on_counting(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(LOADS_UNEQUALLY)
    (tmp_path / "in.txt").touch()
    done = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "batch", "--ninstances", "1", "--input", "in.txt", "--output", "o.jsonl",
         "program.py"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "no throughput: no item was done" in done.stderr
    assert "ready()" not in done.stderr
    assert "was killed" not in done.stderr
