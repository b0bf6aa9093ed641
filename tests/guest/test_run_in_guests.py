"""`ipexlaunch run` in real multi-node Linux: workers and their children are where the plan says, or it says why not."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ipexlaunch.machine.cpulist import parse_list
from tests.guest.driver import POLICY_SHAPES
from tests.guest.findings import Findings
from tests.guest.scenarios import SHARED_OUT_MIB, WEIGHTS, WORKER_MIB, allowed_cpus, nearest_memory
from tests.guest.shape import SHAPES
from tests.guest.test_binding_in_guests import EVEN_WITHIN, PAGES_PER_MIB, free_shapes, knows_weights, refusing_shapes

pytestmark = pytest.mark.guest

REQUEST_ERROR = 2


def report(ran: dict[str, Any]) -> dict[str, Any]:
    assert ran["status"] == 0, ran["stderr"]
    written: dict[str, Any] = ran["report"]
    return written


def pairs(ran: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each instance of the report with what its worker saw of itself."""
    instances = report(ran)["instances"]
    assert sorted(ran["workers"], key=int) == [str(instance["index"]) for instance in instances]
    return [(instance, ran["workers"][str(instance["index"])]) for instance in instances]


def memory_warnings(ran: dict[str, Any]) -> list[str]:
    """Without those about speed, of which a guest says nothing true."""
    return [warning for warning in report(ran)["warnings"] if "memory" in warning]


def node_of(findings: Findings, cpus: frozenset[int]) -> int:
    """The one node that all these cpus are on."""
    (node,) = {cpu.node for cpu in findings.shape.cpus if cpu.id in cpus}
    return node


def test_the_run_is_valid_and_every_worker_counted(findings: Findings) -> None:
    written = report(findings["run"])
    assert (written["valid"], written["reasons"], written["failures"]) == (True, [], [])
    assert [(instance["items"], instance["exit"]) for instance in written["instances"]] == [(1, 0)] * len(
        written["instances"]
    )


def test_there_is_one_instance_on_each_node_with_allowed_cpus(findings: Findings) -> None:
    allowed = allowed_cpus(findings.shape)
    wanted = [node for node in findings.shape.cpu_nodes if findings.shape.online_of_node(node) & allowed]
    cpus = [parse_list(instance["cpus"]) for instance in report(findings["run"])["instances"]]
    assert sorted(node_of(findings, own) for own in cpus) == wanted
    assert frozenset().union(*cpus) <= allowed


def test_every_thread_of_worker_and_grandchild_may_run_on_the_planned_cpus_and_does(findings: Findings) -> None:
    for instance, worker in pairs(findings["run"]):
        planned = parse_list(instance["cpus"])
        for thread in worker["threads"] + worker.get("grandchild", {"threads": []})["threads"]:
            assert set(thread["cpus"]) == planned
            assert thread["last_cpu"] in planned


@free_shapes
def test_all_anonymous_pages_of_worker_and_grandchild_lie_on_the_planned_node(findings: Findings) -> None:
    for instance, worker in pairs(findings["run"]):
        nearest = nearest_memory(findings.shape, node_of(findings, parse_list(instance["cpus"])))
        assert (instance["memory"], instance["nodes"]) == ("bind", str(nearest))
        assert worker["anonymous_pages"].keys() == {str(nearest)}
        assert worker["anonymous_pages"][str(nearest)] >= WORKER_MIB * PAGES_PER_MIB
    assert "grandchild" in worker  # the last one's
    assert worker["grandchild"]["anonymous_pages"].keys() == {str(nearest)}


@free_shapes
def test_the_report_found_all_pages_local(findings: Findings) -> None:
    assert {instance["local_pages"] for instance in report(findings["run"])["instances"]} == {1.0}


@free_shapes
def test_the_lines_of_a_dry_run_place_a_worker_as_the_run_does(findings: Findings) -> None:
    assert findings["dry_run"]["status"] == 0, findings["dry_run"]["stderr"]
    workers = findings["run"]["workers"]
    assert len(findings["dry_run"]["stdout"].splitlines()) == len(workers)
    ran, worker = findings["dry_run"]["last"], workers[str(len(workers) - 1)]
    assert ran["status"] == 0, ran["stderr"]
    by_numactl = json.loads(ran["stdout"])
    assert by_numactl["anonymous_pages"].keys() == worker["anonymous_pages"].keys()
    assert [thread["cpus"] for thread in by_numactl["threads"]] == [thread["cpus"] for thread in worker["threads"]]


@pytest.mark.parametrize("findings", POLICY_SHAPES, indirect=True)
@pytest.mark.parametrize("policy", ["preferred", "interleave", "weighted-interleave"])
def test_pages_lie_where_the_kernel_documents_for_each_policy(findings: Findings, policy: str) -> None:
    ran = findings["run_policies"][policy]
    ((instance, worker),) = pairs(ran)
    if policy == "weighted-interleave" and not knows_weights(findings):
        assert (instance["memory"], len(memory_warnings(ran))) == ("interleave", 1)
        return
    assert (instance["memory"], memory_warnings(ran)) == (policy, [])
    shares = {"preferred": (1.0, 0.0), "interleave": (0.5, 0.5)}.get(policy) or [w / sum(WEIGHTS) for w in WEIGHTS]
    pages = worker["anonymous_pages"]
    assert sum(pages.values()) >= SHARED_OUT_MIB * PAGES_PER_MIB
    for node, share in enumerate(shares):
        assert abs(pages.get(str(node), 0) / sum(pages.values()) - share) < EVEN_WITHIN, pages


@pytest.mark.parametrize("findings", ["cpuset"], indirect=True)
def test_inside_a_cpuset_nothing_outside_it_is_planned_or_used(findings: Findings) -> None:
    assert parse_list(SHAPES["cpuset"].cpuset_cpus) < SHAPES["cpuset"].online
    for instance, worker in pairs(findings["run"]):
        assert parse_list(instance["cpus"]) <= parse_list(SHAPES["cpuset"].cpuset_cpus)
        assert set(worker["anonymous_pages"]) <= set(map(str, parse_list(SHAPES["cpuset"].cpuset_mems)))


@refusing_shapes
def test_where_memory_policy_is_refused_the_run_goes_on_and_reports_memory_as_not_bound(findings: Findings) -> None:
    instances, warnings = report(findings["run"])["instances"], memory_warnings(findings["run"])
    assert {(instance["memory"], instance["nodes"]) for instance in instances} == {("none", "")}
    assert len(warnings) == len(instances)
    for warning in warnings:
        assert "memory is not bound as planned" in warning
        assert "Operation not permitted" in warning


@refusing_shapes
def test_where_memory_policy_is_refused_strict_is_an_error_of_one_line_and_nothing_runs(findings: Findings) -> None:
    ran = findings["run_strict"]
    assert (ran["status"], ran["workers"]) == (REQUEST_ERROR, {})
    lines = [line for line in ran["stderr"].splitlines() if "cannot" in line]
    assert len(lines) == 1
    for part in ("cannot bind memory", "Operation not permitted", "--strict", "CAP_SYS_NICE"):
        assert part in lines[0]
    assert "Traceback" not in ran["stderr"]
