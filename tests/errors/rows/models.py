"""Models, as far as no torch is needed: jobs that are none, unknown shapes, candidates that do not run."""

from __future__ import annotations

from dataclasses import replace

from ipexlaunch.models.engines.candidate import QuantizedForm
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import choose
from ipexlaunch.models.engines.measurement import AnswerSimilarity
from ipexlaunch.models.engines.model_job import ModelJob
from ipexlaunch.models.measure_dtypes import _measuring
from ipexlaunch.models.run_model import read_job
from tests.errors.provoke import Row
from tests.models.engines.hosts import OK, took, weights
from tests.models.engines.test_choose import IPEX_BF16, weighed

PLACES = ("models/engines/", "models/measure_dtypes", "models/run_model")

JOB = ModelJob(model="random:bert-tiny")


def _form() -> None:
    int4 = weights("torch", "int4")
    QuantizedForm(scheme="auto", group_size=7, lowp_mode="").of([int4])


def _wrong() -> None:
    off = took(IPEX_BF16, 20, answers=AnswerSimilarity(cosine=0.5))
    choose([CandidateResult(candidate=IPEX_BF16, expectation=OK, measurement=off)], "ipex", "bf16")


ROWS = [
    Row(_form, name="QuantizedForm.of(groups of 7)"),
    Row(lambda: choose(weighed(), "eager", "int8"), name="choose(a dtype that an engine has not)"),
    Row(lambda: choose(weighed(fp32=47, int4=412), "ipex", "int4"), name="choose(slower than fp32)"),
    Row(_wrong, name="choose(wrong answers)"),
    Row("bench --model random:nothing-like-it"),
    Row(lambda: read_job([]), name="run_model"),
    Row(lambda: read_job(["{"]), name="run_model {"),
    Row(lambda: read_job([replace(JOB, batch_size=0).to_json()]), name="run_model (batch_size 0)"),
    Row(lambda: _measuring([]), name="measure_dtypes"),
    Row(lambda: _measuring(["{"]), name="measure_dtypes {"),
]

ELSEWHERE: dict[str, str] = {}
