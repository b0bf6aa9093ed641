"""workers/run_model.py: the built-in worker, in the environments that have torch."""

from __future__ import annotations

import sys

import pytest

from ipexlaunch.engines.candidate import floating
from ipexlaunch.engines.model_job import ModelJob
from tests.examples.run_examples import ipex_python, run, torch_python
from tests.run_models.environments import facts_of, minilm, phases_of, work, work_and_listen

ENVIRONMENTS = [
    pytest.param(ipex_python, id="ipex", marks=pytest.mark.ipex),
    pytest.param(torch_python, id="torch", marks=pytest.mark.torch),
]
pytestmark = pytest.mark.process


@pytest.mark.slow
@pytest.mark.parametrize("python", ENVIRONMENTS)
def test_it_embeds_real_text_and_says_everything_in_order(python) -> None:  # type: ignore[no-untyped-def]
    model = minilm(python())
    job = ModelJob(
        model=model,
        task="embed",
        candidate=floating("eager", "bf16"),
        batch_size=4,
        input_tokens=32,
        text="examples/sentences.txt",
        seconds=0.1,
    )
    said = work_and_listen(python(), job)
    assert phases_of(said) == ["loading", "checking", "converting", "checking", "warming up", "ready", "finished"]
    facts = facts_of(said)
    assert facts["random"] is False
    assert facts["parameters"] == 22713216
    assert facts["text"] == "examples/sentences.txt"
    assert facts["candidate"] == "eager bf16"
    assert facts["counted_tokens"] == "input, without padding"
    # 1 would mean that nothing ran in bfloat16.
    assert 0.995 < facts["check"]["cosine"] < 1
    progress = [message for message in said if message["event"] == "progress"]
    assert all(message["items"] == [4] * len(message["items"]) for message in progress)
    # Real sentences are not all as long as the input: padding is not counted.
    assert all(0 < tokens < 4 * 32 for message in progress for tokens in message["tokens"])
    assert not [message for message in said if message["event"] == "invalid"]


@pytest.mark.slow
@pytest.mark.parametrize("python", ENVIRONMENTS)
def test_it_generates_and_times_every_token(python) -> None:  # type: ignore[no-untyped-def]
    job = ModelJob(model="random:llama-15m", task="generate", batch_size=2, input_tokens=16, new_tokens=5, seconds=0.1)
    said = work_and_listen(python(), job)
    calls = sum(len(message["items"]) for message in said if message["event"] == "progress")
    tokens = sum(sum(message["tokens"]) for message in said if message["event"] == "progress")
    assert tokens == calls * 2 * 5
    samples = {
        name: [s for m in said if m["event"] == "samples" and m["name"] == name for s in m["values_s"]]
        for name in ("first_token", "next_token")
    }
    assert len(samples["first_token"]) == calls
    assert len(samples["next_token"]) == calls * 4
    latency = sum(sum(message["latencies_s"]) for message in said if message["event"] == "progress")
    assert 0 < sum(map(sum, samples.values())) <= latency * 1.001
    facts = facts_of(said)
    assert facts["random"] is True
    assert facts["text"] == "generated, seed 0"
    assert facts["check"] == {"agreement": 1.0, "logit_error": 0.0}


def test_without_torch_it_says_in_one_line_what_to_install() -> None:
    done = run(sys.executable, "-S", "-m", "ipexlaunch.workers.run_model", ModelJob(model="random:minilm").to_json())
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "has no torch and no transformers; install it there with pip install" in done.stderr


@pytest.mark.torch
def test_a_missing_engine_is_told_before_anything_is_loaded() -> None:
    done = work(torch_python(), ModelJob(model="no/such/model", candidate=floating("ipex", "bf16")))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert 'has no intel-extension-for-pytorch; install it there with pip install "ipexlaunch[ipex]"' in done.stderr


def test_an_argument_that_is_no_job_is_one_line() -> None:
    done = run(sys.executable, "-m", "ipexlaunch.workers.run_model", '{"modell": 1}')
    assert done.returncode == 2
    assert done.stderr.startswith("run_model: cannot read the model job: ")
