"""The total of several hosts: wherever within their bounds hosts began, the true rate is inside of what is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipexlaunch.measure.across_hosts import (
    Group,
    HostPart,
    compared_with_one,
    group_of,
    read_group,
    total_of,
    with_bounds,
    write_group,
)


def part(rank: int, items: int = 100, seconds: float | None = 2.0, **changes: object) -> HostPart:
    made = HostPart(
        rank=rank, name=f"h{rank + 1}", instances=2, items=items, seconds=seconds, valid=True, exit_code=0,
        rate=items / seconds if seconds else None,
    )  # fmt: skip
    return replace(with_bounds(made, (0.0, 0.0) if not rank else (-0.001, 0.002)), **changes)  # type: ignore[arg-type]


hosts = st.lists(
    st.tuples(
        st.floats(-0.5, 0.5), st.floats(0, 0.5), st.floats(0.001, 100), st.floats(0, 1), st.integers(1, 10**6)
    ),
    max_size=5,
)  # fmt: skip


@given(st.floats(0.001, 100), st.integers(1, 10**6), hosts)
def test_the_true_rate_is_within_the_bounds(
    own_s: float, own_items: int, others: list[tuple[float, float, float, float, int]]
) -> None:
    parts = [replace(part(0, own_items), seconds=own_s)]
    begun, ended = [0.0], [own_s]
    for rank, (earliest, width, took, where, items) in enumerate(others, 1):
        parts.append(replace(part(rank, items), seconds=took, earliest_s=earliest, latest_s=earliest + width))
        begun.append(earliest + where * width)
        ended.append(begun[-1] + took)
    total = total_of(parts)
    assert total is not None
    true = sum(each.items for each in parts) / (max(ended) - min(begun))
    assert total.rate * (1 - 1e-9) <= true <= total.highest_rate * (1 + 1e-9)
    assert total.width >= -1e-9


def test_one_host_is_known_exactly() -> None:
    total = total_of([part(0)])
    assert total is not None
    assert (total.rate, total.width, total.items) == (50.0, 0.0, 100)


@pytest.mark.parametrize("changed", [{"seconds": None}, {"earliest_s": None, "latest_s": None}])
def test_without_the_start_of_every_host_there_is_no_total(changed: dict[str, object]) -> None:
    group = group_of(2, [part(0), replace(part(1), **changed)])  # type: ignore[arg-type]
    assert group.total is None
    assert not group.valid
    assert "no total" in group.reasons[0]
    assert group_of(3, [part(0), part(1)]).total is None


def test_nothing_counted_is_no_failure() -> None:
    idle = [replace(part(rank), items=0, seconds=None, rate=None) for rank in range(2)]
    assert group_of(2, idle).valid


def test_reasons_are_told_once_and_name_the_host() -> None:
    lost = "host h2 (rank 1): instance 0 ended with exit code 7"
    hosts = [
        part(0, valid=False, reasons=(lost,)),
        part(1, valid=False, reasons=("instance 0 ended with exit code 7", "another")),
    ]
    assert group_of(2, hosts, [lost]).reasons == (lost, "host h2 (rank 1): another")
    assert group_of(2, [part(0), part(1, valid=False)]).reasons == ("host h2 (rank 1) is INVALID",)


def test_what_hosts_chose_differently_and_a_wide_total_are_told() -> None:
    hosts = [part(0, facts={"dtype": "bf16"}), part(1, facts={"dtype": "fp32"}, latest_s=0.5)]
    warnings = group_of(2, hosts).warnings
    assert any("the total is known to 0.25 only" in text for text in warnings)
    assert any("different dtypes: bf16 on h1, fp32 on h2; --dtype gives all the same" in text for text in warnings)


def test_a_group_is_read_as_it_was_written() -> None:
    group: Group = replace(group_of(2, [part(0), part(1, tokens=7)]), job="7.0", program=("a.py",))
    assert read_group(write_group(group), "") == group
    assert compared_with_one(group, []) is None
