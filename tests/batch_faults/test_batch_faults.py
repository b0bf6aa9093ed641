"""Two jobs under some faults; `python -m tests.batch_faults --faults 1000` is the campaign."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.batch_faults.torment import torment

pytestmark = pytest.mark.process

FAULTS = int(os.environ.get("IPEXLAUNCH_BATCH_FAULTS", "8"))


@pytest.mark.parametrize("poison", [False, True])
def test_whatever_strikes_each_item_ends_in_one_place(tmp_path: Path, poison: bool) -> None:
    job = torment(tmp_path, FAULTS, poison)
    assert job.problems == []
    assert job.suffered.total() > 0  # it may come to its end before all have struck
