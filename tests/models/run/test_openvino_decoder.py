"""Generation in engine openvino: answers, rows that come and go, the time of every token, threads in the plan."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ipexlaunch.models.engines.candidate import floating
from ipexlaunch.models.engines.model_job import ModelJob
from tests.examples.run_examples import run
from tests.models.run.environments import facts_of, openvino_python, work_and_listen

pytestmark = [pytest.mark.torch, pytest.mark.process]


@pytest.fixture(scope="module")
def python() -> str:
    return openvino_python()


def ask(python: str, what: str) -> dict[str, Any]:
    done = run(python, "-m", "tests.models.run.openvino_decoder_checks", what)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.mark.slow
def test_architectures_say_what_eager_fp32_says(python: str) -> None:
    found = ask(python, "architectures")
    assert 1e-4 < found.pop("int8") < 0.1
    assert set(found) == {"llama", "mistral", "qwen2", "opt", "gpt2"}
    assert all(error < 1e-4 for error in found.values()), found


def test_long_prompts_are_read_in_parts(python: str) -> None:
    assert ask(python, "parts") == {"same": True, "times": [6, 6], "longer": [4, 110], "free": True}


@pytest.mark.slow
def test_integers_of_a_decoder_have_no_zero_points_and_groups_that_all_its_products_share(python: str) -> None:
    found = ask(python, "integers")
    assert [each.pop("error") < 0.1 for each in found.values()] == [True] * 4, found
    assert {tuple(each.pop("eight_bits")) for each in found.values()} == {("<Type: 'int8_t'>",)}
    # Wide groups are no faster with activations of fp32, and keys of eight bits are.
    half, eight = "<Type: 'bfloat16'>", "<Type: 'uint8_t'>"
    assert found == {
        "narrow": {"group": 128, "keys": half},
        "wide": {"group": 256, "keys": half},
        "fp32": {"group": 128, "keys": eight},
        "thirds": {"group": 192, "keys": eight},
    }


def test_the_likeliest_token_is_the_first_of_equal_ones_that_may_be_chosen(python: str) -> None:
    taken = [[1, 0], [2, 2]]
    assert ask(python, "chooses") == {"torch.float32": taken, "torch.bfloat16": taken}


def test_a_row_says_the_same_whoever_has_left_it_room(python: str) -> None:
    found = ask(python, "places")
    assert found["same"] is True
    assert found["refused"] > 0


@pytest.mark.slow
def test_the_second_worker_reads_the_decoder_that_the_first_converted(python: str, tmp_path: Path) -> None:
    job = ModelJob(
        model="random:llama-15m",
        task="generate",
        candidate=floating("openvino", "bf16"),
        batch_size=2,
        input_tokens=16,
        new_tokens=5,
        seconds=0.1,
        cache=str(tmp_path),
    )
    first, second = (work_and_listen(python, job) for _ in range(2))
    assert [facts_of(said)["cache"] for said in (first, second)] == ["miss", "hit"]
    assert facts_of(first)["check"] == facts_of(second)["check"]
    assert 0 < facts_of(second)["check"]["logit_error"] < 0.05
    samples = {name: sum(len(m["values_s"]) for m in second if m["event"] == "samples" and m["name"] == name)
               for name in ("first_token", "next_token")}  # fmt: skip
    assert samples["next_token"] == 4 * samples["first_token"] > 0


@pytest.mark.slow
def test_every_thread_of_a_generating_worker_stays_inside_the_plan(python: str, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = run(
        sys.executable, "-m", "ipexlaunch", "bench", "--ninstances", "1", "--ncores-per-instance", "1",
        "--python", python, "--model", "random:llama-15m", "--task", "generate", "--engine", "openvino",
        "--dtype", "fp32", "--force-dtype", "--batch-size", "2", "--input-tokens", "16", "--new-tokens", "8",
        "--duration", "1", "--no-cache", "--report", str(report),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(report.read_text())
    assert document["valid"], document["reasons"]
