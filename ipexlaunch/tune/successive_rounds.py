"""The race: settings run in turn, round after round, and whoever is surely behind the leader drops out.

Rates of one host drift (heat, neighbours, caches), so they are compared within a round only: the difference of two
settings is that of their logarithms, averaged over the rounds which both have run. Source: the racing algorithms of
Maron and Moore (1994) and Birattari's F-Race (2002), with a paired normal test in place of the rank test, for there
are few rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

from ipexlaunch.machine.topology import Topology
from ipexlaunch.tune.space import Setting, Space
from ipexlaunch.tune.trial import EXPLORING, Trial, by_setting, failed_settings, log_rate

SURE = 2.0
"""Standard errors behind the leader at which a setting is out: one-sided, 2.3 %."""

NOISE_EXPECTED = 0.03
"""Relative noise of a run before there are repeats that tell; it weighs as much as two of them."""
NOISE_EXPECTED_WEIGHT = 2.0
LEAST_NOISE = 0.003


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a setting stands in the race."""

    setting: Setting
    rounds: int
    """That it has run."""
    behind: float
    """Logarithm of the leader's rate over its own, over the rounds that both have run; 0 for the leader."""
    error: float
    """Standard error of that."""

    @property
    def might_gain(self) -> float:
        """By how much it may still be faster than the leader, as a logarithm."""
        return SURE * self.error - self.behind


def rounds_of(history: Sequence[Trial]) -> dict[int, dict[Setting, float]]:
    """Log rates by round and setting, of the runs that count; what was seen while exploring is round 0 of the racers.

    Args:
        history: all runs.
    """
    found: dict[int, dict[Setting, float]] = {}
    for run in history:
        if run.round != EXPLORING and run.counts:
            found.setdefault(run.round, {})[run.setting] = log_rate(run)
    racers = {setting for row in found.values() for setting in row}
    looks = by_setting(run for run in history if run.round == EXPLORING and run.counts)
    seen = {s: median(log_rate(run) for run in runs) for s, runs in looks.items() if s in racers}
    return {EXPLORING: seen, **found} if seen else found


def standings(history: Sequence[Trial]) -> list[Standing]:
    """Every setting that has raced and did not fail, the leader first.

    The leader is not the one with the best mean but the one whose mean less its error is best: a setting that ran once
    and was lucky does not lead.

    Args:
        history: all runs.
    """
    failed = failed_settings(history)
    rounds = {number: {s: y for s, y in row.items() if s not in failed} for number, row in rounds_of(history).items()}
    levels = _levels(rounds)
    if not levels:
        return []
    noise = noise_of(rounds)
    ran = {setting: sum(setting in row for row in rounds.values()) for setting in levels}
    leader = max(levels, key=lambda setting: levels[setting] - noise / math.sqrt(ran[setting]))

    def standing(setting: Setting) -> Standing:
        behind, error = 0.0, 0.0
        common = [row[leader] - row[setting] for row in rounds.values() if leader in row and setting in row]
        if setting != leader and common:
            behind = median(common) if len(common) > 2 else fmean(common)
            error = noise * math.sqrt(2 / len(common))
        elif setting != leader:
            behind, error = levels[leader] - levels[setting], noise * math.sqrt(2)
        return Standing(setting=setting, rounds=ran[setting], behind=behind, error=error)

    return sorted(map(standing, levels), key=lambda each: (each.setting != leader, each.behind))


def _levels(rounds: Mapping[int, Mapping[Setting, float]]) -> dict[Setting, float]:
    """The log rate of each setting with what is common to a round taken out.

    Rounds have unlike settings, so the effects of rounds and of settings are found in turn, until they agree.
    """
    settings = list(dict.fromkeys(setting for row in rounds.values() for setting in row))
    levels = {s: fmean([row[s] for row in rounds.values() if s in row]) for s in settings}
    for _ in range(20):
        effects = {n: fmean(y - levels[s] for s, y in row.items()) for n, row in rounds.items() if row}
        levels = {s: fmean([row[s] - effects[n] for n, row in rounds.items() if s in row]) for s in settings}
    return levels


def noise_of(rounds: Mapping[int, Mapping[Setting, float]]) -> float:
    """Relative noise of one run, from how much settings change places between rounds.

    Args:
        rounds: log rates by round and setting.
    """
    levels = _levels(rounds)
    squares, freedom = NOISE_EXPECTED_WEIGHT * NOISE_EXPECTED**2, NOISE_EXPECTED_WEIGHT
    for row in rounds.values():
        if len(row) > 1:
            effect = fmean(y - levels[s] for s, y in row.items())
            squares += sum((y - levels[s] - effect) ** 2 for s, y in row.items())
    runs = sum(len(row) for row in rounds.values())
    freedom += max(0, runs - len(levels) - (len(rounds) - 1))
    return max(LEAST_NOISE, math.sqrt(squares / freedom))


OWN_SHARE = 0.8
"""Of a worker's peak resident memory: as much at least is its own, the rest are pages of files that all share."""


def fits(space: Space, topology: Topology, setting: Setting, history: Sequence[Trial]) -> bool:
    """Whether nothing speaks against it: neither memory nor the failure of a setting that asks for less.

    A worker of the same numbers and a batch of at most this size needs no more memory than one of this setting, so the
    least that such a worker was seen to need, times the instances of each node, would be needed at least. And where
    the same instances failed with the same numbers and a smaller batch, or took too long for a call, a larger one does
    not repair it.

    Args:
        space: for the plan of the setting.
        topology: for the memory of each node; a node of unknown size (0) refuses nothing.
        setting: what is to be tried.
        history: what was seen.
    """
    smaller = [
        run
        for run in history
        if run.setting.numbers == setting.numbers and run.setting.batch_size <= setting.batch_size
    ]
    instances = (setting.split, setting.smt)
    if any((run.setting.split, run.setting.smt) == instances and not run.counts for run in smaller):
        return False
    least = min((run.peak_bytes for run in smaller if run.counts and run.peak_bytes), default=0)
    if not least or space.shares_model:
        return True
    sizes = {node.id: node.memory_bytes for node in topology.nodes}
    return all(
        not sizes.get(node) or load * OWN_SHARE * least <= sizes[node] for node, load in space.load_of(setting).items()
    )


def count_runnable(space: Space, topology: Topology, history: Sequence[Trial]) -> float:
    """How many settings of the space can run, as far as that is known.

    Args:
        space: what may be tried.
        topology: for the memory of each node.
        history: what was seen.
    """
    groups = [
        space.setting(split, batch_size=batch_size, numbers=numbers)
        for split in space.splits
        for batch_size in space.batch_sizes
        for numbers in space.numbers
    ]
    running = sum(fits(space, topology, setting, history) for setting in groups)
    return len(space) * running / len(groups)
