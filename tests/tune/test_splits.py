"""The splits that are tried: legal plans, each once, and those that practice found best are among them."""

from __future__ import annotations

import pytest
from hypothesis import given

from ipexlaunch.errors import PlanError, RequestError
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan import Request, check_plan
from ipexlaunch.tune.next_step import starting_settings
from ipexlaunch.tune.space import Space, splits_of
from tests.strategies import topologies


def names(sentence: str, asked: Request | None = None, *, smt: bool = False) -> list[str]:
    found = splits_of(synthetic_machine(sentence), asked or Request())
    return [split.name for split in found if split.smt == smt]


@given(topologies(largest_sockets=2))
def test_every_split_keeps_the_plans_promises_and_none_comes_twice(topology: Topology) -> None:
    try:
        found = splits_of(topology, Request())
    except PlanError:
        return  # a machine where no plan can be made has no splits
    for split in found:
        check_plan(topology, split.plan)
    assert len({(split.name, split.smt) for split in found}) == len(found)
    assert len({frozenset(i.cpus for i in split.plan.instances) for split in found}) == len(found)


def test_from_one_instance_to_one_on_each_core() -> None:
    assert names("2s 1n 8c 1t") == ["1x16", "2x8", "4x4", "8x2", "16x1"]


def test_sizes_between_are_the_largest_that_fit_so_often() -> None:
    assert names("1s 1n 7c 1t") == ["1x7", "2x3", "3x2", "7x1"]


def test_published_splits_are_among_them() -> None:
    found = names("2s 43+43+42c 1t")
    assert {"6x42", "36x7"} <= set(found)  # MLPerf v5.1: Llama-3.1-8B, Server and Offline


def test_what_public_records_do_with_such_a_model_is_tried_first() -> None:
    machine = synthetic_machine("2s 43+43+42c 1t")
    for workload, name in (("embed", "256x1"), ("speech", "42x6"), ("generate", "6x40")):
        splits = splits_of(machine, Request(workload=workload))  # type: ignore[arg-type]
        (published,) = [split for split in splits if split.published]
        assert (published.name, published.landmark) == (name, True)
        space = Space(splits=splits, batch_sizes=(1, 8, 64), numbers=("eager fp32", "eager bf16"))
        assert next(starting_settings(space)).split == name
    assert not any(split.published for split in splits_of(machine, Request()))
    assert not any(split.published for split in splits_of(machine, Request(workload="embed", ninstances=6)))


def test_siblings_are_tried_where_there_are_any() -> None:
    assert names("2s 1n 2c 2t", smt=True) == ["1x4", "2x2", "4x1"]
    assert names("2s 1n 2c 1t", smt=True) == []
    assert names("2s 1n 2c 2t", Request(use_logical_cores=True)) == []


def test_what_is_asked_for_stays() -> None:
    assert names("2s 1n 8c 1t", Request(ninstances=4)) == ["4x4"]
    assert names("2s 1n 8c 1t", Request(ncores_per_instance=3)) == ["4x3"]
    assert names("2s 1n 8c 1t", Request(ncores_per_instance=3, scope="machine")) == ["4x3", "5x3"]
    assert names("2s 1n 8c 1t", Request(cores_list="0-3|4-7")) == ["2x4"]
    assert names("2s 1n 8c 1t", Request(nodes_list="0")) == ["1x8", "2x4", "4x2", "8x1"]


def test_landmarks_are_one_instance_and_one_on_each_node() -> None:
    found = splits_of(synthetic_machine("2s 2n 4c 1t"), Request())
    assert [split.name for split in found if split.landmark] == ["1x16", "4x4"]


def test_what_cannot_be_planned_is_an_error_that_says_what_fits() -> None:
    with pytest.raises(PlanError, match="cores"):
        splits_of(synthetic_machine("1s 1n 4c 1t"), Request(ninstances=9))
    with pytest.raises(RequestError):
        splits_of(synthetic_machine("1s 1n 4c 1t"), Request(ninstances=2, latency_mode=True))
