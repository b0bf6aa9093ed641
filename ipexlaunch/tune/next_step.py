"""What to do next, as a pure function of what was tried: so an interrupted search goes on where it was.

First every split is run once, briefly. Then the best found so far is left for better neighbours, with proposals of the
optimiser between them that look further away. The best few then race at full length. Where the race's leader has
neighbours that were never tried, they are tried and may join.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from ipexlaunch.machine.topology import Topology
from ipexlaunch.tune.space import Setting, Space, Split
from ipexlaunch.tune.successive_rounds import Standing, count_runnable, fits, rounds_of, standings
from ipexlaunch.tune.trial import EXPLORING, Trial, by_setting, estimates, failed_settings, lasted, log_rate


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How long to look, and how sure to be; times in seconds."""

    seconds: float = 5.0
    """Measured in a run of the race."""
    short_seconds: float = 1.5
    """Measured in a run that looks around."""
    budget_s: float = 600.0
    """For all runs, loading included."""
    starting_share: float = 0.3
    """Of the budget, for a first look at the splits; the neighbours of the better ones need as much at least."""
    exploring_share: float = 0.7
    """Of the budget, the first look included; what is left is for the race."""
    proposals: int = 8
    """Of the optimiser, since the best was last found to be another, before the race begins."""
    margin: float = 0.12
    """Who is that far behind the best in a short run does not race."""
    racers: int = 8
    """Most settings of a round at full length; the first round is a short one, for twice as many."""
    tolerance: float = 0.015
    """A setting that cannot gain more than this on the leader is not worth another run."""
    most_rounds: int = 15
    share_of_all: float = 0.25
    """The search measures no longer than this share of a run of every setting (but 25 runs in any case)."""
    exhaustive: bool = False
    """Look around by running every setting at full length, however long it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Run a setting."""

    setting: Setting
    seconds: float
    round: int = EXPLORING


@dataclass(frozen=True, slots=True)
class Propose:
    """Ask the optimiser for a setting that was not tried, and run it briefly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """The search is over."""

    best: Setting | None
    """None where nothing ran."""
    why: str
    is_searched: bool = True
    """Whether settings were compared: all that there are, or the best of those that were looked at, in a race."""


Step = Measure | Propose | Finished
"""What comes next."""


def next_step(space: Space, topology: Topology, history: Sequence[Trial], rule: Rule) -> Step:
    """The next run, or the end.

    Args:
        space: what may be tried.
        topology: the machine, for its memory.
        history: every run so far, in order.
        rule: how long to look.
    """
    if _spent(history) > rule.budget_s and not rule.exhaustive:
        finished = _finished(history, f"the budget of {rule.budget_s:g} s is spent")
        tried_all = len(by_setting(history)) >= count_runnable(space, topology, history)
        return replace(finished, is_searched=tried_all or any(run.round for run in history))
    most_s = rule.seconds * rule.share_of_all * count_runnable(space, topology, history)
    measured_s = sum(run.seconds for run in history if run.counts)
    if measured_s + rule.seconds > max(LEAST_RUNS * rule.seconds, most_s) and not rule.exhaustive:
        return _finished(history, f"{rule.share_of_all:.0%} of what trying everything takes is spent")
    number = max((run.round for run in history), default=0)
    if number:
        first = next(place for place, run in enumerate(history) if run.round == number)
        missing = [
            setting
            for setting in _contestants(history[:first], number, rule)
            if not any(run.round == number and run.setting == setting for run in history)
        ]
        if missing:
            return Measure(setting=missing[0], seconds=_seconds(rule, number), round=number)
    found = _explore(space, topology, history, rule)
    if found is not None:
        return found
    contestants = _contestants(history, number + 1, rule)
    if len(contestants) > 1 and number < rule.most_rounds:
        return Measure(setting=contestants[0], seconds=_seconds(rule, number + 1), round=number + 1)
    if len(contestants) < 2:
        return _finished(history, "no other setting can be faster by more than the noise")
    return _finished(history, f"{len(contestants)} settings are alike within the noise")


def _seconds(rule: Rule, number: int) -> float:
    return rule.short_seconds if number == 1 else rule.seconds


LEAST_RUNS = 25
"""A search may measure as many in any case."""


def _spent(history: Sequence[Trial]) -> float:
    """What the runs took, and the next one will: it must end within the budget too."""
    recent = [run.cost_s for run in history[-5:]]
    return lasted(history) + (sum(recent) / len(recent) if recent else 0.0)


def pick(history: Sequence[Trial]) -> Setting | None:
    """The best setting by what is known: the race's leader, else the fastest of the short runs; None for none.

    Args:
        history: every run.
    """
    if leader := next(iter(standings(history)), None):
        return leader.setting
    found = estimates(history)
    return max(found, key=lambda setting: found[setting]) if found else None


def _finished(history: Sequence[Trial], why: str) -> Finished:
    best = pick(history)
    return Finished(best=best, why=why if best is not None else f"nothing ran; {why}")


def starting_settings(space: Space) -> Iterator[Setting]:
    """Splits from one instance to the most, each of twice as many, with the largest batch and one of the middle size;
    the published one before all.

    Then, for one instance and for one on each node, every other batch and all numbers: where a working set just fits
    into a cache, rates jump, and from elsewhere nothing leads there. All else is its first choice; what lies between is
    for the neighbours of the better ones. Siblings are tried with the middle batch only.
    """
    middle, largest = space.batch_sizes[len(space.batch_sizes) // 2], space.batch_sizes[-1]
    splits = sorted(_doubling(space.splits), key=lambda split: not split.published)
    for split in splits:
        if not split.smt:
            yield from _with_batches(space, split, [largest])
    for split in splits:
        yield from _with_batches(space, split, [middle])
    for split in splits:
        if split.landmark and not split.smt:
            yield from _with_batches(space, split, space.batch_sizes[::-2])
            for numbers in space.numbers[1:]:
                yield from _with_batches(space, split, dict.fromkeys((middle, largest)), numbers=numbers)


def _with_batches(space: Space, split: Split, batch_sizes: Iterable[int], **chosen: str) -> Iterator[Setting]:
    for batch_size, memory in itertools.product(batch_sizes, space.memories):
        setting = space.setting(split, batch_size=batch_size, memory=memory, **chosen)
        if setting in space:
            yield setting


def _doubling(splits: Sequence[Split]) -> Iterator[Split]:
    """Those whose number of instances is about twice that of the one before, landmarks, and the ends."""
    taken = 0
    for place, split in enumerate(splits):
        count = len(split.plan.instances)
        first = place == 0 or splits[place - 1].smt != split.smt
        last = place == len(splits) - 1 or splits[place + 1].smt != split.smt
        if first or last or split.landmark or count >= STEP * taken:
            taken = count
            yield split


STEP = 1.9
"""Instances of a starting split to those of the one before."""


def _explore(space: Space, topology: Topology, history: Sequence[Trial], rule: Rule) -> Measure | Propose | None:
    """The next run that looks around; None where enough is known, or the race needs the rest of the budget."""
    tried = by_setting(history)

    def fresh(setting: Setting) -> bool:
        return setting not in tried and fits(space, topology, setting, history)

    if rule.exhaustive:
        left = next((setting for setting in space.settings() if fresh(setting)), None)
        return None if left is None else Measure(setting=left, seconds=rule.seconds)
    if lasted(history) > rule.exploring_share * rule.budget_s:
        return None
    beginning = lasted(history) <= rule.starting_share * rule.budget_s
    for setting in starting_settings(space):
        if beginning and fresh(setting):
            return Measure(setting=setting, seconds=rule.short_seconds)
    leader = pick(history)
    if leader is None:
        return Propose() if len(tried) < min(len(space), 2 * rule.proposals + len(space.splits)) else None
    leaders = [leader, *(each.setting for each in standings(history)[1:2])]
    neighbours = [setting for each in leaders for setting in space.neighbours(each) if fresh(setting)]
    proposed = _proposed_in_vain(history)
    may_propose = proposed < rule.proposals and len(tried) < len(space)
    if neighbours and not (may_propose and _since_proposal(history) >= PROPOSE_EVERY):
        return Measure(setting=neighbours[0], seconds=rule.short_seconds)
    return Propose() if may_propose else None


PROPOSE_EVERY = 3
"""Neighbours between two proposals."""


def _since_proposal(history: Sequence[Trial]) -> int:
    return next((count for count, run in enumerate(reversed(history)) if run.proposed), len(history))


def _proposed_in_vain(history: Sequence[Trial]) -> int:
    """Proposals since one of the short runs was the best so far by more than a per cent."""
    best, count = -math.inf, 0
    for run in history:
        if run.round != EXPLORING:
            continue
        count += run.proposed
        if run.counts and log_rate(run) > best + 0.01:
            best, count = log_rate(run), 0
    return count


def _contestants(history: Sequence[Trial], number: int, rule: Rule) -> list[Setting]:
    """Who runs in a round, in the order of that round.

    Args:
        history: every run before it.
        number: of the round, from 1.
        rule: how many, and how sure.
    """
    failed = failed_settings(history)
    looks = [run for run in history if run.round == EXPLORING]
    brief = {setting: value for setting, value in estimates(looks).items() if setting not in failed}
    best = max(brief.values(), default=0.0)
    by_rate = sorted(brief, key=lambda setting: -brief[setting])
    racers = _affordable(history, rule)
    if number == 1:
        near = [setting for setting in by_rate if brief[setting] >= best - rule.margin]
        return max(near, by_rate[:LEAST_RACERS], key=len)[: 2 * racers]
    table = standings(history)
    raced = {setting for row in rounds_of(history).values() for setting in row}
    if number == 2:  # two short runs of each are known: the first tells as much as the second
        staying = [each.setting for each in table if each.behind < rule.margin * 2 / 3][:racers]
    else:
        staying = [each.setting for each in table if each.behind <= 0 or _may_win(each, rule)]
    floor = brief[table[0].setting] - rule.margin * 2 / 3 if table else best
    joining = [setting for setting in by_rate if setting not in raced and brief[setting] >= floor]
    chosen = [*staying, *joining[: racers // 2]]
    return chosen if number % 2 else chosen[::-1]


def _affordable(history: Sequence[Trial], rule: Rule) -> int:
    """Settings of a full round, so that the rest of the budget lasts for four of them and the short one before."""
    left = rule.budget_s - lasted(history)
    each = lasted(history) / max(1, len(history)) + rule.seconds - rule.short_seconds
    return max(LEAST_RACERS // 2, int(min(rule.racers, left / each / 6)))


LEAST_RACERS = 5
"""The best of the short runs may have been lucky, so it never races alone."""


def _may_win(standing: Standing, rule: Rule) -> bool:
    """Whether it is worth another run; a single bad round puts nobody out who is not far behind."""
    if standing.rounds < 3:
        return standing.behind < rule.margin
    return standing.might_gain > rule.tolerance


def brief(rule: Rule, seconds: float) -> Rule:
    """The rule with runs of another length; a look around takes a third of it, and no less than half a second."""
    return replace(rule, seconds=seconds, short_seconds=min(seconds, max(0.5, seconds / 3)))
