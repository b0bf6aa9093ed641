import pytest

from ipexlaunch.placement import (
    Binding,
    Placement,
    affinity_collapsed,
    anonymous_bytes_by_node,
    misplacements,
)
from ipexlaunch.plan import Instance

NUMA_MAPS = """\
55f8ec61c000 default file=/usr/bin/head mapped=2 N0=2 kernelpagesize_kB=4
55f8ed000000 bind:1 heap anon=10 dirty=10 N0=3 N1=7 kernelpagesize_kB=4
7f0000000000 bind:1 anon=2 dirty=2 N1=2 kernelpagesize_kB=2048
7f1000000000 bind:1 file=/lib/libc.so anon=4 dirty=4 N0=4 kernelpagesize_kB=4
7ffd00000000 bind:1 stack anon=1 dirty=1 N1=1
"""
INSTANCE = Instance(index=3, cpus=frozenset({4, 5}), nodes=frozenset({1}), threads=2)
BOUND = Binding(cpus=frozenset({4, 5}), memory="bind", nodes=frozenset({1}))


def placed(cpus: set[int], pages: dict[int, int] | None, main: set[int] | None = None) -> Placement:
    return Placement(
        cpus=frozenset(cpus), threads=2, pinned_threads=0, main_thread_cpus=frozenset(main or cpus), pages=pages
    )


def test_anonymous_pages_are_counted_by_node_and_page_size_and_files_are_not() -> None:
    assert anonymous_bytes_by_node(NUMA_MAPS) == {0: 3 * 4096, 1: 7 * 4096 + 2 * (2 << 20) + 4096}


def test_a_worker_in_its_place_gives_no_reason() -> None:
    assert misplacements(INSTANCE, placed({4, 5}, {1: 99 << 20, 0: 1 << 20}), BOUND) == []


def test_a_thread_outside_the_slice_is_a_reason() -> None:
    (reason,) = misplacements(INSTANCE, placed({4, 5, 9}, {1: 99 << 20}), BOUND)
    assert "cpus 9" in reason
    assert "instance 3" in reason


def test_memory_elsewhere_is_a_reason_with_its_share() -> None:
    (reason,) = misplacements(INSTANCE, placed({4, 5}, {1: 80 << 20, 0: 20 << 20}), BOUND)
    assert "80.0%" in reason
    assert misplacements(INSTANCE, placed({4, 5}, {1: 80 << 20, 0: 20 << 20}), BOUND, 0.8) == []


@pytest.mark.parametrize(
    ("pages", "binding"),
    [
        (None, BOUND),
        ({0: 1 << 20}, BOUND),
        ({0: 99 << 20}, Binding(cpus=BOUND.cpus, memory="none", nodes=frozenset(), refused="EPERM")),
        ({0: 99 << 20}, Binding(cpus=BOUND.cpus, memory="none", nodes=frozenset())),
    ],
    ids=["unknown", "too little to judge", "refused at the start", "not asked for"],
)
def test_memory_that_cannot_be_judged_gives_no_reason(pages: dict[int, int] | None, binding: Binding) -> None:
    assert misplacements(INSTANCE, placed({4, 5}, pages), binding) == []


def test_a_main_thread_on_one_cpu_of_several_is_a_collapse() -> None:
    assert affinity_collapsed(INSTANCE, placed({4, 5}, None, main={4}))
    assert not affinity_collapsed(INSTANCE, placed({4, 5}, None))
    one = Instance(index=0, cpus=frozenset({4}), nodes=frozenset({1}), threads=1)
    assert not affinity_collapsed(one, placed({4}, None))
