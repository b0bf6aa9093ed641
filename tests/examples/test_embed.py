"""examples/embed.py: the main job, on the real model, in the environment with the `ipex` extra."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.examples.run_examples import ROOT, check_report, ipex_python, launch, run

EMBED = "examples/embed.py"


@pytest.mark.ipex
@pytest.mark.process
@pytest.mark.slow
def test_alone_it_embeds_and_its_vectors_are_right() -> None:
    done = run(ipex_python(), EMBED, "--seconds", "1")
    assert done.returncode == 0, done.stderr
    values = re.search(r"paraphrases (\S+), unrelated (\S+), (bf16|IPEX) differs from fp32 by (\S+);", done.stdout)
    assert values, done.stdout
    paraphrases, unrelated, difference = (float(values[group]) for group in (1, 2, 4))
    assert paraphrases > 0.6 > 0.3 > unrelated
    # 0 would mean that nothing ran in bfloat16, which IPEX has from AVX-512 on.
    assert 0 < difference < 0.02 if values[3] == "bf16" else difference < 1e-4


@pytest.mark.ipex
@pytest.mark.process
@pytest.mark.slow
def test_under_ipexlaunch_it_gives_a_valid_report_of_local_pinned_workers(tmp_path: Path) -> None:
    document = launch(tmp_path, "--python", ipex_python(), EMBED, "--seconds", "3")
    check_report(document)
    assert document["throughput"]["tokens"] > document["throughput"]["items"] > 100
    for instance in document["instances"]:
        assert instance["local_pages"] is None or instance["local_pages"] > 0.95
        # All of the model's weights are there, 90 MB in fp32, and half of it or all of it again.
        assert instance["peak_memory_bytes"] > 135e6


@pytest.mark.ipex
@pytest.mark.process
@pytest.mark.slow
def test_wrong_vectors_end_it_with_a_message(tmp_path: Path) -> None:
    copy = tmp_path / "embed.py"
    text = (ROOT / EMBED).read_text()
    spoilt = text.replace("return torch.nn.functional.normalize(", "return torch.ones_like(").replace(", dim=1)", ")")
    assert spoilt != text
    copy.write_text(spoilt)
    (tmp_path / "sentences.txt").write_text("One sentence.\n")
    done = run(ipex_python(), str(copy), "--seconds", "1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("embed.py: wrong vectors: paraphrases")


def test_it_is_shorter_than_sixty_lines() -> None:
    assert len((ROOT / EMBED).read_text().splitlines()) < 60


def test_without_its_packages_it_says_which_command_installs_them() -> None:
    done = run(sys.executable, "-S", EMBED)  # -S: no site-packages
    assert done.returncode == 1
    assert done.stderr == (
        "embed.py: No module named 'torch'; `make env-ipex` makes .venv-ipex, which has everything\n"
    )
