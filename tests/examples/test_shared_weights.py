"""examples/shared_weights.py: one copy of a model's weights for all workers of a node."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.run_examples import check_report, instances_that_fit, launch, run
from tests.models.run.environments import ENVIRONMENTS

SCRIPT = "examples/shared_weights.py"
TOLD = re.compile(r"43 MiB of weights, (?P<own>[0-9.]+) MiB of its own; answers as loaded alone; [0-9.]+ sentences/s")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("python", ENVIRONMENTS)
def test_workers_take_little_memory_of_their_own_and_a_script_alone_does_the_same(
    python: Callable[[], str], tmp_path: Path
) -> None:
    logs = tmp_path / "logs"
    words = ["--python", python(), "--memory-allocator", "default", "--log-dir", str(logs), SCRIPT, "--seconds", "2"]
    check_report(launch(tmp_path, *words))
    told = [TOLD.search(path.read_text()) for path in logs.rglob("*") if path.is_file()]
    own = [float(found["own"]) for found in told if found]
    assert len(own) == instances_that_fit()
    assert min(own) < 0.15 * 43
    alone = run(python(), SCRIPT, "--seconds", "1")
    assert alone.returncode == 0, alone.stderr
    assert TOLD.search(alone.stdout)
