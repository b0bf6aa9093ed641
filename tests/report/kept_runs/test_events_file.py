"""The raw facts of a run survive being written and read, and give the same report."""

from __future__ import annotations

import math
from array import array
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipexlaunch.documents.codec import from_plain, to_plain
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.host_counters import HostReading, Throttling
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.placement import Affinity, Binding, Oversubscription, Placement
from ipexlaunch.launch.run_record import UNKNOWN, Announced, PhaseSpan, Run, Samples, Spent, WorkerRecord
from ipexlaunch.measure.report import aggregate
from ipexlaunch.plan import Instance
from ipexlaunch.report.kept_runs.event_rows import ROWS_A_LINE
from ipexlaunch.report.kept_runs.events_file import read_events, write_events

TIMES = st.floats(0, 1e6)
IDS = st.frozensets(st.integers(0, 300), max_size=5)
SIZES = st.dictionaries(st.integers(0, 3), st.integers(0, 1 << 40), max_size=3)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
SPENT = st.none() | st.builds(Spent, TIMES, st.integers(0, 1 << 50))
CROWDS = st.builds(
    Oversubscription,
    st.frozensets(st.integers(0, 9), min_size=1),
    st.integers(2, 9),
    st.lists(NAMES, max_size=2).map(tuple),
    st.integers(1, 9),
)


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    made = Samples()
    for time in draw(st.lists(TIMES, max_size=6)):
        latency = draw(st.one_of(st.just(UNKNOWN), st.floats(0, 100)))
        made.add(time, draw(st.integers(0, 1 << 61)), draw(st.integers(0, 1 << 61)), latency)
    return made


@st.composite
def told(draw: st.DrawFn) -> Announced:
    made = Announced()
    at = 0.0
    for name in draw(st.lists(NAMES, max_size=3)):
        at += 1 + draw(st.floats(0.001, 10))
        made.phases.append(PhaseSpan(name, at, at + 1, draw(SPENT)))
    made.facts.update(draw(st.dictionaries(NAMES, st.one_of(st.none(), st.integers(), NAMES), max_size=2)))
    made.invalid += draw(st.lists(NAMES, max_size=2, unique=True))
    durations = st.lists(st.floats(0, 9), min_size=1, max_size=3).map(lambda values: array("d", values))
    made.durations_s.update(draw(st.dictionaries(NAMES, durations, max_size=2)))
    return made


PLACEMENTS = st.builds(
    Placement,
    cpus=IDS,
    threads=st.integers(1, 9),
    pinned_threads=st.integers(0, 9),
    main_thread_cpus=IDS,
    pages=st.one_of(st.none(), SIZES),
    huge_pages=SIZES,
    by_policy=st.dictionaries(NAMES, SIZES, max_size=2),
    affinities=st.lists(st.builds(Affinity, IDS, st.integers(1, 4), NAMES, st.just("") | NAMES), max_size=2).map(tuple),
    openmp=st.frozensets(NAMES, max_size=2),
    openmp_clashes=st.frozensets(st.lists(NAMES, max_size=2).map(tuple), max_size=2),
    migrations=st.one_of(st.none(), st.integers(0, 9)),
    crowd=st.one_of(st.none(), CROWDS),
)


@st.composite
def records(draw: st.DrawFn, index: int) -> WorkerRecord:
    known = draw(told())
    ready = draw(st.one_of(st.none(), TIMES))
    known.ready_spent = draw(SPENT) if ready is not None else None
    return WorkerRecord(
        instance=Instance(index=index, cpus=draw(IDS), nodes=draw(IDS), memory="bind", threads=2),
        pid=draw(st.one_of(st.none(), st.integers(1, 99))),
        started=draw(TIMES),
        ready=ready,
        finished=draw(st.one_of(st.none(), TIMES)),
        exit_code=draw(st.integers(0, 255)),
        samples=draw(samples()),
        binding=draw(st.one_of(st.none(), st.builds(Binding, cpus=IDS, memory=st.just("bind"), nodes=IDS))),
        placements=tuple(draw(st.lists(PLACEMENTS, max_size=2))),
        cpu_s=draw(TIMES),
        peak_memory_bytes=draw(st.integers(0, 1 << 50)),
        log=draw(st.sampled_from(("", "logs/x.log", "logs/\udcff.log"))),
        told=known if known != Announced() else None,
        claimed_rate=draw(st.one_of(st.none(), TIMES)),
        exited=draw(st.one_of(st.none(), TIMES)),
    )


@st.composite
def runs(draw: st.DrawFn) -> Run:
    failures = st.lists(
        st.builds(
            Failure,
            index=st.integers(0, 3),
            stage=st.sampled_from(("start", "load", "run", "limit")),
            code=st.integers(1, 255),
            message=NAMES,
            time=TIMES,
        ),
        max_size=2,
    ).map(lambda found: tuple(sorted(found, key=lambda failure: failure.time)))
    signal = draw(st.sampled_from((None, 2, 15)))
    throttling = st.builds(Throttling, periods=st.integers(0, 9), stopped_periods=st.integers(0, 9), stopped_s=TIMES)
    readings = st.builds(
        HostReading,
        time=TIMES,
        busy_s=st.one_of(st.none(), TIMES),
        throttling=st.one_of(st.none(), throttling),
        used_s=st.dictionaries(st.integers(1, 9), TIMES, max_size=2),
    )
    return Run(
        records=tuple(draw(records(index)) for index in range(draw(st.integers(0, 3)))),
        started=draw(TIMES),
        go=draw(st.one_of(st.none(), TIMES)),
        ended=draw(TIMES),
        failures=draw(failures),
        signal=signal,
        exit_code=draw(st.integers(0, 255)),
        fed=draw(st.booleans()),
        notes=tuple(draw(st.lists(NAMES, max_size=2))),
        recovered=draw(failures),
        host=tuple(sorted(draw(st.lists(readings, max_size=3)), key=lambda reading: reading.time)),
        host_cpus=draw(st.integers(0, 9)),
        signalled=None if signal is None else draw(TIMES),
        lost=draw(st.none() | st.tuples(TIMES, st.text(max_size=20))),
    )


def known(values: array[float]) -> list[float | None]:
    """A column that can be compared: NaN equals nothing."""
    return [None if math.isnan(value) else value for value in values]


def assert_same(run: Run, back: Run) -> None:
    for before, after in zip(run.records, back.records, strict=True):
        assert known(before.samples.latencies_s) == known(after.samples.latencies_s)
        for name in ("times", "items", "tokens"):
            assert getattr(before.samples, name) == getattr(after.samples, name)
    blank = Samples()
    assert replace(run, records=tuple(replace(r, samples=blank) for r in run.records)) == replace(
        back, records=tuple(replace(r, samples=blank) for r in back.records)
    )
    assert aggregate(run) == aggregate(back)


@settings(max_examples=40)
@given(runs())
def test_a_run_is_read_back_as_it_was(run: Run) -> None:
    assert_same(run, read_events(list(write_events(run)), "events.jsonl"))


def test_many_counts_stand_in_several_lines() -> None:
    counts = Samples()
    for number in range(2 * ROWS_A_LINE + 1):
        counts.add(float(number), 1)
    record = WorkerRecord(
        instance=Instance(index=0, cpus=frozenset(), nodes=frozenset(), threads=1), pid=1, started=0.0, ready=None,
        finished=None, exit_code=0, samples=counts, binding=None, placements=(), exited=9.0,
    )  # fmt: skip
    run = Run(records=(record,), started=0.0, go=None, ended=9.0, failures=(), signal=None, exit_code=0)
    lines = list(write_events(run))
    assert sum('"event":"counts"' in line for line in lines) == 3
    assert_same(run, read_events(lines, "events.jsonl"))


EMPTY = Run(records=(), started=1.0, go=None, ended=2.0, failures=(), signal=None, exit_code=0)
LINES = list(write_events(EMPTY))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "it is empty"),
        (['{"schema":"ipexlaunch/events/9"}'], "line 1: its schema is 'ipexlaunch/events/9'"),
        (["[]"], "line 1: its schema is None"),
        ([LINES[0], "{"], "line 2: it is not JSON"),
        (
            [LINES[0], '{"event":"boom","index":0}'],
            "line 2: it is no event of ipexlaunch/events/1: there is no event 'boom'",
        ),
        ([*LINES, '{"event":"ready","index":5,"time":1}'], "it has no event 'start' of worker 5"),
        ([LINES[0], '{"event":"go"}'], "line 2: it is no event of ipexlaunch/events/1: time: field required"),
        ([LINES[0], '{"event":"go","time":1,"tim":2}'], "line 2: it is no event of ipexlaunch/events/1: go has no key"),
        ([LINES[0], "3"], "line 2: it is no event of ipexlaunch/events/1: it is no object"),
        ([*LINES[:2]], "no event 'end', so it was cut off"),
    ],
)
def test_what_is_no_record_of_a_run_is_refused_with_the_line(lines: list[str], words: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_events(lines, "events.jsonl")
    assert words in str(error.value)


def test_a_crowd_of_a_former_version_has_no_owner() -> None:
    row = to_plain(Placement(cpus=frozenset({0}), threads=1, pinned_threads=0, main_thread_cpus=frozenset({0})))
    assert from_plain({**row, "crowd": ["0-1", 8]}, Placement).crowd == Oversubscription(frozenset({0, 1}), 8)
