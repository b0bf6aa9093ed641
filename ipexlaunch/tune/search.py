"""The search itself: asks what is next, has it run, keeps the result, until nothing is next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ipexlaunch.machine.topology import Topology
from ipexlaunch.tune.next_step import Finished, Measure, Propose, Rule, next_step
from ipexlaunch.tune.optuna_study import OptunaStudy
from ipexlaunch.tune.space import Setting, Space
from ipexlaunch.tune.successive_rounds import fits
from ipexlaunch.tune.trial import Trial


def search(
    space: Space,
    topology: Topology,
    rule: Rule,
    study: OptunaStudy,
    measure: Callable[[Measure], Trial],
    watch: Callable[[Trial, int], None] = lambda _run, _number: None,
) -> Finished:
    """Try settings until the best is known within the noise, or the budget is spent.

    Args:
        space: what may be tried.
        topology: the machine, for its memory.
        rule: how long to look, and how sure to be.
        study: what was tried; a run that it has is not repeated.
        measure: runs a setting.
        watch: told of every run that was made now, with its number from 1.
    """
    while True:
        step = next_step(space, topology, study.history, rule)
        if isinstance(step, Finished):
            return step
        if isinstance(step, Propose):
            setting = _proposed(space, topology, study)
            if setting is None:
                rule = replace(rule, proposals=0)  # everything that fits was tried
                continue
            run = measure(Measure(setting=setting, seconds=rule.short_seconds))
            run = replace(run, proposed=True)
        else:
            run = measure(step)
        study.record(run)
        watch(run, len(study.history))


def _proposed(space: Space, topology: Topology, study: OptunaStudy) -> Setting | None:
    """The optimiser's setting; where it knows only tried ones, the first that is not."""
    history = study.history
    tried = {run.setting for run in history}

    def welcome(setting: Setting) -> bool:
        return setting not in tried and setting in space and fits(space, topology, setting, history)

    return study.propose(welcome) or next((setting for setting in space.settings() if welcome(setting)), None)
