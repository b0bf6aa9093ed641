"""What a batch job consists of: items, the batches that they travel in, what they cost, how far it is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ipexlaunch.documents.fields import LATER


class Item(NamedTuple):
    """One unit of work (a tuple, because there are millions of them and it is made in a third of the time)."""

    number: int
    """Its position in the input, from 0."""
    id: str | int | None
    """What its result is found by: given in the input, or the number of its line from 1, FILE:LINE where there are
    several files. 1 and "1" are two. None only in the dead letter of a row whose id could not be read."""
    value: object
    """What the program is given; anything that JSON can hold."""
    size: int
    """What its work is judged by: bytes of the line, or tokens."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Items that a worker is given together."""

    number: int
    """New each time that it is handed out, so that an answer to an earlier time is recognised."""
    items: tuple[Item, ...]
    blamed: int = 0
    """How often a worker failed on exactly these items."""
    alone: bool = False
    """Whether a worker ended that had it, and it is not known what on: it goes to one that has nothing else."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An item that was given up."""

    item: Item
    reason: str
    """How the worker ended that had it last, or what its program said."""
    attempts: int
    """How often workers failed on this item alone; 0 for a row that gives no item."""
    line: int | None = None
    """Of a row that gives no item: the line that it begins on, or its row, from 1."""
    file: str = ""
    """The file that this line is in, where there are several."""


@dataclass(slots=True)
class BatchFigures:
    """Counts of one run, added to while it lasts."""

    batches: int = 0
    """Handed out, each time that they were."""
    items_done: int = 0
    size_done: int = 0
    """Sizes of the items that are done, added up."""
    padded_size_done: int = 0
    """What they would be if every item were as long as the longest of its batch."""
    requeued: int = 0
    """Items that were requeued because their worker died or failed."""
    bisected: int = 0
    """Batches that were cut in two to find the item that kills."""
    dead: int = 0
    """Items that were given up."""
    unreadable: int = 0
    """Rows of the input that gave no item."""

    @property
    def padding_waste(self) -> float | None:
        """Share of the padded work that is padding, 0 to 1; None before anything is done."""
        return 1 - self.size_done / self.padded_size_done if self.padded_size_done else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSummary:
    """What the report says of a batch job beyond its throughput; counts are of this run where nothing else is said."""

    items_done: int
    """Results in the output, those of earlier runs of the job too."""
    items_dead: int
    """Dead letters, those of earlier runs too."""
    items_now: int
    """Items that workers had done, whether or not they could be committed."""
    unreadable: int
    """Rows of the input that gave no item; they are among the dead letters."""
    batches: int
    padding_waste: float | None
    """Share of the padded work that is padding, 0 to 1."""
    requeued: int
    """Items that were requeued because their worker died or failed."""
    bisected: int
    """Batches that were cut in two to find the item that kills."""
    tail_idle_s: float
    """Seconds that workers together had nothing to do while the last of them was still busy."""
    drained: bool = field(default=False, metadata=LATER)
    """Whether items are left because nothing more was to be given; another run of the job resumes with them."""
    items_left: int | None = field(default=None, metadata=LATER)
    """How many were left then, as far as the input was known; None where it was not drained, or nothing tells."""


def summary_of(figures: BatchFigures, last_done: Iterable[float], *, done: int, dead: int) -> BatchSummary:
    """The summary of a run.

    Args:
        figures: counted while it lasted.
        last_done: when each worker had done its last item, seconds of one clock.
        done: items that are accounted for, those of earlier runs too.
        dead: of these, given up.
    """
    times = list(last_done)
    return BatchSummary(
        items_done=done - dead,
        items_dead=dead,
        items_now=figures.items_done,
        unreadable=figures.unreadable,
        batches=figures.batches,
        padding_waste=figures.padding_waste,
        requeued=figures.requeued,
        bisected=figures.bisected,
        tail_idle_s=sum((max(times) - time for time in times), 0.0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchProgress:
    """One moment of a batch job."""

    done: int
    """Items that are durable, in this run and in those that it resumes; given up or not."""
    before: int
    """Of these, when this run began."""
    dead: int
    """Of these, given up."""
    expected: int | None
    """Items of the whole input; None where that cannot be told, as for a pipe."""
    exact: bool
    """Whether `expected` is a count, not what the lines so far let expect."""

    @property
    def share(self) -> float | None:
        """Of the input, 0 to 1; below 1 while it is not known that nothing is left."""
        if self.expected is None:
            return None
        if not self.expected:
            return 1.0
        share = self.done / self.expected
        return min(share, 1.0 if self.exact else 0.999)

    def left_s(self, measured_s: float | None) -> float | None:
        """Seconds to the end at the rate of this run so far; None where nothing lets it be told.

        Args:
            measured_s: since its workers began.
        """
        now = self.done - self.before
        if self.expected is None or not measured_s or now <= 0:
            return None
        return max(0, self.expected - self.done) * measured_s / now
