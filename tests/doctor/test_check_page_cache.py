"""Where the page cache holds a model: the good and the bad case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.doctor.host_facts import CachedFile
from ipexlaunch.doctor.host_files_read import Unavailable
from tests.doctor.hosts import answer, answers, machine


def cached(by_node: dict[int, int], asked: int = 100, path: str = "/m/a b", size_bytes: int = 409600) -> CachedFile:
    return CachedFile(
        path=path, size_bytes=size_bytes, asked_pages=asked, cached_pages=sum(by_node.values()), pages_by_node=by_node
    )


@pytest.mark.parametrize(
    ("by_node", "severity"),
    [
        ({0: 50, 1: 50}, "ok"),
        ({0: 60, 1: 40}, "ok"),
        ({0: 100}, "warning"),
        ({1: 90, 0: 10}, "warning"),
        ({2: 100}, "warning"),
        ({}, "note"),
    ],
)
def test_pages_on_one_node_are_remote_for_the_workers_of_the_others(by_node: dict[int, int], severity: str) -> None:
    assert answer("page-cache", models=(cached(by_node),)).severity == severity


def test_the_warning_names_the_node_the_workers_and_a_line_that_drops_the_pages() -> None:
    found = answer("page-cache", models=(cached({0: 100}),))
    assert found.message.startswith("100% of the cached pages lie on node 0: workers on node 1 ")
    assert found.command == "dd if='/m/a b' iflag=nocache count=0 status=none"
    assert "100 of 100 pages asked are cached (100%); numa_maps: N0=100" in found.evidence[0].value


def test_large_files_weigh_more_than_small_ones() -> None:
    large, small = cached({0: 100}, size_bytes=1 << 33), cached({1: 100}, size_bytes=1 << 20)
    assert answer("page-cache", models=(large, small)).severity == "warning"


def test_on_one_node_every_page_is_local() -> None:
    one = machine(cpus=tuple(replace(cpu, node=0) for cpu in machine().cpus), nodes=machine().nodes[:1])
    assert answer("page-cache", models=(cached({0: 100}),), topology=one).severity == "ok"


def test_workers_of_one_node_are_told_when_the_pages_lie_on_another() -> None:
    half = machine(allowed_cpus=frozenset(range(4)))
    assert answer("page-cache", models=(cached({0: 100}),), topology=half).severity == "ok"
    assert answer("page-cache", models=(cached({1: 100}),), topology=half).severity == "warning"


def test_a_file_that_could_not_be_asked_is_unknown_beside_the_others() -> None:
    found = answers(
        "page-cache", models=(Unavailable("/m/x", "it cannot be opened (Permission denied)"), cached({0: 50, 1: 50}))
    )
    assert [finding.severity for finding in found] == ["unknown", "ok"]


def test_empty_files_and_silent_kernels_are_told_apart() -> None:
    empty = CachedFile(path="/m/a", size_bytes=0, asked_pages=0, cached_pages=0, pages_by_node={})
    assert answer("page-cache", models=(empty,)).severity == "note"
    silent = CachedFile(path="/m/a", size_bytes=4096, asked_pages=1, cached_pages=1, pages_by_node={})
    assert answer("page-cache", models=(silent,)).severity == "unknown"


def test_only_unreadable_files_are_only_unknown() -> None:
    assert answer("page-cache", models=(Unavailable("/m/x", "it is not a regular file"),)).severity == "unknown"


def test_no_model_named_is_said() -> None:
    found = answer("page-cache", models=())
    assert (found.severity, found.command) == ("note", "ipexlaunch doctor --model PATH")
