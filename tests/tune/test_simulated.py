"""The whole search on simulated machines; benchmarks/tune.py does the same on hundreds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipexlaunch.tune.next_step import Measure, Rule
from ipexlaunch.tune.optuna_study import open_study
from ipexlaunch.tune.search import search
from ipexlaunch.tune.space import Setting
from ipexlaunch.tune.trial import Trial
from tests.tune.simulated_machines import SimulatedMachine, random_machine

SEEDS = range(500, 516)


def test_the_pick_is_near_the_best_on_nearly_all_machines_at_a_part_of_the_cost() -> None:
    shares, costs = [], []
    for seed in SEEDS:
        machine = random_machine(seed)
        study = open_study("", machine.space, seed)
        found = search(machine.space, machine.topology, Rule(budget_s=float("inf")), study, machine.measure)
        assert found.best is not None
        rate = machine.truth(found.best)
        assert rate is not None, "a setting that fails was picked"
        shares.append(rate / machine.best())
        if machine.exhaustive_s() >= 100 * machine.full_seconds:
            costs.append(machine.measured_s / machine.exhaustive_s())
    assert sum(share >= 0.97 for share in shares) >= 0.9 * len(shares), sorted(shares)[:5]
    assert sum(cost <= 0.3 for cost in costs) >= 0.9 * len(costs), sorted(costs)[-5:]


class Stop(Exception):
    """Stands for the end of the process."""


def stopping_after(runs: int, machine: SimulatedMachine) -> Callable[[Measure], Trial]:
    left = iter(range(runs))

    def measure(step: Measure) -> Trial:
        if next(left, None) is None:
            raise Stop
        return machine.measure(step)

    return measure


def test_a_search_that_is_interrupted_anywhere_goes_on_as_if_it_had_not_been() -> None:
    """What comes next depends on what was tried alone, so a search from a copy of the history ends the same."""
    whole, parted = random_machine(7), random_machine(7)
    rule = Rule(budget_s=float("inf"))
    study = open_study("", whole.space, 1)
    found = search(whole.space, whole.topology, rule, study, whole.measure)
    kept: list[Trial] = []
    end = None
    while end is None:
        again = open_study("", parted.space, 1)
        for run in kept:
            again.record(run)
        try:
            end = search(parted.space, parted.topology, rule, again, stopping_after(9, parted))
        except Stop:
            kept = list(again.history)
    assert end == found
    assert [run.setting for run in again.history] == [run.setting for run in study.history]


@pytest.mark.parametrize("seed", [11, 12])
def test_the_simulation_has_a_best_and_runs_that_scatter_around_the_truth(seed: int) -> None:
    machine = random_machine(seed)
    best = max(machine.space.settings(), key=lambda setting: machine.truth(setting) or 0.0)
    assert isinstance(best, Setting)
    rates = [machine.measure(Measure(setting=best, seconds=5.0)).rate or 0.0 for _ in range(200)]
    assert abs(sum(rates) / len(rates) / machine.best() - 1) < 0.08
    assert max(rates) / min(rates) > 1.01
