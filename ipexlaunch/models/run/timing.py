"""Times calls: a candidate and the reference in turn, with all workers at once; and what is spent outside programs.

In turn, so that a host that slows down slows both; at once, so that all load the host together.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from time import sleep, thread_time
from typing import Any

from ipexlaunch.models.engines.measurement import spread_of
from ipexlaunch.models.run.prepare import Prepared

ROUNDS = 5
"""The candidate's time is spent in so many rounds, with the reference before, between and after them."""

REFERENCE_SHARE = 0.1
"""Of the candidate's seconds, for each turn of the reference; at least one call."""

STRETCH_SHARE = 0.4
"""The same before and after a candidate's only stretch."""

STRETCH_CALLS = 3
"""In a stretch at least, where a call takes no more than a stretch is long twice over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTiming:
    """What was timed."""

    relative: float
    """Seconds of the candidate for one of the reference: the median over the rounds, each with its neighbours."""
    spread: float | None
    """How far that may be off, as a share of it (`spread_of` the rounds); None for one round."""
    reference_s: tuple[float, ...]
    """Every call of the reference."""
    calls: int
    """Of the candidate."""


def time_interleaved(
    reference: Callable[[], float],
    candidate: Callable[[], float],
    seconds: float,
    first_s: float = 0.0,
    *,
    one_stretch: bool = False,
) -> PairedTiming:
    """Time two callables in turn.

    Args:
        reference: makes one call and returns its seconds.
        candidate: likewise.
        seconds: to spend in the candidate's calls; a call that has begun is finished. The reference may take twice
            as long at most, its first and last call aside.
        first_s: seconds of a call of the candidate, warmed up, that was made already; where it took longer than
            `seconds`, in one stretch than twice as long, it is the only one.
        one_stretch: all calls of the candidate one after the other, as in a job, where nothing of the reference's lies
            in the caches; a host that drifts shows more then.
    """
    reference_s = (STRETCH_SHARE if one_stretch else REFERENCE_SHARE) * seconds
    turns = [_spend(reference, reference_s)]
    if first_s >= seconds * (2 if one_stretch else 1):
        turns.append(_spend(reference, 0.0))
        return _compared(turns, [[first_s]])
    rounds: list[list[float]] = []
    spent = reference_spent = 0.0
    while spent < seconds and reference_spent <= 2 * seconds:
        least = STRETCH_CALLS if one_stretch else 1
        rounds.append(_spend(candidate, seconds if one_stretch else seconds / ROUNDS, least))
        turns.append(_spend(reference, reference_s))
        spent += sum(rounds[-1])
        reference_spent += sum(turns[-1])
    return _compared(turns, rounds)


def _spend(call: Callable[[], float], seconds: float, least: int = 1) -> list[float]:
    """At least so many calls, and more until the time is used."""
    taken = [call() for _ in range(least)]
    while sum(taken) < seconds:
        taken.append(call())
    return taken


def _compared(turns: list[list[float]], rounds: list[list[float]]) -> PairedTiming:
    ratios = [
        2 * median(taken) / (median(turns[place]) + median(turns[place + 1])) for place, taken in enumerate(rounds)
    ]
    return PairedTiming(
        relative=median(ratios),
        spread=spread_of(ratios),
        reference_s=tuple(taken for turn in turns for taken in turn),
        calls=sum(len(taken) for taken in rounds),
    )


@contextmanager
def note_host_time(prepared: Prepared, outside: list[float]) -> Iterator[None]:
    """Append the processor seconds that the call inside spends outside the compiled programs.

    Each program notes the calling thread's time from its call to its return, and the rest of that thread's time is the
    host's: looking up the program, checking shapes, making the output, choosing tokens. What a program does between its
    own kernels is inside. It is the thread's own time, so that another process on the cpu does not count.

    Args:
        prepared: by engine torch.
        outside: where to append.
    """
    model: Any = prepared.model
    before = sum(program.inside_s for program in model.programs)
    began = thread_time()
    yield
    taken = thread_time() - began
    outside.append(taken - (sum(program.inside_s for program in model.programs) - before))


POLL_S = 0.005


class Barrier:
    """A place where a fixed number of workers wait until all are there, as often as they like.

    Nobody waits for ever: the launcher stops every worker when one has failed.
    """

    def __init__(self, directory: str, index: int, workers: int) -> None:
        """Agree on the place.

        Args:
            directory: exists, is empty at first, and is the same for all.
            index: this worker's, unlike all others'.
            workers: how many meet; with 1, nobody waits.
        """
        self.directory = directory
        self.index = index
        self.workers = workers
        self.times = 0

    def wait(self) -> None:
        """Return when every worker has called this as often as we have."""
        self.times += 1
        if self.workers < 2:
            return
        beginning = f"{self.times}-"
        with open(os.path.join(self.directory, f"{beginning}{self.index}"), "w", encoding="utf-8"):
            pass
        while sum(name.startswith(beginning) for name in os.listdir(self.directory)) < self.workers:
            sleep(POLL_S)
