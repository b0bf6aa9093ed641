"""`ipexlaunch batch --model`: the built-in worker gives every text its own right answer, in whatever batch it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.batch.check_results import rows_of
from tests.examples.run_examples import ROOT, ipex_python, run, torch_python
from tests.models.run.environments import minilm, openvino_python

CHECKED = ("A broken valve was replaced at night.", "The night crew exchanged a faulty valve.", "Call me Ishmael.")


def batch(python: str, *options: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "-m", "ipexlaunch", "batch", "--ninstances", "1", "--python", python, *options)


def product(one: Sequence[float], two: Sequence[float]) -> float:
    return sum(left * right for left, right in zip(one, two, strict=True))


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.ipex
def test_sentences_get_the_vectors_that_their_meaning_has(tmp_path: Path) -> None:
    python = ipex_python()
    sentences = (ROOT / "examples/sentences.txt").read_text(encoding="utf-8").splitlines()[:40]
    texts = [*sentences, *CHECKED, "", "word " * 500, CHECKED[0]]
    given, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    given.write_text("".join(json.dumps({"key": f"k{n}", "text": text}) + "\n" for n, text in enumerate(texts)))
    done = batch(
        python, "--input", str(given), "--output", str(output), "--id-field", "key", "--text-field", "text",
        "--model", minilm(python), "--engine", "ipex", "--dtype", "fp32", "--batch-size", "8", "--input-tokens", "64",
        "--keep-order",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(output)
    assert [row["id"] for row in rows] == [f"k{n}" for n in range(len(texts))]
    vectors = [row["result"] for row in rows]
    assert {len(vector) for vector in vectors} == {384}
    assert all(product(vector, vector) == pytest.approx(1, abs=1e-4) for vector in vectors)
    first, same, other = vectors[40:43]
    assert product(first, same) > 0.6
    assert product(first, other) < 0.3
    # The same text in another batch, beside others and padded otherwise.
    assert product(first, vectors[-1]) > 0.999
    assert "cut_texts 1" in done.stderr


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.torch
def test_a_model_is_checked_and_calibrated_on_the_inputs_own_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python, own = torch_python(), tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))
    sentences = (ROOT / "examples/sentences.txt").read_text(encoding="utf-8").splitlines()[:20]
    given, output, report = tmp_path / "in.jsonl", tmp_path / "out.jsonl", tmp_path / "report.json"
    given.write_text("".join(json.dumps({"body": text}) + "\n" for text in sentences))
    words = (
        "--input", str(given), "--output", str(output), "--text-field", "body", "--model", minilm(python),
        "--engine", "openvino", "--dtype", "int8-calibrated", "--force-dtype", "--batch-size", "4",
        "--input-tokens", "32", "--cache-dir", str(tmp_path / "cache"), "--min-cosine", "0.9",
    )  # fmt: skip
    done = batch(python, *words, "--report", str(report), "--no-progress")
    assert done.returncode == 0, done.stderr
    facts = json.loads(report.read_text())["facts"]
    assert facts["text"] == facts["calibrated_on"] == f"the first 20 texts of {given}"
    assert facts["bound"] == {"cosine": 0.9}
    assert facts["check"]["cosine"] >= 0.9
    assert len(rows_of(output)) == 20
    # The texts are no part of what the job is: it can be gone on with from anywhere, and nothing is left of them.
    assert not list(own.glob("ipexlaunch-texts-*"))
    again = batch(python, *words, "--resume")
    assert again.returncode == 0, again.stderr


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.parametrize("engine", ["eager", "openvino"])  # in whole batches, and row by row
def test_prompts_are_continued_alike_alone_and_beside_others(tmp_path: Path, engine: str) -> None:
    python = openvino_python() if engine == "openvino" else torch_python()
    (tmp_path / "in.txt").write_text("Once upon a time\nthere\n" + "was a long prompt " * 9 + "\nOnce upon a time\n")
    done = batch(
        python, "--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl"), "--keep-order",
        "--model", "random:llama-15m", "--task", "generate", "--new-tokens", "5", "--engine", engine,
        "--dtype", "fp32", "--batch-size", "3", "--input-tokens", "32",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [row["result"] for row in rows_of(tmp_path / "out.jsonl")]
    assert [result["tokens"] for result in results] == [len(result["ids"]) for result in results]
    assert results[0] == results[3]
    assert max(result["tokens"] for result in results) == 5


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.torch
def test_a_job_goes_on_with_the_numbers_it_began_with(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_bytes(b"one\ntwo\n\xff\xfe\nfour\n")
    words = ("--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl"), "--model",
             "random:bert-tiny", "--batch-size", "2", "--input-tokens", "16")  # fmt: skip
    # The bad line ends it; engine eager in bf16 is nothing that a measurement would choose.
    began = batch(torch_python(), *words, "--engine", "eager", "--dtype", "bf16", "--force-dtype")
    assert began.returncode == 4, began.stderr
    other = batch(torch_python(), *words, "--engine", "eager", "--dtype", "fp32", "--resume", "--no-cache")
    assert other.returncode == 2
    assert "is not the same any more" in other.stderr
    done = batch(torch_python(), *words, "--resume", "--on-bad-line", "dead-letter")
    assert "eager bf16: what the job began with" in done.stderr
    assert "measuring" not in done.stderr
    assert "1 item given up" in done.stderr
    assert sorted(row["number"] for row in rows_of(tmp_path / "out.jsonl")) == [0, 1, 3]


@pytest.mark.process
def test_a_model_and_a_program_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    files = ("--input", str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.jsonl"))
    for more in ((), ("--model", "random:llama-15m", "program.py")):
        done = batch(sys.executable, *files, *more)
        assert done.returncode == 2
        assert "give either a PROGRAM or --model" in done.stderr
