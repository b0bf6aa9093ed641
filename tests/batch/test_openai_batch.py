"""`batch --format openai`: files of OpenAI's batch API through a model, as vLLM's run-batch takes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.batch.check_results import rows_of
from tests.batch.test_batch_models import batch
from tests.examples.run_examples import ROOT, run, torch_python
from tests.models.run.environments import minilm, openvino_python

CHAT, COMPLETION, EMBEDDING = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
HELLO = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"}]


def line(custom_id: str, url: str, **body: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": {"model": "any", **body}}


def write(path: Path, requests: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(request) + "\n" for request in requests), encoding="utf-8")
    return str(path)


def by_id(path: Path) -> dict[str, dict[str, Any]]:
    return {row["custom_id"]: row for row in rows_of(path)}


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("decoder")
    done = run(torch_python(), str(ROOT / "tests/batch/make_decoder.py"), str(folder))
    assert done.returncode == 0, done.stderr
    return str(folder)


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("engine", ["eager", "openvino"])  # in whole batches, and row by row
def test_chats_and_completions_are_answered_each_by_its_own_rules(tmp_path: Path, decoder: str, engine: str) -> None:
    requests = [
        line("greedy", COMPLETION, prompt="Once upon", temperature=0, max_tokens=6),
        line("chat", CHAT, messages=HELLO, temperature=0),
        line("seeded", CHAT, messages=HELLO, seed=5, max_tokens=8),
        line("other", COMPLETION, prompt="Once upon a time", seed=6),
        line("seeded again", CHAT, messages=HELLO, seed=5, max_tokens=8),
        line("tokens", COMPLETION, prompt=[50, 51, 52], temperature=0, max_tokens=2),
        line("too many", CHAT, messages=HELLO, max_tokens=99),
        line("two", CHAT, messages=HELLO, n=2),
        line("system last", CHAT, messages=list(reversed(HELLO))),
        line("long", COMPLETION, prompt="x" * 100),
        line("no such token", COMPLETION, prompt=[9999]),
        line("wrong url", EMBEDDING, input="x"),
        line("nucleus", COMPLETION, prompt="Once upon", top_p=0.0, max_tokens=6),
    ]
    given = write(tmp_path / "in.jsonl", requests)
    output, errors = tmp_path / "out.jsonl", tmp_path / "errors.jsonl"
    options = (
        "--format", "openai", "--input", given, "--model", decoder, "--task", "generate", "--new-tokens", "12",
        "--engine", engine, "--dtype", "fp32", "--batch-size", "4", "--input-tokens", "64",
    )  # fmt: skip
    python = openvino_python() if engine == "openvino" else torch_python()
    done = batch(python, "--output", str(output), "--errors", str(errors), "--keep-order", *options)
    assert done.returncode == 0, done.stderr
    good, bad = by_id(output), by_id(errors)
    assert list(good) == ["greedy", "chat", "seeded", "other", "seeded again", "tokens", "nucleus"]
    assert {name: row["error"]["code"] for name, row in bad.items()} == {
        "too many": "invalid_request_error",
        "two": "unsupported_value",
        "system last": "invalid_request_error",
        "long": "context_length_exceeded",
        "no such token": "invalid_request_error",
        "wrong url": "invalid_url",
    }
    assert {row["response"]["status_code"] for row in bad.values()} == {400}
    assert "the system speaks first" in bad["system last"]["error"]["message"]
    bodies = {name: row["response"]["body"] for name, row in good.items()}
    assert {name: body["usage"]["prompt_tokens"] for name, body in bodies.items()} == {
        "greedy": 9, "chat": len("<system>be kind\n<user>hello\n<assistant>"), "seeded": 39, "other": 16,
        "seeded again": 39, "tokens": 3, "nucleus": 9,
    }  # fmt: skip
    for name, most in (("greedy", 6), ("chat", 12), ("seeded", 8), ("other", 12), ("tokens", 2)):
        used, reason = bodies[name]["usage"]["completion_tokens"], bodies[name]["choices"][0]["finish_reason"]
        assert used == most if reason == "length" else used <= most
    assert bodies["seeded"]["choices"] == bodies["seeded again"]["choices"]
    assert bodies["nucleus"]["choices"] == bodies["greedy"]["choices"]

    text = bodies["other"]["choices"][0]["text"]
    stop = text[2:4]
    assert len(text) > 4
    given = write(tmp_path / "in.jsonl", [line("other", COMPLETION, prompt="Once upon a time", seed=6, stop=[stop])])
    done = batch(torch_python(), "--output", str(output), "--overwrite", *options)
    assert done.returncode == 0, done.stderr
    body = by_id(output)["other"]["response"]["body"]
    assert body["choices"][0] == {
        "index": 0, "text": text[: text.index(stop)], "logprobs": None, "finish_reason": "stop",
    }  # fmt: skip
    assert body["usage"]["completion_tokens"] < bodies["other"]["usage"]["completion_tokens"]


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.torch
def test_a_row_that_cannot_be_answered_takes_no_other_with_it(tmp_path: Path, decoder: str) -> None:
    """Batches overlap in engine openvino, so that what fails has rows of several beside it."""
    broken = {"r7", "r33"}  # their temperature leaves no probabilities
    requests = [
        line(f"r{n}", COMPLETION, prompt="x" * (1 + n % 30), max_tokens=1 + n % 12,
             temperature=1e-300 if f"r{n}" in broken else 0)
        for n in range(60)
    ]  # fmt: skip
    output = tmp_path / "out.jsonl"
    done = batch(
        openvino_python(), "--output", str(output), "--format", "openai", "--model", decoder, "--task", "generate",
        "--input", write(tmp_path / "in.jsonl", requests), "--new-tokens", "12", "--engine", "openvino",
        "--dtype", "fp32", "--batch-size", "4", "--input-tokens", "64", "--no-check",
    )  # fmt: skip
    assert "2 items given up" in done.stderr
    assert set(by_id(output)) == {request["custom_id"] for request in requests} - broken
    dead = rows_of(Path(f"{output}.dead.jsonl"))
    assert {letter["id"] for letter in dead} == broken


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.torch
def test_embeddings_are_vectors_of_every_input_and_errors_stand_among_them(tmp_path: Path) -> None:
    python = torch_python()
    requests = [
        line("one", EMBEDDING, input="A broken valve was replaced at night."),
        line("two", EMBEDDING, input=["The night crew exchanged a faulty valve.", "Call me Ishmael."]),
        line("base64", EMBEDDING, input="A broken valve was replaced at night.", encoding_format="base64"),
        line("none", EMBEDDING, input=[]),
    ]
    output = tmp_path / "out.jsonl"
    done = batch(
        python, "--format", "openai", "--input", write(tmp_path / "in.jsonl", requests), "--output", str(output),
        "--model", minilm(python), "--engine", "eager", "--dtype", "fp32", "--batch-size", "2", "--input-tokens", "32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = by_id(output)
    assert {name: row["response"]["status_code"] for name, row in rows.items()} == {
        "one": 200, "two": 200, "base64": 200, "none": 400,
    }  # fmt: skip
    (one,) = (part["embedding"] for part in rows["one"]["response"]["body"]["data"])
    same, other = (part["embedding"] for part in rows["two"]["response"]["body"]["data"])
    assert sum(a * b for a, b in zip(one, same, strict=True)) > 0.6
    assert sum(a * b for a, b in zip(one, other, strict=True)) < 0.3
    assert isinstance(rows["base64"]["response"]["body"]["data"][0]["embedding"], str)
    assert rows["one"]["response"]["body"]["usage"]["prompt_tokens"] == 10


@pytest.mark.parametrize(("options", "said"), [
    (("--task", "classify"), "--format openai goes with --task generate or embed"),
    (("--id-field", "x"), "--id-field and --format openai exclude each other"),
    (("--output", "-"), "OpenAI's batch files are JSON lines"),
    (("--output", "x.parquet"), "OpenAI's batch files are JSON lines"),
])  # fmt: skip
def test_what_does_not_go_with_requests_is_said_before_anything(
    tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    given = write(tmp_path / "in.jsonl", [line("a", EMBEDDING, input="x")])
    words = {"--output": str(tmp_path / "out.jsonl"), **dict(zip(options[::2], options[1::2], strict=True))}
    flat = [word for pair in words.items() for word in pair]
    done = batch("python3", "--format", "openai", "--input", given, "--model", "random:bert-tiny", *flat)
    assert done.returncode == 2
    assert said in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl"]
