"""`ipexlaunch serve` in real four-node Linux: servers behind HAProxy are in their slots after a load and a kill."""

from __future__ import annotations

from typing import Any

import pytest

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.findings import view_of
from tests.guest.serve_view import KILLED, PROXY_CPUS, RATE, SECONDS, SHAPE

MOST_S = 900.0
"""Half a minute where nobody else works."""

pytestmark = [pytest.mark.guest, pytest.mark.proxy, pytest.mark.slow]


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    found = view_of("serve_view", SHAPE, MOST_S)
    assert found["status"] == 0, (found.get("problem"), found["log"])
    return found


def test_every_thread_and_the_pages_of_every_server_are_in_its_slot_after_the_load(seen: dict[str, Any]) -> None:
    instances = seen["report"]["instances"]
    assert [node for each in instances for node in parse_list(each["nodes"])] == [0, 1, 2, 3]
    for instance, server in zip(instances, seen["servers"], strict=True):
        planned = parse_list(instance["cpus"])
        assert planned <= SHAPE.online_of_node(int(instance["nodes"]))
        for thread in server["threads"]:
            assert set(thread["cpus"]) == planned
            assert thread["last_cpu"] in planned
        pages = server["anonymous_pages"]
        assert pages[instance["nodes"]] >= 0.95 * sum(pages.values())


def test_the_proxy_is_on_its_own_cores(seen: dict[str, Any]) -> None:
    assert seen["proxy"]
    for thread in seen["proxy"]:
        assert set(thread["cpus"]) == PROXY_CPUS
        assert thread["last_cpu"] in PROXY_CPUS


def test_no_request_fails_and_those_of_every_slot_are_counted(seen: dict[str, Any]) -> None:
    sent = int(RATE * SECONDS)
    assert seen["answers"].keys() == {f"slot{index}" for index in range(4)}
    assert sum(seen["answers"].values()) == sent
    counted = {f"slot{each['index']}": each["items"] for each in seen["report"]["instances"]}
    assert counted == seen["answers"]


def test_only_the_killed_server_was_started_again_and_the_report_is_valid(seen: dict[str, Any]) -> None:
    changed = [slot for slot in range(4) if seen["before"][slot] != seen["after"][slot]]
    assert changed == [KILLED]
    report = seen["report"]
    assert (report["valid"], report["reasons"]) == (True, [])
    assert report["service"]["restarts"] == {str(KILLED): 1}
    assert not report["service"].get("strays")
