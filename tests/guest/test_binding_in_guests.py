"""Binding in real multi-node Linux: threads stay on the given cpus and pages lie where the kernel documents."""

from __future__ import annotations

import json

import pytest

from ipexlaunch.machine.cpulist import format_list
from tests.guest.findings import Findings
from tests.guest.scenarios import Scenario, scenarios
from tests.guest.shape import SHAPES

pytestmark = pytest.mark.guest

PAGES_PER_MIB = 256
EVEN_WITHIN = 0.01
"""Interleave goes on from the page where the last mapping left off, and single mappings are small or odd."""

FREE = [name for name, shape in SHAPES.items() if not shape.refuse_memory_policy]
free_shapes = pytest.mark.parametrize("findings", FREE, indirect=True)
refusing_shapes = pytest.mark.parametrize("findings", sorted(SHAPES.keys() - set(FREE)), indirect=True)


def knows_weights(findings: Findings) -> bool:
    major, minor = findings["kernel"]["release"].split(".")[:2]
    return (int(major), int(minor)) >= (6, 9)


def chosen(findings: Findings, *policies: str) -> list[Scenario]:
    return [scenario for scenario in scenarios(findings.shape) if scenario.policy in policies]


def test_every_thread_may_run_on_the_bound_cpus_and_does(findings: Findings) -> None:
    for scenario in scenarios(findings.shape):
        threads = findings["bound"][scenario.name]["worker"]["threads"]
        assert len(threads) == 3
        for thread in threads:
            assert set(thread["cpus"]) == scenario.cpus, scenario.name
            assert thread["last_cpu"] in scenario.cpus, scenario.name


@free_shapes
def test_all_anonymous_pages_of_a_bound_worker_lie_on_its_node(findings: Findings) -> None:
    for scenario in chosen(findings, "bind"):
        pages = findings["bound"][scenario.name]["worker"]["new_pages"]
        assert pages.keys() == {str(scenario.nodes[0])}, scenario.name
        assert sum(pages.values()) >= scenario.mib * PAGES_PER_MIB


@free_shapes
def test_numactl_places_threads_and_pages_alike(findings: Findings) -> None:
    ((name, ran),) = findings["bound_by_numactl"].items()
    assert ran["status"] == 0, ran["stderr"]
    ours, theirs = findings["bound"][name]["worker"], json.loads(ran["stdout"])
    assert ours["new_pages"].keys() == theirs["anonymous_pages"].keys()
    assert [thread["cpus"] for thread in ours["threads"]] == [thread["cpus"] for thread in theirs["threads"]]


@free_shapes
def test_pages_that_fit_the_preferred_node_lie_there(findings: Findings) -> None:
    for scenario in chosen(findings, "preferred"):
        pages = findings["bound"][scenario.name]["worker"]["new_pages"]
        assert pages.keys() == {str(scenario.nodes[0])}, scenario.name


@free_shapes
def test_interleave_and_weights_are_kept(findings: Findings) -> None:
    for scenario in chosen(findings, "interleave", "weighted-interleave"):
        ran = findings["bound"][scenario.name]
        if scenario.policy == "weighted-interleave" and not knows_weights(findings):
            assert ran["memory"] == "interleave"
            assert ran["refused"].startswith("weighted-interleave")
            continue
        assert ran["memory"] == scenario.policy
        pages = ran["worker"]["new_pages"]
        assert sorted(map(int, pages)) == list(scenario.nodes)
        for node, share in scenario.shares.items():
            assert abs(pages[str(node)] / sum(pages.values()) - share) < EVEN_WITHIN, (scenario.name, pages)


@free_shapes
def test_the_binding_that_is_read_back_is_the_one_asked_for(findings: Findings) -> None:
    for scenario in chosen(findings, "bind", "preferred", "interleave"):
        ran = findings["bound"][scenario.name]
        assert (ran["memory"], ran["nodes"], ran["refused"]) == (scenario.policy, list(scenario.nodes), "")
        assert ran["cpus"] == format_list(scenario.cpus)


@refusing_shapes
def test_where_memory_policy_is_refused_the_cpus_are_pinned_and_the_reason_is_told(findings: Findings) -> None:
    for scenario in scenarios(findings.shape):
        ran = findings["bound"][scenario.name]
        assert (ran["memory"], ran["nodes"]) == ("none", [])
        assert "Operation not permitted" in ran["refused"]
        assert ran["cpus"] == format_list(scenario.cpus)


@refusing_shapes
def test_numactl_gives_up_where_memory_policy_is_refused(findings: Findings) -> None:
    for ran in findings["bound_by_numactl"].values():
        assert ran["status"] == 1
        assert "Operation not permitted" in ran["stderr"]
