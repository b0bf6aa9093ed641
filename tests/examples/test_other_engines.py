"""The folders of examples/: other engines' libraries and programs, placed and measured as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT, check_report, launch, peers_python, run

FOLDERS = sorted(path for path in (ROOT / "examples").iterdir() if (path / "README.md").is_file())

REGEX = r'(?P<item>"n_gen"): (?P<tokens>\d+)'


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_says_what_it_needs_and_shows_a_valid_run(folder: Path) -> None:
    assert (folder / "requirements.txt").is_file()
    page = (folder / "README.md").read_text(encoding="utf-8")
    assert "(requirements.txt)" in page
    assert "\nVALID\n```" in page
    for file in folder.iterdir():
        assert file.name == "README.md" or f"({file.name})" in page or file.name == "__pycache__"


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("name", ["onnxruntime", "ctranslate2"])
def test_a_library_stays_on_its_cpus_where_it_is_told_its_threads(tmp_path: Path, name: str) -> None:
    python, model = peers_python(), str(tmp_path / "model")
    converted = run(python, f"examples/{name}/convert.py", model)
    assert converted.returncode == 0, converted.stdout + converted.stderr
    document = launch(tmp_path, "--python", python, f"examples/{name}/embed.py", model, "--seconds", "4")
    check_report(document)


@pytest.mark.process
@pytest.mark.slow
def test_a_plain_script_of_sentence_transformers_is_counted(tmp_path: Path) -> None:
    script = "examples/sentence-transformers/embed.py"
    document = launch(tmp_path, "--python", peers_python(), "--count-calls", script, "--seconds", "4")
    check_report(document)
    assert {each["facts"]["counted"] for each in document["instances"]} == {"SentenceTransformer"}
    assert "import ipexlaunch" not in (ROOT / script).read_text(encoding="utf-8")


@pytest.mark.process
@pytest.mark.slow
def test_llama_bench_is_counted_by_what_it_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python, model = peers_python(), str(tmp_path / "model.gguf")
    programs = str(Path(python).parent)
    if not os.access(f"{programs}/llama-bench", os.X_OK):
        pytest.skip(f"no {programs}/llama-bench; `make env-peers` builds it where there is a C++ compiler")
    made = run(python, "examples/llama-bench/make_model.py", model)
    assert made.returncode == 0, made.stdout + made.stderr
    monkeypatch.setenv("PATH", programs, prepend=os.pathsep)
    command = ("--no-python", "--throughput-regex", REGEX, "examples/llama-bench/bench.sh", model, "3")
    document = launch(tmp_path, *command)
    check_report(document)
    assert [each["items"] for each in document["instances"]] == [3] * len(document["instances"])
