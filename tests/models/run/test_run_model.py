"""models/run_model.py: the built-in worker, in the environments that have torch."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ipexlaunch.cli.run.built_in_workers import run_script
from ipexlaunch.models.engines.candidate import Candidate, floating
from ipexlaunch.models.engines.model_job import ModelJob
from tests.examples.run_examples import ipex_python, run, torch_python
from tests.models.run.environments import ENVIRONMENTS, facts_of, minilm, phases_of, work, work_and_listen

pytestmark = pytest.mark.process


@pytest.mark.slow
@pytest.mark.parametrize("python", ENVIRONMENTS)
def test_it_embeds_real_text_and_says_everything_in_order(python: Callable[[], str]) -> None:
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
    assert phases_of(said) == [
        "imports", "loading", "checking", "converting", "checking", "warming up", "ready", "finished"
    ]  # fmt: skip
    # An import of torch alone costs more than the rest of a second's start.
    spent = [message["cpu_s"] for message in said if message["event"] in ("phase", "ready")]
    assert spent == sorted(spent)
    assert 0 < spent[0] < spent[1]
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
def test_it_generates_and_times_every_token(python: Callable[[], str]) -> None:
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


@pytest.mark.ipex
@pytest.mark.slow
def test_wrong_answers_make_the_run_invalid(tmp_path: Path) -> None:
    # 4 bits with one scale for a whole channel are too few for these embeddings, whichever kernel runs.
    candidate = Candidate(engine="ipex", dtype="int4", scheme="weight-only", group_size=-1, lowp_mode="NONE")
    job = ModelJob(model=minilm(ipex_python()), task="embed", candidate=candidate, batch_size=2, seconds=0.2)
    report = tmp_path / "report.json"
    words = ["--ninstances", "1", "--report", str(report), "--python", ipex_python()]
    done = run(sys.executable, "-m", "ipexlaunch", *words, "-m", "ipexlaunch.models.run_model", job.to_json())
    assert done.returncode == 4, done.stderr
    document = json.loads(report.read_text())
    assert document["valid"] is False
    assert any("wrong answers of ipex int4" in reason for reason in document["reasons"])
    assert document["instances"][0]["items"] > 0
    phases = ["imports", "loading", "checking", "converting", "warming up"]
    assert list(document["instances"][0]["phases_s"]) == list(document["start"]["phases"]) == phases
    assert document["start"] == document["instances"][0]["start"]
    assert document["start"]["phases"]["imports"]["anonymous_bytes"] > 0
    assert "start of 1 worker: " in done.stderr


def test_without_torch_it_says_in_one_line_what_to_install() -> None:
    words = (run_script(), "-m", "ipexlaunch.models.run_model", ModelJob(model="random:minilm").to_json())
    done = run(sys.executable, "-S", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "has no torch and no transformers; install it there with " in done.stderr


@pytest.mark.torch
def test_a_missing_engine_is_told_before_anything_is_loaded() -> None:
    done = work(torch_python(), ModelJob(model="no/such/model", candidate=floating("ipex", "bf16")))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "has no intel-extension-for-pytorch; install it there with " in done.stderr
    assert "-m pip install 'ipexlaunch[ipex]'" in done.stderr


def test_an_argument_that_is_no_job_is_one_line() -> None:
    done = run(sys.executable, "-m", "ipexlaunch.models.run_model", '{"modell": 1}')
    assert done.returncode == 2
    assert done.stderr.startswith("run_model: cannot read the model job: ")
