"""Bounds of answers: what is kept, what is broken, and what a broken kernel looks like."""

from __future__ import annotations

import itertools

import pytest

from ipexlaunch.models.engines.candidate import DTYPES, Dtype
from ipexlaunch.models.engines.measurement import BOUNDS, AnswerSimilarity, judge

NAN = float("nan")


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_reference_itself_is_right(dtype: Dtype) -> None:
    assert judge(AnswerSimilarity(cosine=1.0, agreement=1.0, logit_error=0.0), dtype) == ""


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "answers",
    [
        AnswerSimilarity(cosine=0.1),
        AnswerSimilarity(logit_error=1.4),
        AnswerSimilarity(cosine=NAN),
        AnswerSimilarity(logit_error=NAN),
        AnswerSimilarity(),
    ],
)
def test_a_broken_kernel_is_wrong_in_every_dtype(dtype: Dtype, answers: AnswerSimilarity) -> None:
    assert judge(answers, dtype, random_weights=True)


def test_the_verdict_has_the_figure_and_the_bound() -> None:
    assert judge(AnswerSimilarity(cosine=0.9931), "bf16") == (
        "the worst cosine with eager fp32 is 0.9931, bf16 must keep at least 0.995"
    )
    assert judge(AnswerSimilarity(cosine=0.9931), "int4") == ""


@pytest.mark.parametrize(
    ("cosine", "bound", "told"),
    [
        (0.99496, 0.995, "is 0.99496, int8 must keep at least 0.995"),
        (0.9949999, 0.995, "is 0.9949999, int8 must keep at least 0.995"),
        (0.9999962, 0.99999999, "is 0.999996, int8 must keep at least 0.99999999"),
        (0.9999962, 1.0, "is 0.999996, int8 must keep at least 1.0"),
        (0.99312345, 0.995, "is 0.9931, int8 must keep at least 0.995"),
    ],
)
def test_a_figure_that_misses_its_bound_never_reads_like_it(cosine: float, bound: float, told: str) -> None:
    assert told in judge(AnswerSimilarity(cosine=cosine), "int8", min_cosine=bound)


def test_agreement_counts_for_trained_weights_only() -> None:
    answers = AnswerSimilarity(agreement=0.3, logit_error=0.02)
    assert "agreement" in judge(answers, "bf16")
    assert judge(answers, "bf16", random_weights=True) == ""


def test_fewer_bits_never_have_the_stricter_bound() -> None:
    order: tuple[Dtype, ...] = ("fp32", "bf16", "int8", "int4")
    for more, fewer in itertools.pairwise(order):
        assert BOUNDS[more].cosine >= BOUNDS[fewer].cosine
        assert BOUNDS[more].agreement >= BOUNDS[fewer].agreement
        assert BOUNDS[more].logit_error <= BOUNDS[fewer].logit_error


def test_words_have_only_what_there_is() -> None:
    assert AnswerSimilarity(cosine=0.99912).words == "cosine 0.9991"
    assert AnswerSimilarity(agreement=0.97, logit_error=0.0123).words == "agreement 97.0%, logit error 0.012"
