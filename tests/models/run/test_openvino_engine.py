"""models/run/prepare_openvino.py in the environment with torch: one graph for any shape, its weights, its threads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob
from tests.examples.run_examples import ROOT, run, torch_python
from tests.models.run.environments import facts_of, minilm, phases_of, work_and_listen

pytestmark = [pytest.mark.torch, pytest.mark.process]

CALIBRATED = Candidate(engine="openvino", dtype="int8-calibrated", scheme="static", activations="fp32")


def ask(what: str, *before: str) -> dict[str, Any]:
    done = run(*before, torch_python(), "-m", "tests.models.run.openvino_checks", what)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_the_second_worker_starts_from_what_the_first_converted(tmp_path: Path) -> None:
    job = ModelJob(
        model="random:bert-tiny", task="embed", candidate=floating("openvino", "fp32"), batch_size=2, input_tokens=16,
        seconds=0.1, cache=str(tmp_path),
    )  # fmt: skip
    first, second = (work_and_listen(torch_python(), job) for _ in range(2))
    assert "compiling" in phases_of(first)
    assert phases_of(second) == [phase for phase in phases_of(first) if phase != "compiling"]
    assert (facts_of(first)["cache"], facts_of(second)["cache"]) == ("miss", "hit")
    assert facts_of(first)["check"] == facts_of(second)["check"]
    assert facts_of(second)["check"]["cosine"] > 0.9999
    assert facts_of(second)["bound"] == {"cosine": 0.999}


def test_a_real_model_is_calibrated_on_the_text_that_it_is_given_which_is_said(tmp_path: Path) -> None:
    text = str(ROOT / "examples/sentences.txt")
    job = ModelJob(
        model=minilm(torch_python()), task="embed", candidate=CALIBRATED, batch_size=4, input_tokens=32, text=text,
        seconds=0.1, cache=str(tmp_path), min_cosine=0.9,
    )  # fmt: skip
    facts = facts_of(work_and_listen(torch_python(), job))
    assert facts["text"] == facts["calibrated_on"] == text
    # Six layers, of each what the products of queries, keys and values, of attention's output and of the feed-forward
    # block take in; of one a few channels stay whole, and attention itself stays as it is.
    assert facts["quantised_layers"] == 24
    # 1 would mean that nothing ran in integers.
    assert 0.995 < facts["check"]["cosine"] < 0.9999


@pytest.mark.slow
def test_architectures_give_their_own_answers_at_every_shape_by_one_program() -> None:
    found = ask("families")
    wrong = {name: told for name, told in found.items() if not isinstance(told, dict) or told["cosine"] < 0.9999}
    assert wrong == {}
    assert {told["programs"] for told in found.values()} == {1}


def test_a_classifier_s_logits_are_those_of_eager_fp32() -> None:
    assert max(ask("classifies")["errors"]) < 1e-4


def test_threads_stay_inside_the_mask_and_nothing_is_told_to_anybody() -> None:
    """More threads are asked for than the mask has cpus."""
    cpu = str(min(os.sched_getaffinity(0)))
    assert ask("threads", "taskset", "-c", cpu) == {"inside": True, "telemetry": False}


def test_weights_are_mapped_so_that_workers_share_them() -> None:
    found = ask("mapped")
    assert found["read kB"] > 20_000
    assert found["own kB"] == 0  # nothing was written to, so it is the file in the page cache


def test_calibration_takes_the_same_texts_whatever_the_batch_is() -> None:
    found = ask("calibrates")
    assert found["rows"] == 64
    assert found["cache"] == ["miss", "hit"]
    assert found["calibrated on"] == "generated, seed 0"
    assert found["layers"] > 0
    assert found["others"] is None
    assert "there is no text to calibrate it on" in found["refused"]


def test_texts_of_as_many_tokens_as_a_head_has_channels_have_answers_like_others() -> None:
    """With AMX OpenVINO 2026.4 mixes up the tiles of two products of one size, of which one is of integers."""
    below, same, above = ask("heads")["cosines"]
    assert min(below, above) > 0.98
    assert same > min(below, above) - 0.005


def test_a_feed_forward_block_without_biases_is_calibrated_like_one_that_has_them() -> None:
    found = ask("unbiased")
    assert found["biased"]["layers"] == found["unbiased"]["layers"]
    assert min(*found["biased"]["cosines"], *found["unbiased"]["cosines"]) > 0.99


def test_a_norm_s_scale_and_nncf_s_are_one_in_a_graph_of_any_shape() -> None:
    found = ask("scales")
    before, after = found["read twice"]
    assert before > after == 0
    assert found["apart"] < 1e-2  # a step of an 8-bit integer, where a rounding falls to the other side


def test_queries_keys_and_values_of_few_tokens_are_one_product_and_say_the_same() -> None:
    found = ask("joins")
    layers, siblings = 2, 2
    for told in found.values():
        before, after = told["products"]
        assert before - after == layers * siblings
        assert told["apart"] < 1e-5


def test_one_thread_gets_no_gated_block_in_one_piece_which_openvino_divides_by_zero_for() -> None:
    """With AMX the process would die of SIGFPE; two cpus are needed to ask for two threads."""
    found = ask("gates")
    joined = found["joined"]
    assert joined["one thread"] == 0
    assert joined["no AMX"] == joined["fp32"] > 0, "OpenVINO joins nothing there"
    assert joined["two threads"] == 0 or len(os.sched_getaffinity(0)) > 1
    assert found["apart"] == 0.0  # times two and by two are exact
