"""Measuring by workers: rows put together, candidates that kill their worker, what is remembered; with a run that is a
function of the test's own."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from ipexlaunch.errors import LaunchError, RequestError
from ipexlaunch.launch.job import Job, Launch
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.run_record import Announced, PhaseSpan, Run, Samples, WorkerRecord
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.models.engines.candidate import REFERENCE, floating
from ipexlaunch.models.engines.choose import DtypeChoice, EngineChoice, choose, expected
from ipexlaunch.models.engines.expectations import Software
from ipexlaunch.models.engines.measurement import AnswerSimilarity, Measurement
from ipexlaunch.models.engines.model_job import MeasuringJob, ModelJob
from ipexlaunch.models.user_directory import cache_directory
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.tune.dtypes import MeasureContext, resolve_candidate
from ipexlaunch.tune.dtypes.measure import measure, measure_finals
from tests.models.engines.hosts import FLAGS, IPEX_ENV, took

JOB = ModelJob(model="random:bert-base")
Times = Mapping[str, float]

FP32_MS = 50.0


class FakeWorkers:
    """Stands for the run: every worker takes the milliseconds of `call_ms`; one that is not there kills it."""

    def __init__(
        self, call_ms: Times, words: str = "", alone_ms: Times | None = None, cosines: Times = MappingProxyType({})
    ) -> None:
        self.call_ms = call_ms
        self.cosines = cosines
        self.alone_ms = call_ms if alone_ms is None else alone_ms
        self.words = words
        self.asked: list[list[str]] = []
        self.exit_code = 139
        self.starts_measuring = True

    def __call__(
        self, launch: Launch, inherited: Mapping[str, str], tell: Callable[[str], None], directory: str
    ) -> Run:
        wanted = MeasuringJob.from_json(launch.workers[0].argv[-1])
        assert {worker.argv[-2] for worker in launch.workers} == {"ipexlaunch.models.measure_dtypes"}
        assert Path(wanted.barrier).is_dir()
        assert wanted.workers == len(launch.workers)
        self.asked.append([each.name for each in wanted.candidates])
        rows: list[dict[str, object]] = []
        failures: tuple[Failure, ...] = ()
        for candidate in wanted.candidates:
            times = self.alone_ms if wanted.one_stretch else self.call_ms
            if candidate.name not in times:
                failures = (Failure(index=1, stage="load", code=self.exit_code, message="ended badly", time=1.0),)
                Path(directory, "1.log").write_text(self.words)
                break
            answers = AnswerSimilarity(cosine=self.cosines.get(candidate.name, 1.0))
            rows.append(asdict(took(candidate, times[candidate.name], FP32_MS, answers=answers)))
        told = Announced(facts={"measurements": json.loads(json.dumps(rows)), "amx": False, "aten": "AVX512"})
        if self.starts_measuring:
            told.phases.append(PhaseSpan("preparing something", 0.0, 1.0))
        records = [
            WorkerRecord(
                instance=worker.instance,
                pid=1,
                started=0.0,
                ready=None,
                finished=None,
                exit_code=0,
                samples=Samples(),
                binding=None,
                placements=(),
                told=told,
            )
            for worker in launch.workers
        ]
        return Run(records=records, started=0.0, go=None, ended=1.0, failures=failures, signal=None, exit_code=0)


def measure_context(
    run: FakeWorkers, cache: Path | str = "", software: Software = IPEX_ENV, said: list[str] | None = None, **caps: str
) -> MeasureContext:
    topology = replace(synthetic_machine("2s 1n 2c 1t"), isa=FLAGS["zen5"])
    plan = make_plan(topology, Request(ninstances=2))
    job = Job(program="", kind="module", environment=caps)
    heard = [] if said is None else said
    return MeasureContext(
        topology=topology, plan=plan, job=job, software=software, cache=str(cache), tell=heard.append, run=run
    )


IPEX_FP32, IPEX_BF16 = floating("ipex", "fp32"), floating("ipex", "bf16")
INT4 = "ipex int4 weight-only x fp32 g32"
IPEX_MS = {"eager fp32": FP32_MS, "ipex fp32": 40.0, "ipex bf16": 20.0, INT4: 400.0}


def test_workers_measure_at_once_and_their_rates_are_added() -> None:
    rows = measure(measure_context(FakeWorkers(IPEX_MS)), JOB, [IPEX_BF16, REFERENCE])
    assert [row.candidate for row in rows] == [REFERENCE, IPEX_BF16]
    assert rows[1].items_per_s == pytest.approx(2 * 1000 / 20)
    assert rows[1].speed == pytest.approx(2.5)


def test_a_candidate_that_kills_its_worker_is_a_row_and_the_others_are_measured() -> None:
    run = FakeWorkers({"eager fp32": 50.0, "ipex bf16": 20.0}, "Illegal instruction\n")
    rows = measure(measure_context(run), JOB, [REFERENCE, IPEX_FP32, IPEX_BF16])
    assert run.asked == [["eager fp32", "ipex fp32", "ipex bf16"], ["ipex bf16"]]
    assert [row.problem for row in rows] == ["", "its worker ended badly: Illegal instruction", ""]


def test_a_model_that_cannot_be_loaded_is_an_error_in_the_worker_s_own_words() -> None:
    run = FakeWorkers({}, "Traceback\nmeasure_dtypes: cannot load the model x: there is no such directory\n")
    run.exit_code = 2
    with pytest.raises(LaunchError, match="cannot measure dtypes: cannot load the model x: there is no such directory"):
        measure(measure_context(run), JOB, [REFERENCE])
    run.exit_code, run.starts_measuring = 1, False
    with pytest.raises(LaunchError, match="there is no such directory"):
        measure(measure_context(run), JOB, [REFERENCE])


OPENVINO = Software(torch="2.13.0", transformers="5.0", openvino="2026.4.1", nncf="3.4.0")
OPENVINO_INT8, CALIBRATED = "openvino int8 dynamic x bf16", "openvino int8-calibrated x bf16"

NEARLY_ALIKE = {**IPEX_MS, "eager bf16": 19.5, "torch fp32": 42.0, "torch bf16": 30.0}
AUTO = ["eager fp32", "eager bf16", "torch bf16", "ipex bf16"]


def test_those_that_are_nearly_alike_run_off_each_alone_in_turn_and_then_the_other_way_round(tmp_path: Path) -> None:
    run = FakeWorkers(NEARLY_ALIKE, alone_ms={"eager bf16": 19.0, "ipex bf16": 18.0})
    found = resolve_candidate(JOB, "auto", "auto", measure_context(run, tmp_path))
    one, other = ["eager bf16"], ["ipex bf16"]
    assert run.asked == [AUTO, one, other, other, one, one, other]
    assert found.choice.candidate == IPEX_BF16
    assert found.choice.why == "the fastest of 4 measured here, 2.78 times the rate of eager fp32"
    assert resolve_candidate(JOB, "auto", "auto", measure_context(run, tmp_path)).choice == found.choice
    assert len(run.asked) == 7


def test_who_has_run_off_does_not_do_so_again_when_the_next_one_has(tmp_path: Path) -> None:
    alike = {"eager fp32": FP32_MS, "eager bf16": 20.0, "torch bf16": 20.5, "openvino bf16": 21.0,
             OPENVINO_INT8: 21.5, CALIBRATED: 40.0}  # fmt: skip
    alone = {"eager bf16": 22.5, "torch bf16": 20.5, "openvino bf16": 21.0, OPENVINO_INT8: 22.6}
    run = FakeWorkers(alike, alone_ms=alone)
    commands = [len(run.asked)]
    for _ in range(4):
        resolve_candidate(JOB, "auto", "auto", measure_context(run, tmp_path, software=OPENVINO))
        commands.append(len(run.asked))
    assert commands == [0, 1 + 9, 1 + 18, 1 + 18, 1 + 18]


class BusyHost(FakeWorkers):
    """Workers whose candidates, each alone, take now one time and now another."""

    def __init__(self, alone_ms: Mapping[str, Sequence[float]]) -> None:
        super().__init__({})
        self.taken_ms = {name: itertools.cycle(times) for name, times in alone_ms.items()}

    def __call__(self, launch: Launch, *more: Any) -> Run:
        self.alone_ms = {name: next(times) for name, times in self.taken_ms.items()}
        return super().__call__(launch, *more)


@pytest.mark.parametrize(
    ("eager_ms", "ipex_ms", "turns"),
    [
        ([20.0], [20.2], 3),  # as good as alike, and well known
        ([20.0, 26.0], [40.0, 50.0], 3),  # uncertain, and clear
        ([20.0, 26.0], [26.0, 20.0], 7),  # whatever is seen
    ],
)
def test_a_run_off_takes_more_turns_where_a_busy_host_leaves_it_open(
    eager_ms: list[float], ipex_ms: list[float], turns: int
) -> None:
    run = BusyHost({"eager bf16": eager_ms, "ipex bf16": ipex_ms})
    found = measure_finals(measure_context(run), JOB, [floating("eager", "bf16"), IPEX_BF16])
    assert len(run.asked) == 2 * turns
    assert all(each.run_off for each in found)


def test_who_dies_in_the_run_off_is_not_chosen() -> None:
    run = FakeWorkers(NEARLY_ALIKE, "Killed\n", alone_ms={"ipex bf16": 20.0})
    found = resolve_candidate(JOB, "auto", "auto", measure_context(run))
    assert found.choice.candidate == IPEX_BF16
    problems = {each.candidate.name: each.trouble for each in found.known if each.trouble}
    assert problems["eager bf16"] == "its worker ended badly: Killed"

    assert "could not be tried: eager bf16: its worker ended badly: Killed" in found.choice.left_out


def test_who_dies_or_cannot_be_had_is_named_beside_the_choice_with_its_last_line() -> None:
    run = FakeWorkers({"eager fp32": 50.0, "eager bf16": 30.0, "ipex fp32": 40.0}, "Traceback\nAttributeError: x\n")
    found = resolve_candidate(JOB, "auto", "auto", measure_context(run))
    assert found.choice.candidate.name == "eager bf16"
    assert found.choice.why.startswith("the fastest of 3 measured here, ")
    left_out = found.choice.left_out
    died = "could not be tried: ipex bf16, torch fp32, torch bf16: its worker ended badly: AttributeError: x"
    assert died in left_out
    assert any("torch int8" in line and "torchao is not installed there" in line for line in left_out)
    assert "measured, and not faster: ipex fp32 1.25, eager fp32 1.00 times the rate of eager fp32" in left_out
    named = [name for line in left_out if "faster" not in line for name in line.split(": ")[1].split(", ")]
    usable = {each.candidate.name for each in found.known if each.right or each.expectation.fares == "slow"}
    assert sorted([*named, *usable]) == sorted(each.candidate.name for each in found.known)


def test_who_dies_is_named_too_where_what_was_asked_for_is_refused() -> None:
    said: list[str] = []
    run = FakeWorkers({"eager fp32": 50.0, "eager bf16": 80.0, "ipex fp32": 40.0, "torch fp32": 45.0}, "Killed\n")
    with pytest.raises(RequestError, match="slower than ipex fp32"):
        resolve_candidate(JOB, "auto", "bf16", measure_context(run, said=said))
    assert "could not be tried: ipex bf16, torch bf16: its worker ended badly: Killed" in said


def test_wrong_answers_are_named_beside_the_choice() -> None:
    known = expected(measure_context(FakeWorkers({})).dispatch, IPEX_ENV, "forward", "eager")
    rows = [
        took(
            each.candidate, 10.0, FP32_MS, answers=AnswerSimilarity(cosine=1.0 if each.candidate == REFERENCE else 0.1)
        )
        for each in known
    ]
    known = tuple(replace(each, measurement=row) for each, row in zip(known, rows, strict=True))
    assert [line.rpartition(": ")[0] for line in choose(known, "eager", "auto").left_out] == [
        "not chosen: eager bf16", "not chosen: eager fp16",
    ]  # fmt: skip


def test_a_run_off_of_some_does_not_count_against_who_is_much_faster(tmp_path: Path) -> None:
    slow = {"eager fp32": FP32_MS, "eager bf16": 47.0, "ipex fp32": 40.0, "ipex bf16": 20.0}
    run = FakeWorkers(slow)
    assert resolve_candidate(JOB, "eager", "auto", measure_context(run, tmp_path)).choice.candidate.name == "eager bf16"
    assert resolve_candidate(JOB, "auto", "auto", measure_context(run, tmp_path)).choice.candidate == IPEX_BF16


@pytest.mark.parametrize(
    ("engine", "dtype", "chosen"),
    [("auto", "bf16", "ipex bf16"), ("ipex", "auto", "ipex bf16"), ("ipex", "fp32", "ipex fp32")],
)
def test_words_are_resolved(engine: EngineChoice, dtype: DtypeChoice, chosen: str) -> None:
    times = {**IPEX_MS, "eager bf16": 30.0, "torch fp32": 45.0, "torch bf16": 25.0}
    resolved = resolve_candidate(JOB, engine, dtype, measure_context(FakeWorkers(times)))
    assert resolved.job.candidate.name == chosen
    assert resolved.job.model == JOB.model
    assert resolved.choice.why


def test_the_trap_is_refused_and_can_be_forced() -> None:
    run = FakeWorkers(IPEX_MS)
    with pytest.raises(RequestError) as caught:
        resolve_candidate(JOB, "ipex", "int4", measure_context(run))
    assert "10 times slower than ipex fp32 here (400 against 40 ms a call)" in str(caught.value)
    assert "--force-dtype" in str(caught.value)
    assert "use --engine ipex --dtype bf16 (20 ms)" in str(caught.value)
    assert run.asked == [["ipex fp32", INT4], ["ipex bf16"]], "only what is refused needs an alternative"
    forced = resolve_candidate(JOB, "ipex", "int4", measure_context(run), force=True)
    assert forced.job.candidate.name == INT4
    assert len(run.asked) == 2, "the only candidate of its kind needs no measurement where its speed does not count"


@pytest.mark.parametrize("text", ["", "lines.txt"])
def test_who_is_refused_what_was_calibrated_on_generated_tokens_reads_of_texts(text: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines.txt"
    lines.write_text("a line of the work\n" * 64, encoding="utf-8")
    times = {"openvino fp32": 40.0, "openvino bf16": 20.0, OPENVINO_INT8: 22.0, CALIBRATED: 10.0}
    said: list[str] = []
    context = measure_context(FakeWorkers(times, cosines={CALIBRATED: 0.99}), software=OPENVINO, said=said)
    job = replace(JOB, text=str(lines) if text else "")
    with pytest.raises(
        RequestError, match=r"the worst cosine .* is 0\.9900, int8-calibrated must keep at least 0\.995"
    ):
        resolve_candidate(job, "openvino", "int8-calibrated", context)
    assert any("--text FILE" in line for line in said) == (not text)


def test_auto_does_not_try_what_is_known_to_be_slow() -> None:
    run = FakeWorkers(IPEX_MS)
    resolve_candidate(JOB, "ipex", "auto", measure_context(run))
    assert run.asked == [["ipex bf16"]], "int4 is known to be slow there, and fp32 to be slower than bf16"


def test_auto_measures_fp32_of_an_engine_where_its_bf16_is_wrong() -> None:
    run = FakeWorkers(IPEX_MS, cosines={"ipex bf16": 0.3})
    found = resolve_candidate(JOB, "ipex", "auto", measure_context(run))
    assert run.asked == [["ipex bf16"], ["ipex fp32"]]
    assert found.choice.candidate == floating("ipex", "fp32")


def test_one_engine_s_fp32_needs_no_measurement_and_what_is_missing_none_either() -> None:
    run = FakeWorkers({})
    assert resolve_candidate(JOB, "eager", "fp32", measure_context(run)).job.candidate == REFERENCE
    with pytest.raises(RequestError, match=r"torchao is not installed there: .*pip install"):
        resolve_candidate(JOB, "torch", "int8", measure_context(run))
    assert run.asked == []


def test_what_was_measured_is_remembered_and_only_the_rest_is_measured(tmp_path: Path) -> None:
    run = FakeWorkers(IPEX_MS)
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path))
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path))
    with pytest.raises(RequestError):
        resolve_candidate(JOB, "ipex", "int4", measure_context(run, tmp_path))
    assert run.asked == [["ipex bf16"], ["ipex fp32", INT4]]
    assert [path.suffix for path in tmp_path.iterdir()] == [".json"]


def test_another_host_model_or_version_is_measured_anew(tmp_path: Path) -> None:
    run = FakeWorkers(IPEX_MS)
    other = Software(torch="2.7.0", ipex="2.7.0")
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path))
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path, other))
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path, KMP_BLOCKTIME="1"))
    resolve_candidate(ModelJob(model="random:minilm"), "ipex", "auto", measure_context(run, tmp_path))
    resolve_candidate(ModelJob(model=JOB.model, batch_size=1), "ipex", "auto", measure_context(run, tmp_path))
    assert len(run.asked) == len(list(tmp_path.iterdir())) == 5


def test_what_is_calibrated_is_measured_on_every_text_anew_and_the_rest_once(tmp_path: Path) -> None:
    names = ("eager fp32", "eager bf16", "torch fp32", "torch bf16", "openvino fp32", "openvino bf16",
             "openvino int8 dynamic x bf16")  # fmt: skip
    run = FakeWorkers({**dict.fromkeys(names, 40.0), CALIBRATED: 10.0})
    texts = [tmp_path / name for name in ("one.txt", "two.txt", "copy-of-one.txt")]
    for path, text in zip(texts, ("A valve broke.", "A pump failed.", "A valve broke."), strict=True):
        path.write_text(text)
    asked = measure_context(run, tmp_path / "cache", software=OPENVINO)
    for path in texts:
        job = replace(JOB, task="embed", text=str(path), text_name="the first 1 texts of it")
        assert resolve_candidate(job, "openvino", "auto", asked).choice.candidate.name == CALIBRATED
    assert run.asked == [["openvino bf16", OPENVINO_INT8, CALIBRATED], [CALIBRATED]]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": "ipexlaunch/measurements/9"}', '{"schema": 1, "key": 2}'])
def test_a_broken_file_is_said_and_replaced(tmp_path: Path, text: str) -> None:
    run, said = FakeWorkers(IPEX_MS), list[str]()
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path))
    (path,) = tmp_path.iterdir()
    path.write_text(text)
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path, said=said))
    assert any("no measurements that can be used" in line and str(path) in line for line in said)
    resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path))
    assert len(run.asked) == 2


def test_what_did_not_run_is_not_remembered(tmp_path: Path) -> None:
    run = FakeWorkers({"ipex fp32": 40.0})
    known = resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path)).known
    assert any(each.measurement and "ended badly" in each.measurement.problem for each in known)
    run.call_ms = IPEX_MS
    assert resolve_candidate(JOB, "ipex", "auto", measure_context(run, tmp_path)).job.candidate == IPEX_BF16


def test_a_cache_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LaunchError, match="--no-cache"):
        resolve_candidate(JOB, "ipex", "auto", measure_context(FakeWorkers(IPEX_MS), tmp_path / "file" / "below"))


def test_caps_of_the_workers_environment_decide(tmp_path: Path) -> None:
    run = FakeWorkers({"ipex fp32": 40.0})
    capped = measure_context(run, tmp_path, ATEN_CPU_CAPABILITY="avx2", ONEDNN_MAX_CPU_ISA="AVX2")
    resolve_candidate(JOB, "ipex", "auto", capped)
    assert run.asked == [["ipex fp32"]]


def test_the_cache_follows_xdg() -> None:
    assert cache_directory({"XDG_CACHE_HOME": "/c", "HOME": "/h"}) == "/c/ipexlaunch/dtypes"
    assert cache_directory({"XDG_CACHE_HOME": "c", "HOME": "/h"}) == "/h/.cache/ipexlaunch/dtypes"


def test_a_measuring_job_travels_as_json() -> None:
    job = MeasuringJob(job=JOB, candidates=(IPEX_BF16, REFERENCE), layers=2, barrier="/m", workers=3)
    assert MeasuringJob.from_json(job.to_json()) == job


def test_a_row_that_never_ran_has_no_speed() -> None:
    assert Measurement(candidate=REFERENCE, problem="x").speed is None
