"""A few runs of each fault; `python -m tests.faults --count 50` is the campaign whose table is in docs/faults.md."""

import os
import random
from pathlib import Path

import pytest

from tests.batch.hanging_disk import hanging_disk
from tests.faults.campaign import FAULTS, RUN_S, may_mount, suffer

pytestmark = pytest.mark.process

COUNT = int(os.environ.get("IPEXLAUNCH_FAULTS", "2"))


@pytest.mark.parametrize("name", FAULTS)
def test_after_a_fault_nothing_is_left_and_the_exit_code_and_report_are_right(name: str, tmp_path: Path) -> None:
    fault = FAULTS[name]
    if fault.needs_log_disk and not may_mount():
        pytest.skip("only root may mount a small disk to fill")
    if fault.hanging:
        with hanging_disk(tmp_path / "disk") as disk:
            if disk is None:
                pytest.skip("bindfs is not installed, or nothing may be mounted here")
    for _ in range(COUNT):
        moment = random.uniform(0.0, 1.5 * RUN_S)
        assert suffer(fault, moment).problems == [], f"at {moment:.3f} s"
