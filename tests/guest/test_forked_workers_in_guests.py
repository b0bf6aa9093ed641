"""Workers that are forked, in real multi-node Linux: their memory is where the process they come from was bound."""

from __future__ import annotations

from typing import Any

import pytest

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.driver import ELSEWHERE, FORKED_SHAPE, OWN_MIB, SHARED_MIB
from tests.guest.findings import Findings

pytestmark = [pytest.mark.guest, pytest.mark.parametrize("findings", [FORKED_SHAPE], indirect=True)]


def report(findings: Findings, where: str) -> dict[str, Any]:
    ran = findings["run_forked"][where]
    assert ran["report"], ran["stderr"]
    written: dict[str, Any] = ran["report"]
    return written


def test_forked_on_their_own_node_all_are_valid_and_local(findings: Findings) -> None:
    written = report(findings, "home")
    assert (written["valid"], written["reasons"]) == (True, []), findings["run_forked"]["home"]["stderr"]
    assert not any("is not shared" in warning for warning in written["warnings"])
    assert all("sharing the start" in instance["phases_s"] for instance in written["instances"])
    for instance in written["instances"]:
        assert instance["local_pages"] >= 0.95
        memory = instance["placement"]["anonymous_bytes"]
        assert memory[instance["nodes"]] >= SHARED_MIB + OWN_MIB << 20


def test_every_thread_of_a_forked_worker_is_on_its_workers_cpus(findings: Findings) -> None:
    for written in (report(findings, "home"), report(findings, "elsewhere")):
        for instance in written["instances"]:
            threads = instance["facts"]["threads"]
            assert len(threads) == 3
            for thread in threads:
                assert set(thread["cpus"]) == parse_list(instance["cpus"])
                assert thread["last_cpu"] in thread["cpus"]


def test_forked_on_another_node_they_are_invalid_with_the_share_that_is_elsewhere(findings: Findings) -> None:
    written = report(findings, "elsewhere")
    assert (written["valid"], written["exit_code"]) == (False, 4)
    assert len(written["reasons"]) == 2
    for instance, reason in zip(written["instances"], written["reasons"], strict=True):
        assert "of its anonymous memory on node 0 (at least 95% wanted)" in reason
        assert instance["placement"]["anonymous_bytes"][str(ELSEWHERE)] >= SHARED_MIB << 20
