"""Unlike nodes, and a container whose files lxcfs replaces, in a real kernel: all works, and every run is VALID."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.container_view import CPUSET, SHAPE, VIEWS
from tests.guest.findings import view_of

SECONDS = 1500.0
"""A minute where nobody else works."""

pytestmark = [pytest.mark.guest, pytest.mark.slow]


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    return view_of("container_view", SHAPE, SECONDS)


def valid(ran: dict[str, Any]) -> list[dict[str, Any]]:
    """The instances of a run that was VALID."""
    assert ran["status"] == 0, ran["stderr"]
    assert (ran["report"]["valid"], ran["report"]["reasons"]) == (True, [])
    instances: list[dict[str, Any]] = ran["report"]["instances"]
    assert sorted(ran["workers"], key=int) == [str(instance["index"]) for instance in instances]
    return instances


def test_three_nodes_of_4_3_and_1_cores_are_all_used(seen: dict[str, Any]) -> None:
    instances = valid(seen["unlike"])
    assert [instance["cpus"] for instance in instances] == ["0", "1", "2", "3", "4", "5", "6", "8"]
    assert [instance["nodes"] for instance in instances] == ["0"] * 4 + ["1"] * 3 + ["2"]
    assert "8 of 8 cores used (100 %), in 8 instances: nodes are unlike" in seen["unlike"]["stderr"]
    for instance in instances:
        worker = seen["unlike"]["workers"][str(instance["index"])]
        assert worker["anonymous_pages"].keys() == {instance["nodes"]}


@pytest.mark.parametrize("view", VIEWS)
def test_a_container_plans_the_cpus_that_it_may_use(seen: dict[str, Any], view: str) -> None:
    assert seen[view]["seen"] == VIEWS[view]
    assert seen[view]["topology"]["status"] == 0, seen[view]["topology"]["stderr"]
    document = json.loads(seen[view]["topology"]["stdout"])
    assert document["allowed_cpus"] == CPUSET
    assert {cpu["id"] for cpu in document["cpus"]} == parse_list(CPUSET)


@pytest.mark.parametrize("view", VIEWS)
def test_a_run_in_a_container_is_valid_and_placed(seen: dict[str, Any], view: str) -> None:
    [instance] = valid(seen[view]["run"])
    assert (instance["cpus"], instance["nodes"], instance["local_pages"]) == (CPUSET, "1", 1.0)
    [worker] = seen[view]["run"]["workers"].values()
    assert worker["anonymous_pages"].keys() == {"1"}
    assert seen[view]["run"]["stderr"].count("/proc/stat is this container's own (lxcfs)") == 1
    assert "other programs ran on" not in seen[view]["run"]["stderr"]


def test_a_batch_in_a_container_is_valid(seen: dict[str, Any]) -> None:
    batch = seen["cpuset"]["batch"]
    assert batch["status"] == 0, batch["stderr"]
    assert len(batch["rows"]) == 20


@pytest.mark.parametrize("view", VIEWS)
def test_the_doctor_in_a_container_calls_nothing_offline_and_no_load_the_hosts(seen: dict[str, Any], view: str) -> None:
    doctor = seen[view]["doctor"]
    assert doctor["status"] == 0, doctor["stderr"]
    findings = {finding["check"]: finding for finding in json.loads(doctor["stdout"])["findings"]}
    assert findings["offline-cpus"]["severity"] == "ok"
    assert findings["other-load"]["severity"] == findings["stolen-time"]["severity"] == "unknown"
    assert findings["allowed-cpus"]["message"].startswith("3 cpus of the host's 12 may be used")
