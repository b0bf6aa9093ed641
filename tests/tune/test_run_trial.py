"""What becomes of a trial: a rate, or the reason why it does not count; with runs that are values of the test's own."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.errors import BindError
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.lifecycle import Failure, Limits
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.run_record import Announced, Run, Samples, WorkerRecord
from ipexlaunch.launch.throughput_regex import LineRule
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.tune.next_step import Measure
from ipexlaunch.tune.run_trial import TrialContext, run_trial
from ipexlaunch.tune.space import Setting

PLAN = make_plan(synthetic_machine("2s 1n 4c 1t"), Request())
STEP = Measure(setting=Setting(split="2x4"), seconds=2.0, round=3)


class FakeRun:
    """Each of two workers does 10 items in 0.5 s, four times; then whatever `spoil` makes of it."""

    def __init__(self, spoil: Callable[[Run], Run] = lambda run: run, words: str = "") -> None:
        self.spoil, self.words = spoil, words
        self.limits: list[Limits] = []

    def __call__(
        self,
        launch: Launch,
        inherited: Mapping[str, str],
        tell: Callable[[str], None],
        directory: str,
        limits: Limits,
        rule: LineRule | None,
    ) -> Run:
        self.limits.append(limits)
        Path(directory, "0.log").write_text(self.words)
        records = []
        for worker in launch.workers:
            samples = Samples(
                times=array("d", [10.5, 11.0, 11.5, 12.0]), items=array("q", [10] * 4), tokens=array("q", [0] * 4),
                latencies_s=array("d", [0.5] * 4),
            )  # fmt: skip
            records.append(
                WorkerRecord(
                    instance=worker.instance, pid=1, started=1.0, ready=9.0, finished=12.0, exit_code=0,
                    samples=samples, binding=None, placements=(), peak_memory_bytes=5, told=Announced(),
                )
            )  # fmt: skip
        run = Run(records=records, started=1.0, go=10.0, ended=13.0, failures=(), signal=None, exit_code=0)
        return self.spoil(run)


def trial_context(run: FakeRun, **more: object) -> TrialContext:
    clock = iter((100.0, 104.0))
    made = TrialContext(
        launch_of=lambda _setting, _seconds: make_launch(PLAN, Job(program="x.py"), {}),
        run=run,
        clock=lambda: next(clock),
    )
    return replace(made, **more)  # type: ignore[arg-type]  # whatever the test wants to be otherwise


def test_a_good_run_gives_its_rate_by_makespan() -> None:
    row = run_trial(trial_context(FakeRun()), STEP)
    assert row.counts
    assert row.rate == pytest.approx(40.0)
    assert (row.latency_ms, row.peak_bytes, row.cost_s) == (500.0, 5, 4.0)
    assert (row.setting, row.seconds, row.round) == (STEP.setting, 2.0, 3)


@pytest.mark.parametrize("cut", [True, False])
def test_a_program_is_cut_short_unless_it_ends_by_itself(cut: bool) -> None:
    run = FakeRun()
    run_trial(trial_context(run, cut=cut, limits=Limits(timeout_s=60.0)), STEP)
    assert run.limits == [Limits(timeout_s=60.0, measured_s=2.0 if cut else None)]


def test_a_failure_is_told_with_the_workers_last_words() -> None:
    failure = Failure(index=0, stage="run", code=137, message="was killed by SIGKILL", time=11.0)
    row = run_trial(trial_context(FakeRun(lambda run: replace(run, failures=(failure,)), "a\nout of memory\n\n")), STEP)
    assert not row.counts
    assert row.trouble == "instance 0 was killed by SIGKILL: out of memory"


def test_an_invalid_run_does_not_count() -> None:
    def wrong(run: Run) -> Run:
        told = run.records[1].told
        assert told is not None
        told.add_invalid("cosine 0.2")
        return run

    row = run_trial(trial_context(FakeRun(wrong)), STEP)
    assert not row.counts
    assert row.trouble == "INVALID: instance 1: cosine 0.2"


def test_nothing_counted_is_no_rate() -> None:
    row = run_trial(
        trial_context(FakeRun(lambda run: replace(run, records=[replace(r, samples=Samples()) for r in run.records]))),
        STEP,
    )
    assert row.trouble.endswith("counted nothing")


def test_a_call_above_the_latency_limit_does_not_count() -> None:
    assert run_trial(trial_context(FakeRun(), latency_limit_ms=501.0), STEP).counts
    row = run_trial(trial_context(FakeRun(), latency_limit_ms=499.0), STEP)
    assert row.trouble == "p99 of a call 500.0 ms, above the limit of 499 ms"
    assert row.rate == pytest.approx(40.0)


def test_what_cannot_be_bound_is_a_row_too() -> None:
    def refuse(_run: Run) -> Run:
        raise BindError("bind instance 0", "the kernel says no")

    row = run_trial(trial_context(FakeRun(refuse)), STEP)
    assert row.trouble == "cannot bind instance 0: the kernel says no"
    assert not row.counts
