"""The table of candidates: what a reader finds in it, and that it keeps to the width."""

from __future__ import annotations

import pytest

from ipexlaunch.models.engines.candidate import REFERENCE, floating
from ipexlaunch.models.engines.candidate_result import CandidateResult
from ipexlaunch.models.engines.choose import expected
from ipexlaunch.models.engines.measurement import AnswerSimilarity, Measurement
from ipexlaunch.report.tables.dtypes_tables import dtypes_table, ranking_table, short_names
from tests.models.engines.hosts import IPEX_ENV, host, took

TIMES = {"eager fp32": 50.0, "eager bf16": 30.0, "eager fp16": 310.0, "ipex fp32": 47.0, "ipex bf16": 17.0}
INT4 = "ipex int4 weight-only x fp32 g32"


def rows() -> list[CandidateResult]:
    known = []
    for each in expected(host("zen5"), IPEX_ENV, "forward"):
        measured = None
        if each.candidate.name in TIMES:
            notes = ("measured by its first 2 layers",)
            measured = took(
                each.candidate, TIMES[each.candidate.name], answers=AnswerSimilarity(cosine=0.9999), notes=notes
            )
        if each.candidate.name == INT4:
            measured = took(each.candidate, 412.0, answers=AnswerSimilarity(cosine=0.98))
        if each.candidate == floating("torch", "fp32"):
            measured = Measurement(candidate=each.candidate, problem="InvalidCxxCompiler: No working C++ compiler")
        known.append(CandidateResult(candidate=each.candidate, expectation=each.expectation, measurement=measured))
    return known


EXPECTED = """\
candidate                           expected      ms a call   x fp32   answers   ready s   MB   verdict
eager fp32                          ok                 50.0     1.00    0.9999   ok
eager bf16                          fast               30.0     1.67    0.9999   ok
eager fp16                          slow                310     0.16    0.9999   slower than fp32
ipex fp32                           fast               47.0     1.06    0.9999   ok
ipex bf16                           fast               17.0     2.94    0.9999   fastest
ipex fp16                           unavailable                                  unavailable
ipex int8 weight-only x fp32        slow                                         not measured
ipex int4 weight-only x fp32 g32    slow                412     0.12    0.9800   slower than fp32
torch fp32                          fast                                         does not run
"""


def test_one_line_per_candidate_and_each_says_what_becomes_of_it() -> None:
    text = dtypes_table(rows(), width=120)
    lines = [line.split() for line in text.splitlines() if "─" not in line]
    wanted = [line.split() for line in EXPECTED.splitlines()]
    assert lines[: len(wanted)] == wanted


def test_reasons_are_told_once_for_all_that_they_concern() -> None:
    text = " ".join(dtypes_table(rows(), width=100).split())
    both = "ipex int8 weight-only x fp32, ipex int4 weight-only x fp32 g32: without avx512_fp16 IPEX unpacks"
    assert text.count(both) == 1
    assert "torch fp32: InvalidCxxCompiler: No working C++ compiler" in text
    assert 'torchao is not installed there: pip install "ipexlaunch[torch]"' in text
    assert text.count("measured by its first 2 layers") == 1


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_no_line_is_longer_than_the_terminal(width: int) -> None:
    assert max(map(len, dtypes_table(rows(), width=width).splitlines())) <= width


def test_decoders_have_agreement_and_error() -> None:
    answers = AnswerSimilarity(agreement=0.97, logit_error=0.012)
    measured = took(REFERENCE, 50.0, answers=answers)
    known = [CandidateResult(candidate=REFERENCE, expectation=rows()[0].expectation, measurement=measured)]
    assert "97%, 0.012" in dtypes_table(known)


def of_torch() -> list[CandidateResult]:
    known = []
    for name, milliseconds, cosine in (("fp32", 60.0, 1.0), ("bf16", 14.0, 0.9999), ("fp16", 5.0, 0.5)):
        candidate = floating("eager" if name == "fp32" else "torch", name)  # type: ignore[arg-type]
        measured = took(candidate, milliseconds, 60.0, answers=AnswerSimilarity(cosine=cosine), prepare_cpu_s=21.5,
                        memory_bytes=55_000_000)  # fmt: skip
        known.append(CandidateResult(candidate=candidate, expectation=rows()[0].expectation, measurement=measured))
    return known


def test_environments_make_one_table_the_fastest_first_and_what_one_of_them_has_needs_no_reason() -> None:
    text = ranking_table({"/x/.venv-ipex/bin/python": rows(), "/x/.venv-torch/bin/python": of_torch()}, width=110)
    lines = [line.split() for line in text.split("\n\n")[0].splitlines() if "─" not in line]
    assert lines[1] == ["torch", "bf16", ".venv-torch", "14.0", "4.29", "0.9999", "21.5", "55", "fastest"]
    assert lines[2] == ["ipex", "bf16", ".venv-ipex", "17.0", "2.94", "0.9999", "fastest", "there"]
    assert lines[-1] == ["torch", "fp16", ".venv-torch", "5.00", "12.00", "0.5000", "21.5", "55", "wrong", "answers"]
    assert "torch bf16: torchao" not in text
    assert "torch fp32: InvalidCxxCompiler" in text
    assert "ready s: processor seconds" in text


@pytest.mark.parametrize("width", [60, 80, 100])
def test_no_line_of_the_ranking_is_longer_than_the_terminal(width: int) -> None:
    text = ranking_table({"/x/.venv-ipex/bin/python": rows(), "/x/.venv-torch/bin/python": of_torch()}, width=width)
    assert max(map(len, text.splitlines())) <= width


def test_environments_of_one_name_are_told_by_their_paths() -> None:
    assert set(short_names(["/a/venv/bin/python", "/b/venv/bin/python"]).values()) == {
        "/a/venv/bin/python",
        "/b/venv/bin/python",
    }
    assert short_names(["python3"]) == {"python3": "python3"}
