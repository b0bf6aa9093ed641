"""An independent script computes the same figures from the raw events."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.page.made_runs import keep_made_run

ROOT = Path(__file__).parents[2]
KEPT = ROOT / "tests/report/kept_runs/version-1"


def recompute(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(ROOT / "tools/recompute.py"), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_real_run_agrees() -> None:
    result = recompute(KEPT)
    assert (result.returncode, result.stdout.splitlines()[-1]) == (0, "agrees with the report to 0.1%")
    assert "throughput.steady" in result.stdout
    assert "latency_ms.p99" in result.stdout


@pytest.mark.parametrize("instances", [1, 4, 64])
def test_made_runs_agree(tmp_path: Path, instances: int) -> None:
    keep_made_run(tmp_path / "run", "8s 1n 28c 2t", instances, seconds=7, seed=instances)
    result = recompute(tmp_path / "run")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("key", ["makespan", "steady", "naive_sum", "p50", "p90", "p99"])
def test_a_figure_that_is_off_by_two_thousandths_is_found(tmp_path: Path, key: str) -> None:
    shutil.copytree(KEPT, tmp_path / "run")
    path = tmp_path / "run/report.json"
    report = json.loads(path.read_text())
    section = "latency_ms" if key.startswith("p") else "throughput"
    report[section][key] *= 1.002
    path.write_text(json.dumps(report))
    result = recompute(tmp_path / "run")
    assert result.returncode == 1
    assert f"{section}.{key}: the report says" in result.stdout


def test_the_page_shows_what_the_model_prints() -> None:
    printed = subprocess.run(
        [sys.executable, "-I", str(ROOT / "benchmarks/naive_sum.py")], capture_output=True, text=True, check=True
    ).stdout
    assert f"```text\n{printed}```" in (ROOT / "docs/report.md").read_text(encoding="utf-8")
