"""What is chosen of what was measured, and what is refused with which words."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.errors import RequestError
from ipexlaunch.models.engines.candidate import REFERENCE, Candidate, floating
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import (
    NOISE,
    call_ms,
    choose,
    expected,
    finalists,
    verdict,
)
from ipexlaunch.models.engines.expectations import Expectation, Software
from ipexlaunch.models.engines.measurement import BOUNDS, AnswerSimilarity, Measurement, from_row, merged, middle_of
from ipexlaunch.models.engines.model_job import ModelJob, Task, measuring_order
from tests.models.engines.hosts import OK, TORCH_ENV, host, took, weights

IPEX_FP32, IPEX_BF16 = floating("ipex", "fp32"), floating("ipex", "bf16")
IPEX_INT4 = weights("ipex", "int4", group_size=128)
RIGHT = AnswerSimilarity(cosine=0.9999)


def weighed(**call_ms: float) -> list[CandidateResult]:
    """IPEX's candidates with the milliseconds they took; eager fp32 takes 50."""
    names = {"fp32": IPEX_FP32, "bf16": IPEX_BF16, "int4": IPEX_INT4}
    rows = [CandidateResult(candidate=REFERENCE, expectation=OK, measurement=took(REFERENCE, 50, answers=RIGHT))]
    for name, milliseconds in call_ms.items():
        measured = took(names[name], milliseconds, answers=RIGHT)
        rows.append(CandidateResult(candidate=names[name], expectation=OK, measurement=measured))
    return rows


def test_auto_takes_the_fastest() -> None:
    assert choose(weighed(fp32=47, bf16=29, int4=412), "auto", "auto").candidate == IPEX_BF16


def test_an_asked_dtype_that_is_slower_is_refused_with_both_numbers_and_the_way_out() -> None:
    with pytest.raises(RequestError) as caught:
        choose(weighed(fp32=47, bf16=29, int4=412), "ipex", "int4")
    assert str(caught.value) == (
        "cannot run int4 on ipex: ipex int4 weight-only x bf16 g128 is 8.77 times slower than ipex fp32 here "
        "(412 against 47 ms a call); use --engine ipex --dtype bf16 (29 ms), or --force-dtype"
    )


ZENTORCH = {dtype: replace(floating("torch", dtype), backend="zentorch") for dtype in ("fp32", "bf16")}


def test_zentorch_is_a_candidate_only_where_it_is_installed_and_has_kernels_and_not_for_generating() -> None:
    def backed(processor: str, software: Software, task: Task) -> set[Candidate]:
        found = expected(host(processor), software, task, "torch")
        return {each.candidate for each in found if each.candidate.backend and each.expectation.fares == "fast"}

    installed = replace(TORCH_ENV, zentorch="2.13.0.2")
    for task in ("forward", "embed", "classify"):
        assert backed("zen5", installed, task) == set(ZENTORCH.values())
    assert backed("zen5", installed, "generate") == backed("zen5", TORCH_ENV, "embed") == set()
    assert backed("skylake", installed, "embed") == {ZENTORCH["fp32"]}
    assert backed("haswell", installed, "embed") == backed("graviton4", installed, "embed") == set()
    assert "zentorch 2.13.0.2" in installed.words


def test_a_backend_is_measured_last_for_it_changes_torch_and_is_compared_with_its_own_fp32() -> None:
    plain = floating("torch", "fp32")
    assert measuring_order([ZENTORCH["bf16"], IPEX_BF16, plain]) == (plain, IPEX_BF16, ZENTORCH["bf16"])
    times = {plain: 20.0, ZENTORCH["fp32"]: 15.0, ZENTORCH["bf16"]: 10.0}
    known = [
        CandidateResult(candidate=each, expectation=OK, measurement=took(each, taken)) for each, taken in times.items()
    ]
    assert [verdict(each, known) for each in known] == ["ok", "ok", "fastest"]
    assert choose(known, "torch", "bf16").candidate == ZENTORCH["bf16"]


def test_jobs_and_measurements_of_before_there_were_backends_are_read_and_written_as_they_were() -> None:
    job = ModelJob(model="random:minilm", candidate=IPEX_INT4)
    assert "backend" not in job.to_json()
    assert ModelJob.from_json(job.to_json()) == job
    backed = replace(job, candidate=ZENTORCH["bf16"])
    assert ModelJob.from_json(backed.to_json()) == backed
    row = asdict(took(IPEX_INT4, 10))
    del row["candidate"]["backend"]
    assert from_row(row) == took(IPEX_INT4, 10)


def test_force_takes_it_all_the_same() -> None:
    assert choose(weighed(fp32=47, bf16=29, int4=412), "ipex", "int4", force=True).candidate == IPEX_INT4


def test_as_slow_as_fp32_within_the_noise_is_no_reason_to_refuse() -> None:
    assert choose(weighed(fp32=47, bf16=48), "ipex", "bf16").candidate == IPEX_BF16
    with pytest.raises(RequestError):
        choose(weighed(fp32=47, bf16=49), "ipex", "bf16")


def test_auto_leaves_out_what_is_fast_and_wrong() -> None:
    rows = weighed(fp32=47, bf16=29)
    wrong = took(IPEX_INT4, 5, answers=AnswerSimilarity(cosine=0.5))
    rows.append(CandidateResult(candidate=IPEX_INT4, expectation=OK, measurement=wrong))
    assert choose(rows, "auto", "auto").candidate == IPEX_BF16
    with pytest.raises(RequestError, match=r"worst cosine .* is 0\.5.*use --engine ipex --dtype bf16 \(29 ms\)"):
        choose(rows, "ipex", "int4")
    assert choose(rows, "ipex", "int4", force=True).candidate == IPEX_INT4


CALIBRATED = Candidate(engine="openvino", dtype="int8-calibrated", scheme="static", activations="bf16")


def with_a_calibrated_one(cosine: float, min_cosine: float | None = None) -> list[CandidateResult]:
    """It takes a third of the time of bf16, and its answers have this cosine."""
    measured = took(CALIBRATED, 10, answers=AnswerSimilarity(cosine=cosine))
    rows = [*weighed(fp32=47, bf16=29), CandidateResult(candidate=CALIBRATED, expectation=OK, measurement=measured)]
    return [replace(row, min_cosine=min_cosine) for row in rows]


def test_a_calibrated_candidate_runs_where_its_own_answers_keep_the_bound_which_is_said() -> None:
    choice = choose(with_a_calibrated_one(0.9951), "auto", "auto")
    assert choice.candidate == CALIBRATED
    assert choice.kept == ("its answers keep the bound (cosine 0.995 at least): cosine 0.9951 with eager fp32")


def test_a_calibrated_candidate_below_the_bound_does_not_run_which_is_said() -> None:
    choice = choose(with_a_calibrated_one(0.9949), "auto", "auto")
    assert choice.candidate == IPEX_BF16
    assert choice.left_out[0] == (
        "not chosen: openvino int8-calibrated x bf16: the worst cosine with eager fp32 is 0.9949, "
        "int8-calibrated must keep at least 0.995"
    )
    with pytest.raises(RequestError, match=r"the worst cosine with eager fp32 is 0\.9949"):
        choose(with_a_calibrated_one(0.9949), "auto", "int8-calibrated")


@pytest.mark.parametrize(("min_cosine", "chosen"), [(0.99, CALIBRATED), (0.9949, CALIBRATED), (0.996, IPEX_BF16)])
def test_the_bound_that_is_asked_for_takes_the_place_of_every_dtypes_own(min_cosine: float, chosen: Candidate) -> None:
    choice = choose(with_a_calibrated_one(0.9949, min_cosine), "auto", "auto")
    assert choice.candidate == chosen
    assert f"(cosine {min_cosine:g} at least)" in choice.kept
    every = choose(with_a_calibrated_one(0.9949, 0.99999), "auto", "auto", force=True)
    assert every.kept == ""


def test_what_cannot_run_is_told_with_its_reason() -> None:
    missing = Expectation(fares="unavailable", reason='torchao is not installed there: pip install "ipexlaunch[torch]"')
    rows = [*weighed(fp32=47), CandidateResult(candidate=weights("torch", "int8"), expectation=missing)]
    with pytest.raises(RequestError, match=r"cannot run int8 on any engine: torch int8 .*pip install"):
        choose(rows, "auto", "int8")
    broken = Measurement(candidate=IPEX_INT4, problem="RuntimeError: no kernel")
    rows = [*weighed(fp32=47), CandidateResult(candidate=IPEX_INT4, expectation=OK, measurement=broken)]
    with pytest.raises(RequestError, match="RuntimeError: no kernel"):
        choose(rows, "ipex", "int4")
    with pytest.raises(RequestError, match="engine eager has no int8 for this task, only "):
        choose(weighed(), "eager", "int8")


def test_drift_between_sessions_does_not_decide() -> None:
    slow_day = took(IPEX_FP32, 100, reference_ms=120, answers=RIGHT)
    quick_day = took(IPEX_BF16, 50, reference_ms=50, answers=RIGHT)
    rows = [
        CandidateResult(candidate=IPEX_FP32, expectation=OK, measurement=slow_day),
        CandidateResult(candidate=IPEX_BF16, expectation=OK, measurement=quick_day),
    ]
    assert choose(rows, "ipex", "auto").candidate == IPEX_FP32


@given(
    speeds=st.lists(st.floats(1, 1000), min_size=1, max_size=6),
    cosines=st.lists(st.floats(0.9, 1), min_size=6, max_size=6),
)
def test_auto_is_as_fast_as_any_right_candidate_and_none_as_fast_keeps_a_stricter_bound(
    speeds: list[float], cosines: list[float]
) -> None:
    candidates = [IPEX_FP32, IPEX_BF16, IPEX_INT4, REFERENCE, floating("torch", "bf16"), weights("torch", "int8")]
    rows = [
        CandidateResult(
            candidate=each, expectation=OK, measurement=took(each, speed, answers=AnswerSimilarity(cosine=cosine))
        )
        for each, speed, cosine in zip(candidates, speeds, cosines, strict=False)
    ]
    right = [
        each for each, cosine in zip(rows, cosines, strict=False) if each.right and cosine >= BOUNDS["int8"].cosine
    ]
    if not right:
        with pytest.raises(RequestError):
            choose(rows, "auto", "auto")
        return
    chosen = choose(rows, "auto", "auto").candidate
    level = NOISE * max(each.rate for each in right)
    alike = [each for each in right if each.rate >= level]
    assert chosen in [each.candidate for each in alike]
    assert BOUNDS[chosen.dtype].cosine == max(BOUNDS[each.candidate.dtype].cosine for each in alike)


def test_of_two_that_are_equally_fast_the_more_exact_one_is_taken() -> None:
    int8, int4 = weights("openvino", "int8", "dynamic"), weights("openvino", "int4", "dynamic")
    rows = weighed(bf16=60) + [
        CandidateResult(candidate=each, expectation=OK, measurement=took(each, took_ms, answers=RIGHT))
        for each, took_ms in ((int8, 20.5), (int4, 20.0))
    ]
    assert choose(rows, "auto", "auto").candidate == int8
    rows[-1] = replace(rows[-1], measurement=took(int4, 15.0, answers=RIGHT))
    assert choose(rows, "auto", "auto").candidate == int4


def test_who_did_not_ask_for_int4_gets_it_only_where_its_answers_are_as_near_as_those_of_int8() -> None:
    int8, int4 = weights("openvino", "int8", "dynamic"), weights("torch", "int4")
    wholly, roughly = (AnswerSimilarity(agreement=0.9, logit_error=error) for error in (0.05, 0.36))

    def known(answers: AnswerSimilarity) -> list[CandidateResult]:
        same = AnswerSimilarity(agreement=1, logit_error=0)
        rows = ((REFERENCE, 50, same), (int8, 10, wholly), (int4, 5, answers))
        return [
            CandidateResult(candidate=each, expectation=OK, measurement=took(each, taken, answers=kept))
            for each, taken, kept in rows
        ]

    rough = known(roughly)
    found = choose(rough, "auto", "auto")
    assert found.candidate == int8
    assert found.left_out[0] == (
        f"not chosen: {int4.name}: the logit error with eager fp32 is 0.3600, auto takes at most 0.2 "
        "(--dtype int4 takes it, 10.00 times eager fp32's rate)"
    )
    assert int4.name not in found.left_out[1]
    assert [verdict(each, rough) for each in rough] == ["ok", "fastest", "if asked for"]
    assert finalists(rough) == ()
    assert choose(rough, "auto", "int4").candidate == int4
    assert choose(known(wholly), "auto", "auto").candidate == int4


def test_milliseconds_of_one_table_are_those_of_one_moment() -> None:
    rows = [
        CandidateResult(candidate=IPEX_FP32, expectation=OK, measurement=took(IPEX_FP32, 100, reference_ms=120)),
        CandidateResult(candidate=IPEX_BF16, expectation=OK, measurement=took(IPEX_BF16, 20, reference_ms=40)),
        CandidateResult(candidate=IPEX_INT4, expectation=OK),
    ]
    assert [call_ms(each, rows) for each in rows] == [pytest.approx(80 / 1.2), pytest.approx(40), None]


def test_verdicts() -> None:
    rows = weighed(fp32=47, bf16=29, int4=412)
    rows.append(
        CandidateResult(candidate=floating("ipex", "fp16"), expectation=Expectation(fares="unavailable", reason="x"))
    )
    rows.append(CandidateResult(candidate=floating("eager", "fp16"), expectation=OK))
    wrong = took(floating("eager", "bf16"), 1, answers=AnswerSimilarity(cosine=0.0))
    rows.append(CandidateResult(candidate=wrong.candidate, expectation=OK, measurement=wrong))
    broken = Measurement(candidate=floating("torch", "bf16"), problem="no compiler")
    rows.append(CandidateResult(candidate=broken.candidate, expectation=OK, measurement=broken))
    assert [verdict(each, rows) for each in rows] == [
        "ok",
        "ok",
        "fastest",
        "slower than fp32",
        "unavailable",
        "not measured",
        "wrong answers",
        "does not run",
    ]


def test_rows_survive_json() -> None:
    row = took(
        IPEX_INT4, 5, answers=AnswerSimilarity(agreement=0.9, logit_error=0.1), notes=("half",), random_weights=True
    )
    assert from_row(json.loads(json.dumps(asdict(row)))) == row
    with pytest.raises(ValueError, match="colour"):
        from_row({**asdict(row), "colour": 1})


def test_workers_rates_are_added_and_their_worst_answers_count() -> None:
    one = took(IPEX_BF16, 10, answers=AnswerSimilarity(cosine=0.999), notes=("a",))
    other = took(IPEX_BF16, 30, answers=AnswerSimilarity(cosine=0.9), notes=("a",))
    both = merged([one, other])
    assert both.items_per_s == pytest.approx(100 + 1000 / 30)
    assert both.speed == pytest.approx((100 + 1000 / 30) / 40)
    assert both.answers == AnswerSimilarity(cosine=0.9)
    assert (both.calls, both.notes) == (40, ("a",))
    failed = Measurement(candidate=IPEX_BF16, problem="no memory")
    assert merged([one, failed]) == failed


def test_of_several_turns_the_middle_one_counts_and_says_how_far_it_may_be_off() -> None:
    turns = [took(IPEX_BF16, 10, answers=AnswerSimilarity(cosine=cosine)) for cosine in (0.999, 0.998)]
    turns.append(took(IPEX_BF16, 40, 25, answers=AnswerSimilarity(cosine=0.99)))  # the host was busy
    whole = middle_of(turns)
    assert (whole.call_s, whole.speed) == (0.01, 5.0)
    assert (whole.calls, whole.answers) == (60, AnswerSimilarity(cosine=0.99))
    assert whole.spread == pytest.approx((5 - 0.625) / 10)
    failed = Measurement(candidate=IPEX_BF16, problem="no memory")
    assert middle_of([*turns[:2], failed]) == failed


def test_a_candidate_travels_whole() -> None:
    full = Candidate(
        engine="ipex", dtype="int4", scheme="weight-only", activations="bf16", group_size=64, lowp_mode="BF16"
    )
    assert from_row(asdict(Measurement(candidate=full))).candidate == full


@pytest.mark.parametrize(
    ("bf16", "bf16_spread", "fp32_spread", "again"),
    [
        (29, 0.01, 0.01, ()),
        (43, 0.01, 0.01, ("ipex bf16", "ipex fp32")),
        (29, None, None, ("ipex bf16", "ipex fp32")),  # timed once
        (20, None, None, ()),
        (36, 0.05, 0.05, ()),
        (36, 0.15, 0.0, ("ipex bf16", "ipex fp32")),
        (36, 0.0, 0.2, ("ipex bf16", "ipex fp32")),
        (10, 9.0, 9.0, ()),
    ],
)
def test_who_is_uncertain_is_timed_again(
    bf16: float, bf16_spread: float | None, fp32_spread: float | None, again: tuple[str, ...]
) -> None:
    spreads = {IPEX_BF16: bf16_spread, IPEX_FP32: fp32_spread}
    known = [
        replace(each, measurement=replace(each.measurement, spread=spreads.get(each.candidate)))
        for each in weighed(fp32=47, bf16=bf16)
        if each.measurement is not None and each.candidate in spreads
    ]
    assert tuple(candidate.name for candidate in finalists(known)) == again
