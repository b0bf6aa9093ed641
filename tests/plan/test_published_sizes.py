"""Sizes of the public records, by what the instances run: on their own machines, and on small ones."""

from __future__ import annotations

import pytest

from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request, make_plan
from ipexlaunch.plan.published_sizes import PUBLISHED, WORKLOADS, Workload


def split(sentence: str, workload: Workload | None, reserve_cores: int = 0) -> str:
    request = Request(goal="throughput", workload=workload, reserve_cores=reserve_cores)
    plan = make_plan(synthetic_machine(sentence), request)
    sizes = {len(instance.cpus) for instance in plan.instances}
    return f"{len(plan.instances)}x{sizes.pop()}" if len(sizes) == 1 else "unequal"


@pytest.mark.parametrize(
    ("sentence", "workload", "wanted"),
    [
        ("2s 2n 43c 1t", "embed", "172x1"),
        ("2s 1n 60c 1t", "speech", "20x6"),
        ("2s 3n 40c 1t", "generate", "6x38"),
        ("1s 1n 2c 1t", "embed", "2x1"),
        ("1s 1n 4c 1t", "speech", "1x4"),
        ("1s 1n 4c 1t", "generate", "1x4"),
        ("2s 1n 28c 1t", None, "8x7"),
    ],
)
def test_instances_have_the_size_of_the_records(sentence: str, workload: Workload | None, wanted: str) -> None:
    assert split(sentence, workload) == wanted


def test_cores_that_are_reserved_already_are_not_left_twice() -> None:
    assert split("2s 3n 40c 1t", "generate", reserve_cores=2) == "6x38"
    assert split("2s 3n 40c 1t", "generate", reserve_cores=1) == "6x38"


def test_every_workload_has_its_source() -> None:
    assert set(PUBLISHED) == set(WORKLOADS)
    assert all("MLPerf v6.1" in rule.source for rule in PUBLISHED.values())
