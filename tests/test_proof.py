import pytest

from ipexlaunch.placement import Binding, Placement
from ipexlaunch.plan import Instance
from ipexlaunch.proof import affinity_collapsed, misplacements

INSTANCE = Instance(index=3, cpus=frozenset({4, 5}), nodes=frozenset({1}), threads=2)
BOUND = Binding(cpus=frozenset({4, 5}), memory="bind", nodes=frozenset({1}))


def placed(cpus: set[int], pages: dict[int, int] | None, main: set[int] | None = None) -> Placement:
    return Placement(
        cpus=frozenset(cpus), threads=2, pinned_threads=0, main_thread_cpus=frozenset(main or cpus), pages=pages
    )


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
