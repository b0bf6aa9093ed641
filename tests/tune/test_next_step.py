"""What comes next: the beginning, the neighbours, the race, the end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipexlaunch.documents.codec import from_plain, to_plain
from ipexlaunch.machine.synthetic import synthetic_machine
from ipexlaunch.plan import Request
from ipexlaunch.tune.next_step import Finished, Measure, Propose, Rule, brief, next_step, pick, starting_settings
from ipexlaunch.tune.space import Setting, Space, splits_of
from ipexlaunch.tune.successive_rounds import fits
from ipexlaunch.tune.trial import EXPLORING, Trial

MACHINE = synthetic_machine("2s 1n 4c 1t 16GiB")
SPACE = Space(splits=splits_of(MACHINE, Request()), batch_sizes=(1, 8, 64))
RULE = Rule()
GIB = 1 << 30


def tried(step: Measure, rate: float | None = 100.0, **more: object) -> Trial:
    run = Trial(setting=step.setting, seconds=step.seconds, round=step.round, rate=rate, cost_s=step.seconds)
    return replace(run, **more)  # type: ignore[arg-type]  # whatever the test wants to be otherwise


def played(rate_of: dict[str, float], rule: Rule = RULE) -> tuple[list[Trial], Finished]:
    """A whole search without noise: the rate is that of the split times the batch; no proposals."""
    history: list[Trial] = []
    while True:
        step = next_step(SPACE, MACHINE, history, replace(rule, proposals=0))
        if isinstance(step, Finished):
            return history, step
        assert isinstance(step, Measure)
        rate = rate_of.get(step.setting.split, 1.0) * step.setting.batch_size
        history.append(tried(step, rate))


def test_it_begins_with_every_split_briefly() -> None:
    step = next_step(SPACE, MACHINE, [], RULE)
    assert isinstance(step, Measure)
    assert (step.setting.split, step.seconds, step.round) == ("1x8", RULE.short_seconds, EXPLORING)
    assert {setting.split for setting in starting_settings(SPACE)} == {"1x8", "2x4", "4x2", "8x1"}


@pytest.mark.parametrize("best", ["1x8", "2x4", "4x2", "8x1"])
def test_without_noise_it_finds_the_best_and_one_instance_may_be_it(best: str) -> None:
    history, end = played({best: 2.0})
    assert end.best is not None
    assert (end.best.split, end.best.batch_size) == (best, 64)
    assert {run.round for run in history} >= {EXPLORING, 1}


def test_no_setting_runs_twice_in_one_round() -> None:
    history, _ = played({"4x2": 1.02, "2x4": 1.01})
    pairs = [(run.setting, run.round) for run in history]
    assert len(pairs) == len(set(pairs))


def test_it_ends_in_the_middle_of_anything_when_the_budget_is_spent() -> None:
    history, end = played({"4x2": 2.0}, replace(RULE, budget_s=9.0))
    assert sum(run.cost_s for run in history) <= 9.0
    assert "budget" in end.why
    assert end.best is not None


def test_what_ended_before_anything_was_compared_is_no_search() -> None:
    history, end = played({"4x2": 2.0}, replace(RULE, budget_s=2.5))
    assert len(history) == 1
    assert end.best is not None
    assert not end.is_searched
    assert all(
        found.is_searched for budget in (60.0, 600.0) for found in [played({}, replace(RULE, budget_s=budget))[1]]
    )


def test_a_setting_that_failed_is_never_picked_and_never_run_again() -> None:
    history: list[Trial] = []
    while not isinstance(step := next_step(SPACE, MACHINE, history, replace(RULE, proposals=0)), Finished):
        assert isinstance(step, Measure)
        bad = step.setting.split == "8x1"
        trouble = "INVALID: 20 % of its pages are on other nodes" if bad else ""
        history.append(tried(step, 1000.0 if bad else 10.0, trouble=trouble))
    assert step.best is not None
    assert step.best.split != "8x1"
    failed = [run.setting for run in history if run.trouble]
    assert len(failed) == len(set(failed)) > 0


def test_a_program_that_never_runs_ends_the_search_without_a_pick() -> None:
    history: list[Trial] = []
    while not isinstance(step := next_step(SPACE, MACHINE, history, RULE), Finished):
        setting = step.setting if isinstance(step, Measure) else next(
            setting for setting in SPACE.settings() if setting not in {run.setting for run in history}
        )  # fmt: skip
        history.append(Trial(setting=setting, seconds=1, trouble="instance 0 ended with exit code 1", cost_s=1))
        assert len(history) < 40
    assert step.best is None
    assert pick(history) is None


def test_proposals_are_asked_for_between_neighbours() -> None:
    history: list[Trial] = []
    kinds: list[str] = []
    while not isinstance(step := next_step(SPACE, MACHINE, history, RULE), Finished) and len(kinds) < 60:
        kinds.append(type(step).__name__)
        if isinstance(step, Propose):
            setting = next(s for s in SPACE.settings() if s not in {run.setting for run in history})
            history.append(Trial(setting=setting, seconds=1.5, rate=1.0, proposed=True))
        else:
            history.append(tried(step, float(step.setting.batch_size)))
    assert "Propose" in kinds


def test_what_surely_does_not_fit_into_the_nodes_is_not_run() -> None:
    seen = [Trial(setting=Setting(split="1x8", batch_size=1), seconds=1, rate=1.0, peak_bytes=10 * GIB)]
    assert fits(SPACE, MACHINE, Setting(split="2x4", batch_size=1), seen)
    assert not fits(SPACE, MACHINE, Setting(split="8x1", batch_size=8), seen)
    unknown = replace(seen[0], peak_bytes=0)
    assert fits(SPACE, MACHINE, Setting(split="8x1", batch_size=8), [unknown])
    larger = replace(seen[0], setting=Setting(split="1x8", batch_size=64))
    assert fits(SPACE, MACHINE, Setting(split="8x1", batch_size=8), [larger])


def test_a_row_comes_back() -> None:
    run = tried(Measure(setting=Setting(split="1x8"), seconds=2.0, round=3), 5.0, latency_ms=3.0, proposed=True)
    assert from_plain(to_plain(run), Trial) == run


def test_short_runs_are_a_third_of_the_long_ones() -> None:
    assert brief(RULE, 9.0).short_seconds == 3.0
    assert brief(RULE, 0.6).short_seconds == 0.5
    assert brief(RULE, 0.2).short_seconds == 0.2
