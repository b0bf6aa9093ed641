"""What auto measures before it chooses, and what it leaves out because it is known."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.models.engines.candidate import floating
from ipexlaunch.models.engines.choose import DtypeChoice, expected
from ipexlaunch.models.engines.expectations import Software
from ipexlaunch.models.engines.measurement import AnswerSimilarity, Measurement
from ipexlaunch.models.engines.model_job import ModelJob, Task
from ipexlaunch.models.engines.worth_measuring import worth_measuring
from tests.models.engines.hosts import IPEX_ENV, TORCH_ENV, host, took

RIGHT = AnswerSimilarity(cosine=0.9999)

MANY = 1024
"""Rows: 8 inputs of 128 tokens."""


def names(
    processor: str, software: Software, task: Task = "forward", dtype: DtypeChoice = "auto", rows: int = MANY
) -> list[str]:
    return [each.name for each in worth_measuring(expected(host(processor), software, task), dtype, rows)]


def test_auto_measures_what_is_not_expected_to_be_slow_and_a_word_measures_itself_and_fp32() -> None:
    assert names("zen5", IPEX_ENV) == ["eager fp32", "eager bf16", "ipex bf16", "torch bf16"]
    assert names("icelake", IPEX_ENV) == ["eager fp32", "ipex fp32", "torch fp32"]
    known = expected(host("zen5"), IPEX_ENV, "forward", "ipex")
    asked = [each.name for each in worth_measuring(known, "int4", MANY)]
    assert asked == ["ipex fp32", "ipex int4 weight-only x fp32 g32"]
    assert "torch bf16" not in names("haswell", TORCH_ENV)


@pytest.mark.parametrize(("processor", "tried"), [("sapphire", set()), ("granite", {"eager", "torch"}), ("pi4", set())])
def test_auto_tries_fp16_where_it_may_be_the_fastest(processor: str, tried: set[str]) -> None:
    known = expected(host(processor), TORCH_ENV, "forward")
    assert {each.engine for each in worth_measuring(known, "auto", MANY) if each.dtype == "fp16"} == tried
    assert any(each.dtype == "fp16" for each in worth_measuring(known, "fp16", MANY))


@pytest.mark.parametrize(
    ("bf16_ms", "answers", "fp32_too"),
    [(20, RIGHT, False), (20, AnswerSimilarity(cosine=0.1), True), (60, RIGHT, True), (None, None, True)],
    ids=["fast and right", "wrong answers", "slower than eager fp32", "does not run"],
)
def test_fp32_of_an_engine_is_measured_only_where_its_bf16_disappoints(
    bf16_ms: float | None, answers: AnswerSimilarity | None, fp32_too: bool
) -> None:
    bf16, fp32 = floating("ipex", "bf16"), floating("ipex", "fp32")
    found = took(bf16, bf16_ms, answers=answers) if bf16_ms else Measurement(candidate=bf16, problem="no memory")
    known = [
        replace(each, measurement=found) if each.candidate == bf16 else each
        for each in expected(host("zen5"), IPEX_ENV, "forward", "ipex")
    ]
    assert (fp32 in worth_measuring(known, "auto", MANY)) == fp32_too


@pytest.mark.parametrize(
    ("rows", "int8", "int4"), [(1, True, True), (4, True, True), (5, False, True), (8, False, True), (9, False, False)]
)
def test_auto_leaves_out_weights_of_integers_that_its_program_would_widen(rows: int, int8: bool, int4: bool) -> None:
    tried = names("zen5", TORCH_ENV, "generate", rows=rows)
    assert ("torch int8 weight-only x bf16" in tried) == int8
    assert ("torch int4 weight-only x bf16 g32" in tried) == int4
    # Without instructions for bf16 they are multiplied with fp32 activations, for which there is no kernel.
    assert "torch int8 weight-only x fp32" not in names("icelake", TORCH_ENV, "generate", rows=1)
    assert "torch int8 weight-only x bf16" in names("zen5", TORCH_ENV, dtype="int8"), "who asks for it gets it"


def test_rows_of_a_job_are_a_decoders_inputs_and_an_encoders_tokens() -> None:
    job = ModelJob(model="random:minilm", task="embed", batch_size=8, input_tokens=128)
    assert job.product_rows == 1024
    assert ModelJob(model="random:gpt2", task="generate", batch_size=8, input_tokens=128).product_rows == 8
