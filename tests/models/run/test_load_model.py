"""models/run/load_model.py and batches.py: the model that was asked for, or one line that says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.examples.run_examples import run
from tests.models.run.environments import ENVIRONMENTS, minilm

pytestmark = [pytest.mark.process, pytest.mark.slow]


@pytest.fixture(scope="module", params=ENVIRONMENTS)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What observe_loading.py printed."""
    interpreter: Callable[[], str] = request.param
    python, folder = interpreter(), tmp_path_factory.mktemp("models")
    done = run(python, "-m", "tests.models.run.observe_loading", str(folder), minilm(python))
    assert done.returncode == 0, done.stderr
    findings: dict[str, Any] = json.loads(done.stdout)
    return findings


def test_random_models_are_the_same_for_the_same_seed_only(found: dict[str, Any]) -> None:
    assert found["loading"]["same seed"]
    assert found["loading"]["other seed"]
    assert found["loading"]["random"] == [True, False]


def test_a_directory_is_read_back_whole_or_by_its_first_layers(found: dict[str, Any]) -> None:
    assert found["loading"]["read back"]
    assert found["loading"]["layers"] == [2, 2, 1]
    whole, again, one = found["loading"]["parameters"]
    assert whole == again > one


def test_no_weight_stays_a_view_of_the_file(found: dict[str, Any]) -> None:
    # The page cache lies on the node of whoever read the file first.
    assert found["loading"]["mapped"] == []


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("task generate", "its architecture is BertModel; generate needs a decoder"),
        ("task classify", "BertModel has no trained classification layer"),
        ("no-weights", "it has no *.safetensors, only pytorch_model.bin"),
        ("no-config", "it has no config.json; it holds model.safetensors"),
        ("cut-off", "incomplete metadata, file not fully covered"),
        ("bad-config", "is not a valid JSON file"),
        ("incomplete", "its files lack weights of BertModel: encoder.layer.0.attention.self.query.weight"),
    ],
)
def test_a_directory_that_will_not_do_is_an_error(found: dict[str, Any], case: str, told: str) -> None:
    assert told in found["loading"]["errors"][case]


def test_generated_batches_are_different_and_the_same_in_every_worker(found: dict[str, Any]) -> None:
    inputs = found["inputs"]
    assert inputs["shape"] == [2, 8]
    assert inputs["distinct"] == 16
    assert inputs["same again"]
    assert not inputs["padding drawn"]
    assert inputs["tokens"] == [16] * 16


def test_lines_are_cut_and_padded_and_begin_again(found: dict[str, Any]) -> None:
    inputs = found["inputs"]
    assert inputs["text"]
    assert inputs["read masks"] == [[4, 6], [12, 4], [6, 12]]
    assert inputs["read tokens"] == [10, 16, 18]


def test_padding_is_right_of_a_text_and_left_of_a_prompt(found: dict[str, Any]) -> None:
    assert found["inputs"]["starts with a token"]
    assert found["inputs"]["ends with a token"]


@pytest.mark.parametrize(
    ("case", "told"),
    [
        ("too long", "513 tokens: the model has 512 positions"),
        ("too long with new", "250 tokens and 7 new ones: the model has 256 positions"),
        ("no tokenizer", "has no tokenizer; leave the text away"),
        ("empty", "it has no line with text"),
        ("no file", "No such file or directory"),
    ],
)
def test_inputs_that_cannot_be_made_are_an_error(found: dict[str, Any], case: str, told: str) -> None:
    assert told in found["inputs"]["errors"][case]
