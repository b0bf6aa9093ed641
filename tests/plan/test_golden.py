"""Plans of the shipped machines are those that were reviewed (`python -m tests.plan.golden` writes them anew)."""

from __future__ import annotations

import pytest

from ipexlaunch.machine.probe.sources import shipped_machines
from tests.plan.golden import FOLDER, golden_text


@pytest.mark.parametrize("name", shipped_machines())
def test_plans_of_a_shipped_machine_are_those_that_were_reviewed(name: str) -> None:
    path = FOLDER / f"{name}.txt"
    assert path.exists(), f"no golden file for {name}; write it with: python -m tests.plan.golden"
    assert golden_text(name) == path.read_text(encoding="utf-8")


def test_every_golden_file_has_its_machine() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(shipped_machines())
