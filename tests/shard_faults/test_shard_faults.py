"""A job in shards under five faults; `python -m tests.shard_faults --faults 100` is the campaign."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.several_hosts.lab import missing, three_hosts
from tests.shard_faults.torment import torment

pytestmark = pytest.mark.process

FAULTS = int(os.environ.get("IPEXLAUNCH_SHARD_FAULTS", "5"))


def test_whatever_strikes_each_item_ends_in_one_place(tmp_path: Path) -> None:
    for name in ("lab", "data"):
        (tmp_path / name).mkdir()
    if missing():
        job = torment(tmp_path / "data", FAULTS, None, {}, 0)
    else:
        with three_hosts(tmp_path / "lab") as lab:
            job = torment(tmp_path / "data", FAULTS, lab, {}, 1)
    assert job.problems == []
    assert job.suffered.total() > 0
