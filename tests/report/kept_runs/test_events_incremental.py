"""The events of a run that never ended: what was noted is there, whatever happened to its launcher."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.cli.run.keep_run import EventsObserver
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.background_writer import WritingThread
from ipexlaunch.launch.placement.placement import Binding, Placement
from ipexlaunch.launch.run_events import (
    DurationsReported,
    FactReported,
    InvalidReported,
    ItemsCounted,
    NoteAdded,
    PhaseSeen,
    RunBegan,
    RunEvent,
    RunSignalled,
    StartGiven,
    WorkerExited,
    WorkerFinished,
    WorkerInspected,
    WorkerReady,
    WorkerRestated,
    WorkerStarted,
)
from ipexlaunch.launch.run_record import Announced, Run, Samples, WorkerRecord
from ipexlaunch.launch.run_so_far import INSPECTIONS_KEPT, RunSoFar, events_of
from ipexlaunch.measure.report import Report, aggregate
from ipexlaunch.plan import Instance
from ipexlaunch.report.kept_runs.events_file import EventLines, read_events_so_far, write_events
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, open_runs, read_run_directory
from ipexlaunch.report.kept_runs.run_directory import SO_FAR
from tests.report.kept_runs.test_events_file import NAMES, PLACEMENTS, SPENT, samples
from tests.report.page.made_runs import keep_made_run

ROOT = Path(__file__).parents[3]


INDICES = st.integers(0, 2)
NEW_EVENTS = st.one_of(
    st.builds(StartGiven, st.just(3.0)),
    st.builds(RunSignalled, st.just(4.0), st.just(15)),
    st.builds(NoteAdded, NAMES),
    st.builds(WorkerReady, INDICES, st.floats(0, 1e6), SPENT),
    st.builds(WorkerFinished, INDICES, st.floats(0, 1e6)),
    st.builds(PhaseSeen, INDICES, NAMES, st.floats(0, 1e6), spent=SPENT),
    st.builds(WorkerInspected, INDICES, PLACEMENTS),
    st.builds(ItemsCounted, INDICES, samples()),
    st.builds(DurationsReported, INDICES, NAMES, st.lists(st.floats(0, 9), min_size=1)),
    st.builds(FactReported, INDICES, NAMES, st.one_of(st.none(), st.integers(), NAMES)),
    st.builds(InvalidReported, INDICES, NAMES),
    st.builds(WorkerRestated, INDICES, st.sampled_from(("worker", "counts", "placements"))),
    st.builds(
        WorkerExited,
        index=INDICES,
        time=st.floats(0, 1e6),
        code=st.integers(0, 255),
        seen=st.booleans(),
        cpu_s=st.floats(0, 1e6),
        peak_memory_bytes=st.integers(0, 1 << 50),
        claimed_rate=st.one_of(st.none(), st.floats(0, 1e6)),
        log=st.sampled_from(("", "logs/x.log", "logs/\udcff.log")),
    ),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(NEW_EVENTS, max_size=12), min_size=1, max_size=4))
def test_what_was_told_at_several_moments_is_the_run_at_the_last(moments: list[list[RunEvent]]) -> None:
    told, so_far, lines = EventLines(), RunSoFar(), list[str]()
    begin: list[RunEvent] = [RunBegan(1.0, fed=False)]
    begin += [WorkerStarted(2.0, 7, replace(RECORD.instance, index=index), None) for index in range(3)]
    for moment in (begin, *moments):
        for event in moment:
            told.add(event)
            so_far.add(event)
        lines += told.take()
        back, run = read_events_so_far(lines, "events"), so_far.run(0.0)
        assert [comparable(record) for record in back.records] == [comparable(record) for record in run.records]
        assert replace(back, records=(), ended=0.0) == replace(run, records=(), ended=0.0)
    assert told.take() == []


def comparable(record: WorkerRecord) -> tuple[object, ...]:
    """NaN equals nothing."""
    samples = record.samples
    columns = (samples.times, samples.items, samples.tokens, [str(latency) for latency in samples.latencies_s])
    return columns, replace(record, samples=Samples(), told=record.told or Announced())


RECORD = WorkerRecord(
    instance=Instance(index=3, cpus=frozenset({4}), nodes=frozenset({0}), threads=1), pid=7, started=10.0, ready=20.0,
    finished=None, exit_code=0, samples=Samples(), binding=None, placements=(),
)  # fmt: skip


def run_of(*times: float) -> Run:
    samples = Samples()
    for moment in times:
        samples.add(moment, 5)
    return Run(
        records=(replace(RECORD, samples=samples),), started=10.0, go=20.0, ended=99.0, failures=(), signal=None,
        exit_code=0, over=False,
    )  # fmt: skip


def lines_of(run: Run) -> list[str]:
    told = EventLines()
    for event in events_of(run):
        told.add(event)
    return told.take()


def test_a_long_series_of_inspections_stays_short() -> None:
    so_far = RunSoFar()
    so_far.add(WorkerStarted(2.0, 7, RECORD.instance, None))
    cpus = RECORD.instance.cpus
    placement = Placement(cpus=cpus, threads=1, pinned_threads=1, main_thread_cpus=cpus)
    for _ in range(10_000):
        so_far.add(WorkerInspected(RECORD.instance.index, placement))
    [record] = so_far.run(9.0).records
    assert len(record.placements) <= INSPECTIONS_KEPT
    assert sum(placement.looks for placement in record.placements) == 10_000


def test_it_ends_with_the_last_that_is_known_and_says_so() -> None:
    lines = lines_of(run_of(21.0, 25.0))
    back = read_events_so_far(lines, "events")
    assert back.ended == 25.0
    report = aggregate(back)
    assert report.reasons == ("it has no end: its launcher was killed, or it still runs; known are its first 15 s",)
    assert (report.throughput.makespan, report.exit_code, report.instances[0].exit) == (2.0, 4, None)


def test_a_binding_that_became_known_later_is_told() -> None:
    run, told = run_of(), EventLines()
    lines = lines_of(run)
    bound = Binding(cpus=frozenset({4}), memory="bind", nodes=frozenset({0}))
    told.add(WorkerStarted(10.0, 7, RECORD.instance, bound))
    lines += told.take()[1:]
    assert read_events_so_far(lines, "events").records[0].binding == bound


def test_half_a_line_is_left_out_and_anything_else_is_refused() -> None:
    lines = lines_of(run_of(21.0, 25.0))
    whole = read_events_so_far(lines[:-1], "events")
    for length in range(len(lines[-1]) - 1):
        assert read_events_so_far([*lines[:-1], lines[-1][:length]], "events") == whole
    with pytest.raises(DocumentError, match=r"line 3: it is not JSON"):
        read_events_so_far([*lines[:2], "{\n", *lines[2:]], "events")
    with pytest.raises(DocumentError, match="of: input should be 'worker', 'counts' or 'placements'"):
        read_events_so_far([*lines, '{"event":"anew","index":3,"of":"all"}\n'], "events")
    with pytest.raises(DocumentError, match="it has no event 'begin'"):
        read_events_so_far(lines[:1], "events")


def report_in(path: Path) -> Report:
    [opened] = open_runs([str(path)])
    assert isinstance(opened, OpenedRun)
    return opened.report


def test_a_run_whose_report_is_missing_is_computed_again(tmp_path: Path) -> None:
    keep_made_run(tmp_path / "run", "2s 2n 14c 2t", 4, seconds=5)
    whole = report_in(tmp_path / "run")
    run = read_run_directory(str(tmp_path / "run")).run
    assert run is not None
    (tmp_path / "run/events.jsonl").rename(tmp_path / "elsewhere")
    with pytest.raises(DocumentError, match=r"run/events.jsonl: no such file or directory"):
        read_run_directory(str(tmp_path / "run"))
    (tmp_path / "elsewhere").rename(tmp_path / "run/events.jsonl")
    (tmp_path / "run/report.json").unlink()
    assert report_in(tmp_path / "run").throughput == whole.throughput
    (tmp_path / "run/events.jsonl").unlink()
    with pytest.raises(DocumentError, match="did not finish; repeat it: run --replay"):
        open_runs([str(tmp_path / "run")])
    Path(tmp_path / "run", SO_FAR).write_text("".join(lines_of(replace(run, over=False))))
    cut = report_in(tmp_path / "run")
    assert (cut.valid, cut.throughput) == (False, whole.throughput)


def test_a_whole_document_may_tell_anew_too() -> None:
    lines = [*write_events(replace(run_of(21.0), over=True)), '{"event":"anew","index":3,"of":"counts"}\n']
    assert list(read_events_so_far(lines, "events").records[0].samples.times) == []


FOREVER = """\
import time
from ipexlaunch import worker
worker.phase("loading")
worker.ready()
while True:
    time.sleep(0.05)
    worker.count(items=2, latency_s=0.05)
"""


@pytest.mark.process
def test_a_launcher_that_is_killed_leaves_what_it_knew(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FOREVER)
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--run-dir", "kept", "script.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    launcher = subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL)
    so_far = tmp_path / "kept" / SO_FAR
    deadline = time.monotonic() + 60
    while not (so_far.exists() and '"counts"' in so_far.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # While it still runs it can be looked at.
    assert report_in(tmp_path / "kept").throughput.items > 0
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    kept = read_run_directory(str(tmp_path / "kept"))
    assert kept.run is not None
    assert kept.run.host
    assert kept.run.records[0].log.endswith(".log")
    told = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "report", "kept", "--html", "page.html"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.returncode == (0 if has_matplotlib() else 2), told.stderr
    table = subprocess.run(
        [sys.executable, "-m", "ipexlaunch", "report", "kept"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "INVALID" in table.stdout
    assert "its launcher was killed, or it still runs" in " ".join(table.stdout.split())


def has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


@pytest.mark.process
def test_a_run_that_ends_has_its_events_once(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(FOREVER.replace("while True:", "for _ in range(120):") + "worker.finish()\n")
    words = [sys.executable, "-m", "ipexlaunch", "--ninstances", "1", "--run-dir", "kept", "script.py"]
    seen = False
    launcher = subprocess.Popen(words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)})
    while launcher.poll() is None:
        seen = seen or (tmp_path / "kept" / SO_FAR).exists()
        time.sleep(0.05)
    assert launcher.returncode == 0
    assert seen
    assert not (tmp_path / "kept" / SO_FAR).exists()
    rows = [json.loads(line) for line in (tmp_path / "kept/events.jsonl").read_text().splitlines()]
    assert sum(sum(row["items"]) for row in rows if row.get("event") == "counts") == 240


def test_a_full_disk_does_not_end_the_run(tmp_path: Path) -> None:
    told: list[str] = []
    observer = EventsObserver(str(tmp_path / "missing"), WritingThread("events"), lambda: None, told.append)
    observer.on_event(RunBegan(1.0, fed=False))
    observer.write()
    while not told:
        time.sleep(0.01)  # a thread writes them
    observer.on_event(StartGiven(2.0))
    observer.write()
    assert told == [f"the events are not kept any further in {tmp_path}/missing: No such file or directory"]
