"""measure/start_cost.py: what each phase of a start cost, from what the process had cost when each began."""

import pytest

from ipexlaunch.launch.run_record import Announced, Spent
from ipexlaunch.measure.start_cost import PhaseCost, StartCost, start_cost_of, total_of

MIB = 1 << 20


def told(*phases: tuple[str, Spent | None], ready: Spent | None = None) -> Announced:
    """A worker that announced these phases, each with what its process had cost by then."""
    announced = Announced()
    for time, (name, spent) in enumerate(phases):
        announced.begin_phase(name, float(time), spent)
    announced.ready_spent = ready
    return announced


def test_each_phase_cost_what_came_until_the_next() -> None:
    cost = start_cost_of(
        told(("loading", Spent(4.0, 100)), ("warming up", Spent(4.5, 300)), ready=Spent(6.0, 260)),
    )
    assert cost == StartCost(
        6.0, 260,
        {"starting": PhaseCost(4.0, 100), "loading": PhaseCost(0.5, 200), "warming up": PhaseCost(1.5, -40)},
    )  # fmt: skip


def test_what_comes_before_announced_imports_is_part_of_them() -> None:
    cost = start_cost_of(told(("imports", Spent(0.1, 10)), ("loading", Spent(5.0, 200)), ready=Spent(6.0, 300)))
    assert cost is not None
    assert cost.phases == {"imports": PhaseCost(5.0, 200), "loading": PhaseCost(1.0, 100)}


def test_a_worker_that_announces_nothing_but_ready_has_started() -> None:
    assert start_cost_of(told(ready=Spent(2.0, 50))) == StartCost(2.0, 50, {"starting": PhaseCost(2.0, 50)})


def test_a_phase_that_is_entered_again_has_the_sum_and_its_first_place() -> None:
    phases = (("checking", Spent(1.0)), ("converting", Spent(2.0)), ("checking", Spent(5.0)))
    cost = start_cost_of(told(*phases, ready=Spent(5.5)))
    assert cost is not None
    assert [(name, phase.cpu_s) for name, phase in cost.phases.items()] == [
        ("starting", 1.0), ("checking", 1.5), ("converting", 3.0)
    ]  # fmt: skip


def test_of_a_worker_that_is_never_ready_what_it_told_last_is_known() -> None:
    cost = start_cost_of(told(("loading", Spent(1.0, 10)), ("compiling", Spent(3.0, 20))))
    assert cost == StartCost(3.0, 20, {"starting": PhaseCost(1.0, 10), "loading": PhaseCost(2.0, 10)})


@pytest.mark.parametrize("nothing", [told(), told(("loading", None), ("compiling", None))])
def test_nothing_is_known_of_who_tells_nothing(nothing: Announced) -> None:
    assert start_cost_of(nothing) is None
    assert total_of([]) is None


def test_what_is_not_told_in_between_belongs_to_the_phase_before() -> None:
    cost = start_cost_of(told(("loading", Spent(1.0)), ("compiling", None), ready=Spent(3.0)))
    assert cost is not None
    assert {name: phase.cpu_s for name, phase in cost.phases.items()} == {"starting": 1.0, "loading": 2.0}


def test_the_total_is_the_sum_over_all_workers() -> None:
    first = start_cost_of(told(("imports", Spent(0.0)), ("compiling", Spent(1.0, MIB)), ready=Spent(9.0, 2 * MIB)))
    second = start_cost_of(told(("imports", Spent(0.0)), ("waiting", Spent(1.5, MIB)), ready=Spent(2.0, 3 * MIB)))
    assert first is not None
    assert second is not None
    assert total_of([first, second]) == StartCost(
        11.0, 5 * MIB,
        {"imports": PhaseCost(2.5, 2 * MIB), "compiling": PhaseCost(8.0, MIB), "waiting": PhaseCost(0.5, 2 * MIB)},
    )  # fmt: skip
