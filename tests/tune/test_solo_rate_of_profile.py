"""The rate of one instance alone that a profile knows is only compared with runs like the one that was measured."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.cli.use_profile import baseline_of_profile, measure_solo, same_arguments
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.make_launch import make_launch
from ipexlaunch.launch.run_record import Run, Samples, WorkerRecord
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.models.engines.candidate import floating
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.tune.profile import Profile
from ipexlaunch.tune.run_trial import TrialContext
from ipexlaunch.tune.space import Setting

BEST = Setting(split="4x2", batch_size=8)
PROFILE = Profile(
    topology="x", program="script:/a.py", arguments=("-x", "1"), setting=BEST, rate=90.0, runs=9,
    written="2026-11-21T00:00:00Z",
)  # fmt: skip
NOW = "2026-11-21T01:00:00Z"
JOB = Job(program="/a.py", arguments=("-x", "1"), python="/usr/bin/python3", environment={"A": "1"})


def launch_of(job: Job = JOB, instances: int = 4) -> Launch:
    plan = make_plan(synthetic_machine("1s 1n 8c 1t"), Request(ninstances=instances))
    return make_launch(plan, job, {})


def ground_of(launch: Launch, rate: float | None) -> TrialContext:
    """Every run gives the rate, with all of the workers of its launch; None: it fails."""

    def run(given: Launch, *_: object) -> Run:
        records = []
        for worker in given.workers:
            samples = Samples()
            for second in range(1, 4):
                samples.add(100.0 + second, round(rate or 0))
            records.append(
                WorkerRecord(
                    instance=worker.instance, pid=1, started=90.0, ready=99.0, finished=103.0, samples=samples,
                    exit_code=0 if rate else 5, binding=None, placements=(), exited=104.0,
                )
            )  # fmt: skip
        return Run(
            records=tuple(records), started=90.0, go=100.0, ended=104.0, failures=(), signal=None, exit_code=0
        )  # fmt: skip

    return TrialContext(launch_of=lambda *_: launch, run=run, limits=Limits())


def measured(job: Job = JOB) -> Profile:
    solo = measure_solo(ground_of(launch_of(job), 30.0), BEST, 2.0, False, None, NOW)
    assert solo is not None
    assert (solo.rate, solo.items, solo.seconds) == (30.0, 90, 3.0)
    return replace(PROFILE, solo=solo)


def test_one_instance_alone_is_compared_with_a_run_like_it() -> None:
    profile = measured()
    baseline = baseline_of_profile(profile, JOB, ("-x", "1"))
    assert baseline is not None
    assert profile.solo is not None
    assert (baseline.rate, baseline.measured) == (30.0, profile.solo.measured)


@pytest.mark.parametrize(
    ("job", "arguments"),
    [
        (JOB, ("-x", "2")),
        (JOB, ()),
        (replace(JOB, environment={"A": "2"}), ("-x", "1")),
        (replace(JOB, python="/opt/python3"), ("-x", "1")),
        (replace(JOB, libraries={"tcmalloc": "/lib/libtcmalloc.so"}), ("-x", "1")),
        (replace(JOB, runner=("-m", "x", "--auto-ipex")), ("-x", "1")),
    ],
)
def test_other_conditions_are_told_and_give_no_efficiency(
    job: Job, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert baseline_of_profile(measured(), job, arguments) is None
    assert (
        "no scaling efficiency: the profile knows the rate of one instance alone with other" in capsys.readouterr().err
    )


def test_a_profile_without_it_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert baseline_of_profile(PROFILE, JOB, ("-x", "1")) is None
    assert capsys.readouterr().err == ""


def test_a_single_instance_and_one_that_fails_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure_solo(ground_of(launch_of(instances=1), 30.0), BEST, 2.0, False, None, NOW) is None
    assert capsys.readouterr().err == ""
    assert measure_solo(ground_of(launch_of(), None), BEST, 2.0, False, None, NOW) is None
    assert "no scaling efficiency: " in capsys.readouterr().err


def test_what_is_known_is_not_measured_again() -> None:
    former = measured()
    again = measure_solo(ground_of(launch_of(), None), BEST, 2.0, False, former, NOW)
    assert again == former.solo
    other = replace(former, setting=replace(BEST, batch_size=1))
    assert measure_solo(ground_of(launch_of(), 60.0), BEST, 2.0, False, other, NOW) != former.solo


def test_how_long_a_model_is_measured_and_where_it_lies_decide_nothing(tmp_path: Path) -> None:
    model = ModelJob(model="/models/a", candidate=floating("eager", "bf16"), seconds=2.0, batch_size=8)
    job = replace(JOB, kind="module", arguments=(model.to_json(),))
    solo = measure_solo(ground_of(launch_of(job), 30.0), BEST, 2.0, True, None, NOW)
    profile = replace(PROFILE, solo=solo)
    moved = replace(model, model=os.fspath(tmp_path), seconds=60.0, warmup_batches=9, check=False)
    assert baseline_of_profile(profile, job, model=moved) is not None
    for other in (replace(model, batch_size=1), replace(model, candidate=floating("eager", "fp32"))):
        assert baseline_of_profile(profile, job, model=other) is None


@pytest.mark.parametrize(
    ("wanted", "option", "given", "same"),
    [
        (("-x", "1"), "", ("-x", "1"), True),
        (("-x", "1"), "", ("-x",), False),
        (("--seconds", "{seconds}"), "", ("--seconds", "60"), True),
        (("--seconds={seconds}s",), "", ("--seconds=60s",), True),
        (("--seconds={seconds}s",), "", ("--seconds=60",), False),
        (("-x", "--batch", "{batch_size}", "--seconds", "{seconds}"), "--batch", ("-x",), True),
        (("-x", "--batch", "{batch_size}", "--seconds", "{seconds}"), "--batch", ("-x", "--seconds", "9"), False),
        (("-x", "--batch", "{batch_size}"), "", ("-x",), False),
        (("-x", "--batch", "{batch_size}"), "", ("-x", "--batch", "{batch_size}"), True),
        ((), "", (), True),
        ((), "", ("-x",), False),
    ],
)
def test_arguments_are_the_same_but_for_how_long(
    wanted: tuple[str, ...], option: str, given: tuple[str, ...], same: bool
) -> None:
    assert same_arguments(replace(PROFILE, arguments=wanted, batch_size_option=option), given) is same
