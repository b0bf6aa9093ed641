"""`ipexlaunch doctor` in real multi-node Linux: what the shape was made with is what it finds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.guest.doctor_section import MODEL, MODEL_PAGES, model_node
from tests.guest.findings import Findings
from tests.guest.scenarios import allowed_cpus

pytestmark = pytest.mark.guest


def found(findings: Findings, check: str) -> dict[str, Any]:
    [finding] = [finding for finding in findings["doctor"] if finding["check"] == check]
    result: dict[str, Any] = finding
    return result


def test_nothing_that_the_checks_read_is_missing_or_malformed_in_a_real_kernel(findings: Findings) -> None:
    assert [finding for finding in findings["doctor"] if finding["severity"] == "unknown"] == []


def test_the_pages_of_a_model_are_found_on_the_node_where_they_were_written(findings: Findings) -> None:
    page_cache = found(findings, "page-cache")
    [[path, seen]] = page_cache["evidence"]
    assert path == str(MODEL)
    assert f"{MODEL_PAGES} of {MODEL_PAGES} pages asked are cached (100%)" in seen
    assert seen.endswith(f"numa_maps: N{model_node(findings.shape)}={MODEL_PAGES}")
    assert page_cache["severity"] == "warning"  # every shape has workers on another node


def test_a_filter_that_refuses_memory_policy_is_a_problem_and_named(findings: Findings) -> None:
    policy = found(findings, "memory-policy")
    assert policy["severity"] == ("problem" if findings.shape.refuse_memory_policy else "ok")
    if findings.shape.refuse_memory_policy:
        assert ["/proc/self/status", "Seccomp: 2 (a filter)"] in policy["evidence"]
        assert "Operation not permitted" in policy["evidence"][0][1]


def test_nodes_without_memory_or_without_cpus_are_told_apart(findings: Findings) -> None:
    expected = "warning" if findings.shape.memoryless else "note" if findings.shape.memory_only_mib else "ok"
    assert found(findings, "memoryless-nodes")["severity"] == expected


def test_offline_cpus_are_counted(findings: Findings) -> None:
    offline = found(findings, "offline-cpus")
    assert offline["severity"] == ("warning" if findings.shape.offline else "ok")
    if findings.shape.offline:
        assert offline["message"].startswith(f"{len(findings.shape.offline)} cpus of {len(findings.shape.cpus)}")


def test_a_cpuset_is_a_note_with_its_count(findings: Findings) -> None:
    allowed = found(findings, "allowed-cpus")
    if findings.shape.cpuset_cpus:
        ours, online = len(allowed_cpus(findings.shape)), len(findings.shape.online)
        assert allowed["severity"] == "note"
        assert allowed["message"].startswith(f"{ours} of {online} online cpus may be used")
    else:
        assert allowed["severity"] == "ok"


def test_smt_is_as_the_shape_was_made(findings: Findings) -> None:
    assert found(findings, "smt")["severity"] == ("note" if findings.shape.threads > 1 else "ok")
