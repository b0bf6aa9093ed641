"""models/run/run_task.py with engines/accuracy.py: wrong answers are told from right and from rounded ones."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipexlaunch.models.engines.measurement import AnswerSimilarity, judge
from tests.examples.run_examples import run, torch_python

pytestmark = [pytest.mark.torch, pytest.mark.process, pytest.mark.slow]
TASKS = ("forward", "embed", "classify", "generate")


@pytest.fixture(scope="module")
def found() -> dict[str, AnswerSimilarity]:
    """What observe_answers.py printed."""
    done = run(torch_python(), "-m", "tests.models.run.observe_answers")
    assert done.returncode == 0, done.stderr
    figures: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return {name: AnswerSimilarity(**values) for name, values in figures.items()}


@pytest.mark.parametrize("task", TASKS)
def test_the_same_model_is_exact(found: dict[str, AnswerSimilarity], task: str) -> None:
    answers = found[f"{task} same"]
    if task in ("forward", "embed"):
        assert answers.cosine == pytest.approx(1, abs=1e-9)
    else:
        assert answers.logit_error == 0
        assert answers.agreement == 1
    assert judge(answers, "fp32") == ""


@pytest.mark.parametrize("task", TASKS)
def test_one_layer_that_is_half_again_as_loud_is_seen(found: dict[str, AnswerSimilarity], task: str) -> None:
    answers = found[f"{task} louder"]
    if answers.cosine is not None:
        assert 0.99 < answers.cosine < 0.9999
    else:
        assert answers.logit_error is not None
        assert 0.01 < answers.logit_error < 0.5


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("kind", ["other", "not a number"])
def test_other_words_and_no_numbers_are_wrong_in_every_dtype(
    found: dict[str, AnswerSimilarity], task: str, kind: str
) -> None:
    assert judge(found[f"{task} {kind}"], "int4", random_weights=True)
