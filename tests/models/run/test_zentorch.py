"""Engine torch with zentorch's passes, where the environment with torch has it; that of `make env-torch` has not.

No mark names it, for a required mark makes a skip an error: IPEXLAUNCH_TORCH_PYTHON=... runs it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipexlaunch.models.engines.candidate import floating
from ipexlaunch.models.engines.model_job import ModelJob
from tests.examples.run_examples import run, torch_python
from tests.models.run.environments import facts_of, phases_of, work, work_and_listen

pytestmark = [pytest.mark.process, pytest.mark.slow]

CANDIDATE = replace(floating("torch", "bf16"), backend="zentorch")


def has_zentorch(python: str) -> bool:
    """Whether an interpreter finds it."""
    return not run(python, "-c", "import importlib.util as u; assert u.find_spec('zentorch')").returncode


def test_its_program_is_compiled_once_and_gives_right_answers(tmp_path: Path) -> None:
    python = torch_python()
    if not has_zentorch(python):
        pytest.skip(f"{python} has no zentorch; `pip install zentorch` there installs it")
    job = ModelJob(
        model="random:bert-tiny",
        task="embed",
        candidate=CANDIDATE,
        batch_size=2,
        input_tokens=16,
        seconds=0.1,
        cache=str(tmp_path),
    )
    first, second = (work_and_listen(python, job) for _ in range(2))
    assert [facts_of(said)["cache"] for said in (first, second)] == ["miss", "hit"]
    assert "compiling" not in phases_of(second)
    assert facts_of(second)["candidate"] == "torch bf16 zentorch"
    assert facts_of(second)["versions"]["zentorch"]
    assert 0.995 < facts_of(second)["check"]["cosine"] < 1
    # torch's own program of the same model is another one.
    plain = facts_of(work_and_listen(python, replace(job, candidate=floating("torch", "bf16"))))
    assert plain["cache"] == "miss"
    assert plain["check"] != facts_of(second)["check"]


def test_where_it_was_taken_away_the_package_is_named() -> None:
    python = torch_python()
    if has_zentorch(python):
        pytest.skip(f"{python} has zentorch")
    done = work(python, ModelJob(model="random:bert-tiny", candidate=CANDIDATE))
    assert "has no zentorch; install it there with pip install zentorch" in done.stderr
    assert "Traceback" not in done.stderr
