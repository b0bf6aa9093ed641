"""One instance alone: what efficiency and interference mean, and what a run does for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.launch.run_record import Run, Samples, WorkerRecord
from ipexlaunch.measure.report import aggregate, read_report, write_report
from ipexlaunch.measure.scaling import baseline_of, scaling_of
from ipexlaunch.plan import Instance
from ipexlaunch.report.page.time_charts import items_by_time
from ipexlaunch.report.tables.report_table import report_table

ROOT = Path(__file__).parents[2]


def run_of(*counts: list[tuple[float, int]]) -> Run:
    """Workers that counted so many items at those times; the common start is at 10 s."""
    records = []
    for index, rows in enumerate(counts):
        samples = Samples()
        for time, items in rows:
            samples.add(time, items)
        records.append(
            WorkerRecord(
                instance=Instance(index=index, cpus=frozenset({index}), nodes=frozenset(), threads=1), pid=1,
                started=0.0, ready=9.0, finished=99.0, exit_code=0, samples=samples, binding=None, placements=(),
            )
        )  # fmt: skip
    return Run(records=records, started=0.0, go=10.0, ended=99.0, failures=(), signal=None, exit_code=0)


SOLO = run_of([(11.0, 10), (12.0, 10)])


def test_efficiency_is_the_steady_rate_over_that_of_as_many_alone() -> None:
    baseline = baseline_of(SOLO)
    assert baseline is not None
    assert (baseline.rate, baseline.items, baseline.seconds) == (10.0, 20, 2.0)
    # Both do 8 items a second while they work together, for 5 s; then the second goes on alone and is faster.
    run = run_of([(float(t), 8) for t in range(11, 16)], [(float(t), 8 if t < 16 else 10) for t in range(11, 18)])
    report = aggregate(run, baseline=baseline)
    assert report.throughput.steady == 16.0
    assert report.efficiency == pytest.approx(0.8)
    assert [instance.interference for instance in report.instances] == [pytest.approx(0.8), pytest.approx(0.8)]
    assert read_report(write_report(report), "r.json") == report
    assert "efficiency 80.0% of 2 x instance 0 alone: 10.0 items/s" in report_table(report)
    assert "of solo" in report_table(report, width=200)


def test_without_a_steady_rate_there_is_no_efficiency() -> None:
    run = run_of([(11.0, 8)], [(19.0, 8)])
    report = aggregate(run, baseline=baseline_of(SOLO))
    assert report.efficiency is None
    assert "no efficiency without a steady rate; instance 0 alone: 10.0 items/s" in report_table(report)
    assert baseline_of(run_of([])) is None
    assert baseline_of(run_of([(11.0, 0)])) is None
    assert baseline_of(run) is None


COUNTS = st.lists(st.tuples(st.floats(5, 40), st.integers(0, 50)), min_size=1, max_size=8)


@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_efficiency_is_the_mean_interference(counts: list[list[tuple[float, int]]]) -> None:
    baseline = baseline_of(SOLO)
    assert baseline is not None
    run = run_of(*counts)
    report, scaling = aggregate(run, baseline=baseline), scaling_of(run, baseline)
    assert (scaling is None) == (report.throughput.steady is None)
    if scaling is not None and report.throughput.steady is not None:
        assert scaling.efficiency == pytest.approx(report.throughput.steady / (len(counts) * 10.0))


@given(COUNTS, st.integers(1, 30))
def test_items_are_neither_lost_nor_invented_when_they_are_laid_out_in_time(
    counts: list[tuple[float, int]], buckets: int
) -> None:
    record = run_of(counts).records[0]
    done = items_by_time(record, 10.0, 30.0 / buckets, buckets, 10.0)
    assert sum(done) == pytest.approx(sum(items for _, items in counts))
    assert min(done) >= 0


def test_a_worker_that_ended_before_the_start_divides_nothing_by_zero() -> None:
    report = aggregate(run_of([(5.0, 3)], [(10.0, 2), (11.0, 2)]))
    assert (report.throughput.steady, report.throughput.makespan) == (None, 7.0)


def test_a_count_is_spread_over_the_time_that_it_took() -> None:
    record = run_of([(12.0, 4), (13.5, 3)]).records[0]
    assert items_by_time(record, 10.0, 1.0, 4, 10.0) == pytest.approx([2, 2, 2, 1])


SCRIPT = """\
import os
from ipexlaunch import worker
with open("log", "a") as file:
    file.write(f"{worker.index} of {worker.count_of_workers}\\n")
if os.environ.get("FAIL"):
    raise SystemExit(7)
worker.ready()
for _ in range(20):
    worker.count(1)
worker.finish()
"""


def ipexlaunch(*arguments: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ipexlaunch", *arguments], capture_output=True, text=True, cwd=cwd, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables}, check=False,
    )  # fmt: skip


@pytest.mark.process
def test_the_first_instance_runs_alone_first(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    cpus = sorted(os.sched_getaffinity(0))[:2]
    result = ipexlaunch("--ninstances", str(len(cpus)), "--baseline", "--run-dir", "kept", "script.py", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    log = (tmp_path / "log").read_text().splitlines()
    assert log[0] == f"0 of {len(cpus)}"
    assert sorted(log[1:]) == [f"{index} of {len(cpus)}" for index in range(len(cpus))]
    report = json.loads((tmp_path / "kept/report.json").read_text())
    solo = [json.loads(line) for line in (tmp_path / "kept/baseline-events.jsonl").read_text().splitlines()[1:]]
    go = next(row["time"] for row in solo if row["event"] == "go")
    counts = next(row for row in solo if row["event"] == "counts")
    assert report["baseline"]["rate"] == pytest.approx(20 / (counts["times"][-1] - go))
    assert report["baseline"]["items"] == 20


@pytest.mark.process
def test_where_it_fails_alone_the_others_are_not_started(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    result = ipexlaunch("--ninstances", "2", "--baseline", "script.py", cwd=tmp_path, FAIL="1")
    assert result.returncode == 7
    assert "the baseline failed; the run is not started" in result.stderr
    assert (tmp_path / "log").read_text() == "0 of 2\n"
