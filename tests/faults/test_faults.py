"""A few runs of each fault; `python -m tests.faults --count 50` is the campaign, its table is in docs/developing.md."""

import os
import random
from pathlib import Path

import pytest

from tests.batch.hanging_disk import hanging_disk
from tests.faults.campaign import FAULTS, RUN_S, may_mount, suffer

pytestmark = pytest.mark.process

COUNT = int(os.environ.get("IPEXLAUNCH_FAULTS", "2"))


ALSO_SHARED = {
    "kill -9 of a worker": "imports",
    "kill -9 of the launcher": "model",
    "kill -9 of the guardian, then of the launcher": "imports",
    "SIGINT to the launcher": "model",
    "a script that forks daemons": "imports",
}
"""`python -m tests.faults --share-start model` strikes all."""


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


@pytest.mark.parametrize(("name", "share_start"), ALSO_SHARED.items())
def test_the_same_holds_where_workers_are_forked_from_one_process(name: str, share_start: str) -> None:
    moment = random.uniform(0.0, 1.5 * RUN_S)
    assert suffer(FAULTS[name], moment, share_start).problems == [], f"at {moment:.3f} s"
