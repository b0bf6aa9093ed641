"""The events of a run that never ended: what was noted is there, whatever happened to its launcher."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.cli.run.keep_run import RunKeeper
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.announced import Told
from ipexlaunch.launch.bind import held_to
from ipexlaunch.launch.hold_place import Hold
from ipexlaunch.launch.job import Job, make_launch
from ipexlaunch.launch.placement.binding import Binding
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.launch.samples import UNKNOWN, Samples
from ipexlaunch.launch.supervise import Means
from ipexlaunch.machine.synthetic import machine_from_sentence
from ipexlaunch.measure.report import Report, aggregate
from ipexlaunch.plan import Instance, Request, make_plan
from ipexlaunch.report.kept_runs.events_file import read_events_so_far, write_events
from ipexlaunch.report.kept_runs.events_incremental import EventsSoFar
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, open_runs
from ipexlaunch.report.kept_runs.read_run_directory import read_run_directory
from ipexlaunch.report.kept_runs.run_directory import GrowingEvents, MadeDirectory
from ipexlaunch.report.kept_runs.run_files import SO_FAR
from tests.report.kept_runs.test_events_file import PLACEMENTS, records, runs
from tests.report.page.made_runs import keep_made_run

ROOT = Path(__file__).parents[3]


def course(draw: Callable[..., Any]) -> Iterator[Run]:
    """A run at several moments: lists grow, all else of a worker may have changed, objects are the same ones."""
    final = draw(runs())
    samples = [Samples() for _ in final.records]
    told = [Told() for _ in final.records]
    looks = [draw(st.lists(PLACEMENTS, max_size=5)) for _ in final.records]
    moments = draw(st.integers(1, 4))
    for moment in range(1, moments + 1):
        part = moment / moments
        made = []
        for place, record in enumerate(final.records):
            if draw(st.integers(0, 3)) == 0:  # what it printed is put aside, because it counts itself
                samples[place] = Samples()
            for _ in range(draw(st.integers(0, 3))):
                samples[place].add(draw(st.floats(0, 1e6)), 1, 0, draw(st.sampled_from((UNKNOWN, 0.5))))
            changed = draw(records(record.instance.index))
            if changed.told is not None:
                told[place].begin_attempt()
                told[place].phases.extend(changed.told.phases)
                told[place].facts.update(changed.told.facts)
                told[place].invalid.append(f"doubt {moment}")
                told[place].add_durations("first_token", [0.5] * draw(st.integers(1, 2)))
            seen = looks[place][: round(part * len(looks[place]))]
            if draw(st.integers(0, 3)) == 0:
                seen = seen[1:]  # thinned out
            made.append(
                replace(
                    changed,
                    instance=record.instance,
                    samples=samples[place],
                    told=told[place],
                    placements=tuple(seen),
                    exit_code=0 if changed.exited is None else changed.exit_code,
                )
            )
        last = moment == moments
        yield replace(
            final,
            records=tuple(made),
            go=final.go if moment > 1 else None,
            signal=final.signal if last else None,
            signalled=final.signalled if last else None,
            failures=final.failures[: round(part * len(final.failures))],
            recovered=final.recovered[: round(part * len(final.recovered))],
            host=final.host[: round(part * len(final.host))],
            notes=final.notes[: round(part * len(final.notes))],
            exit_code=0,
            over=False,
        )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_was_told_at_several_moments_is_the_run_at_the_last(data: st.DataObject) -> None:
    events, lines, last = EventsSoFar(), list[str](), None
    for last in course(data.draw):
        lines += events.lines(last)
        back = read_events_so_far(lines, "events")
        assert [comparable(record) for record in back.records] == [comparable(record) for record in last.records]
        assert replace(back, records=(), ended=0.0) == replace(last, records=(), ended=0.0)
    assert last is not None
    assert list(events.lines(last)) == []


def comparable(record: WorkerRecord) -> tuple[object, ...]:
    """NaN equals nothing."""
    samples = record.samples
    columns = (samples.times, samples.items, samples.tokens, [str(latency) for latency in samples.latencies_s])
    return columns, replace(record, samples=Samples(), told=record.told or Told())


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


def test_it_ends_with_the_last_that_is_known_and_says_so() -> None:
    lines = list(EventsSoFar().lines(run_of(21.0, 25.0)))
    back = read_events_so_far(lines, "events")
    assert back.ended == 25.0
    report = aggregate(back)
    assert report.reasons == ("it has no end: its launcher was killed, or it still runs; known are its first 15 s",)
    assert (report.throughput.makespan, report.exit_code, report.instances[0].exit) == (2.0, 4, None)


def test_a_binding_that_became_known_later_is_told() -> None:
    events, run = EventsSoFar(), run_of()
    lines = list(events.lines(run))
    bound = Binding(cpus=frozenset({4}), memory="bind", nodes=frozenset({0}))
    lines += events.lines(replace(run, records=(replace(run.records[0], binding=bound),)))
    assert read_events_so_far(lines, "events").records[0].binding == bound


def test_half_a_line_is_left_out_and_anything_else_is_refused() -> None:
    lines = list(EventsSoFar().lines(run_of(21.0, 25.0)))
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
    with pytest.raises(DocumentError, match="did not come to its end; repeat it: run --replay"):
        open_runs([str(tmp_path / "run")])
    GrowingEvents(str(tmp_path / "run")).add(replace(run, over=False))
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
    topology = machine_from_sentence("1s 1n 2c 1t")
    launch = make_launch(make_plan(topology, Request(ninstances=1)), Job(program="x"), {})
    told: list[str] = []
    means = Means(
        hold=held_to, inspect=lambda _: None, glance=lambda _: None, descendants=lambda _: [], oom_kills=lambda: None,
        tell=told.append,
    )  # fmt: skip
    made = MadeDirectory(str(tmp_path / "missing"), Hold(""), was_there=False)
    note = RunKeeper(made, launch, topology).noting_events(means).note
    assert note is not None
    note(run_of(21.0))
    while not told:
        time.sleep(0.01)  # a thread writes them
    note(run_of(21.0))
    assert told == [f"the events are not kept any further in {tmp_path}/missing: No such file or directory"]
