"""How the tests of examples/ run them: alone, or under ipexlaunch with the report read back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.examples.status_channel import without_launcher

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 300.0


def ipex_python() -> str:
    """The interpreter with IPEX and the model; a skip without."""
    return _made_python("ipex")


def torch_python() -> str:
    """The interpreter with current torch, OpenVINO and the model; a skip without."""
    return _made_python("torch")


def light_python() -> str:
    """That with OpenVINO and without torch; a skip without."""
    return _made_python("light")


def peers_python() -> str:
    """The interpreter with other engines; a skip without."""
    return _made_python("peers")


def _made_python(name: str) -> str:
    """$IPEXLAUNCH_<NAME>_PYTHON, or the interpreter that `make env-<name>` made."""
    python = os.environ.get(f"IPEXLAUNCH_{name.upper()}_PYTHON", str(ROOT / f".venv-{name}/bin/python"))
    if not os.access(python, os.X_OK):
        pytest.skip(f"no {python}; `make env-{name}` makes it")
    return python


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository's folder, as from a shell that is not itself under ipexlaunch."""
    # Whoever else uses the host must not decide how a test ends (tests/conftest.py).
    environment = without_launcher(os.environ) | {"PYTHONPATH": str(ROOT), "IPEXLAUNCH_LOST_TIME": "1"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S
    )


def instances_that_fit() -> int:
    """2, or 1 on a machine with one core."""
    return 2 if run(sys.executable, "-m", "ipexlaunch", "plan", "--ninstances", "2").returncode == 0 else 1


def launch(tmp_path: Path, *words: str) -> dict[str, Any]:
    """Run `ipexlaunch --ninstances 2 words...`, and return the report that it wrote, after it ended with 0."""
    report = tmp_path / "report.json"
    count = str(instances_that_fit())
    done = run(sys.executable, "-m", "ipexlaunch", "--ninstances", count, "--report", str(report), *words)
    assert done.returncode == 0, done.stdout + done.stderr
    document: dict[str, Any] = json.loads(report.read_text())
    assert len(document["instances"]) == int(count)
    return document


def check_report(document: dict[str, Any]) -> None:
    """What must hold for every example's report: valid, work from everybody, one rate that is work over time."""
    assert document["valid"], document["reasons"]
    assert document["failures"] == []
    throughput = document["throughput"]
    assert all(instance["items"] > 0 and instance["exit"] == 0 for instance in document["instances"])
    assert throughput["items"] == sum(instance["items"] for instance in document["instances"])
    assert throughput["makespan"] == pytest.approx(throughput["items"] / throughput["seconds"], rel=0.01)
    cpus = [instance["cpus"] for instance in document["instances"]]
    assert len(set(cpus)) == len(cpus)
