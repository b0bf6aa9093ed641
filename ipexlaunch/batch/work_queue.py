"""The queue that every worker of a batch job takes its batches from: which items go together, and in which order.

Pure: items are put in, batches are taken out, and the queue is told what became of them. Within a look-ahead the
longest items go first, in batches of like length, so that little is padded and what is left for the end is short; when
the input has ended the batches shrink, so that all workers end together.

A worker that dies gives its batches back. The one that it worked on is blamed: a batch that workers fail on often
enough is cut in two, until the item that kills them stands alone; when workers have failed as often on it alone, it is
given up. Which batch a worker worked on is known where it says so when it begins and had begun no other, and where it
had done nothing yet and had no other: only then is a batch blamed. Else all that it had begun are in doubt, or the
first that it had, and go, with nothing beside them, to workers that have just been started, or to any where nothing
else is left: if one dies again, it is known.

As long as workers die and nothing at all was done, new items are given out one by one, the shortest first: they show
whether the program can do any.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import attrgetter

from ipexlaunch.batch.items import Batch, BatchFigures, DeadLetter, Item


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRules:
    """How items are put into batches."""

    workers: int
    largest: int = 32
    """Items in a batch, at most."""
    largest_padded: int | None = None
    """Items times the size of the longest of them, at most; a single item may be larger. None for no limit."""
    look_ahead: int = 4096
    """Items that are put in order together."""
    attempts: int = 2
    """How often workers may fail on a batch before it is cut in two, or given up where it is a single item."""
    in_flight: int = 32
    """Batches that a worker may hold, at most: the next is there when it has done one."""
    reserve_s: float = 0.2
    """What a worker holds beyond the batch that it works on lasts so long: what the launcher does meanwhile, such as a
    sync, keeps nobody waiting. It is one batch at least, where there are enough."""
    reserve_size: int = 1 << 20
    """... and is no larger than this, beyond that one batch."""


_size = attrgetter("size")


class WorkQueue:
    """Items in, batches out; every item that was put in is waiting, in flight, done or dead, and only one of these."""

    def __init__(self, rules: BatchRules) -> None:
        """Begin with nothing.

        Args:
            rules: of the batches.
        """
        self.rules = rules
        self.figures = BatchFigures()
        self.ended = False
        """Whether all items of the input have been put in."""
        self.items_in_flight = 0
        """Items that workers have."""
        self._coming: list[Item] = []
        self._ordered: list[Item] = []
        """Those that batches are made of, the longest last."""
        self._again: deque[Batch] = deque()
        """Batches that came back."""
        self._flights: dict[int, dict[int, Batch]] = {worker: {} for worker in range(rules.workers)}
        """Worker to the batches that it has, in the order in which it was given them."""
        self._size_held = dict.fromkeys(range(rules.workers), 0)
        """Worker to the sizes of the items that it has, added up."""
        self._dead: list[DeadLetter] = []
        self._deaths = 0
        """Of workers that had batches."""
        self._begun: dict[int, set[int]] = {worker: set() for worker in range(rules.workers)}
        """Worker to the batches that it has and said that it has begun: several where it works on several at once."""
        self._answered: set[int] = set()
        """Workers that have answered a batch since they were started."""
        self._next_number = 0

    @property
    def room(self) -> int:
        """How many more items are wanted now, for the batches to be made of a whole look-ahead."""
        return 0 if self.ended else self.rules.look_ahead - len(self._coming)

    @property
    def must_read(self) -> bool:
        """Whether the next batch needs items that have not been put in yet."""
        return not self._ordered and self.room > 0 and all(batch.alone for batch in self._again)

    @property
    def waiting(self) -> int:
        """Items that nobody has."""
        return len(self._coming) + len(self._ordered) + sum(len(batch.items) for batch in self._again)

    @property
    def over(self) -> bool:
        """Whether every item of the input is done or dead."""
        return self.ended and not self.waiting and not any(self._flights.values())

    @property
    def in_doubt(self) -> bool:
        """Whether workers have died and nothing was done: what is tried then are single items."""
        return self._deaths > 0 and not self.figures.items_done

    def add(self, items: Iterable[Item]) -> None:
        """Put in the next items of the input."""
        self._coming += items

    def end(self) -> None:
        """Say that no more items will come."""
        self.ended = True
        self._order()

    def has_answered(self, worker: int) -> bool:
        """Whether a worker has answered a batch since it was started."""
        return worker in self._answered

    def held_by(self, worker: int) -> tuple[Batch, ...]:
        """The batches that a worker has; it works on the first."""
        return tuple(self._flights[worker].values())

    def may_hold(self, worker: int, batch_s: float | None = None) -> int:
        """How many batches a worker may have now: the fewer, the nearer the end, so that none waits behind another.

        Args:
            worker: which.
            batch_s: how long it takes for a batch of late; None where it has done none.
        """
        rules = self.rules
        if self.in_doubt or (self.ended and self.waiting <= 2 * rules.workers):
            return 1
        if batch_s is None or (self.ended and self.waiting <= max(rules.workers * rules.largest, self.items_in_flight)):
            return 2
        if self._size_held[worker] > rules.reserve_size:
            return 2
        return min(rules.in_flight, 1 + max(1, math.ceil(rules.reserve_s / max(batch_s, 1e-6))))

    def take(self, worker: int) -> Batch | None:
        """The next batch for a worker; None where nothing is left, or more items must be put in first."""
        if any(batch.alone for batch in self._flights[worker].values()):
            return None
        in_doubt = self.in_doubt
        if not self._ordered and (in_doubt or self._next_returned(worker) is None):
            self._order()
        returned = self._next_returned(worker)
        if returned is not None and not (in_doubt and self._ordered):
            self._again.remove(returned)
            batch = returned
        elif not self._ordered:
            return None
        else:
            batch = Batch(0, (self._ordered.pop(0),) if in_doubt else self._cut())
        batch = replace(batch, number=self._next_number)
        self._next_number += 1
        self.figures.batches += 1
        self._flights[worker][batch.number] = batch
        self.items_in_flight += len(batch.items)
        self._size_held[worker] += sum(map(_size, batch.items))
        return batch

    def began(self, worker: int, number: int) -> None:
        """Note that a worker says that it begins with a batch: what befalls it may from now on be that one's fault."""
        if number in self._flights[worker]:
            self._begun[worker].add(number)

    def done(self, worker: int, number: int) -> Batch | None:
        """The batch that a worker has done; None where it does not have this one."""
        batch = self._returned(worker, number)
        if batch is not None:
            self._answered.add(worker)
            figures, sizes = self.figures, [item.size for item in batch.items]
            figures.items_done += len(sizes)
            figures.size_done += sum(sizes)
            figures.padded_size_done += max(sizes) * len(sizes)
        return batch

    def failed(self, worker: int, number: int, reason: str) -> Batch | None:
        """Take back a batch that a worker could not do; None where it does not have this one.

        Args:
            worker: who had it; it lives.
            number: the batch.
            reason: what it said.
        """
        batch = self._returned(worker, number)
        if batch is not None:
            self._answered.add(worker)
            self._blame(batch, reason)
        return batch

    def lost(self, worker: int, reason: str, *, is_blamed: bool = True) -> Batch | None:
        """Take back what a worker had that has ended; the batch that it worked on, or may have, None where it had none.

        Args:
            worker: which has ended.
            reason: how.
            is_blamed: whether that speaks against the batch; not where the worker was asked to end.
        """
        begun, is_fresh = self._begun[worker].copy(), worker not in self._answered
        held = [batch for batch in self.held_by(worker) if self._returned(worker, batch.number)]
        self._begun[worker].clear()
        self._answered.discard(worker)
        if not held:
            return None
        told = [batch for batch in held if batch.number in begun]
        suspects = told or held[:1]
        for batch in reversed(held):
            if batch not in suspects or not is_blamed:
                self._give_again(batch, first=True)
        if is_blamed:
            self._deaths += 1
            if len(told) == 1 or (is_fresh and len(held) == 1):
                # One that was in doubt stays alone, or it would be in doubt again.
                self._blame(replace(suspects[0], alone=suspects[0].alone or not told), reason)
            else:
                for batch in suspects:
                    self._give_again(replace(batch, alone=True))
        return suspects[0]

    def take_dead(self) -> list[DeadLetter]:
        """The items that were given up since the last call."""
        dead, self._dead = self._dead, []
        return dead

    def _next_returned(self, worker: int) -> Batch | None:
        """The batch that came back and goes to this worker next.

        One that must be alone goes to a worker that has done nothing yet; to another one, where nothing else is left.
        """
        if not self._again:
            return None
        is_idle, is_fresh = not self._flights[worker], worker not in self._answered
        alone = next((batch for batch in self._again if batch.alone), None) if is_idle else None
        if alone is not None and is_fresh:
            return alone
        other = next((batch for batch in self._again if not batch.alone), None)
        return other if other is not None or self._ordered or self._coming else alone

    def _give_again(self, batch: Batch, *, first: bool = False) -> None:
        self.figures.requeued += len(batch.items)
        if first:
            self._again.appendleft(batch)
        else:
            self._again.append(batch)

    def _returned(self, worker: int, number: int) -> Batch | None:
        """The batch, which its worker has no longer."""
        batch = self._flights[worker].pop(number, None)
        self._begun[worker].discard(number)
        if batch is not None:
            self.items_in_flight -= len(batch.items)
            self._size_held[worker] -= sum(map(_size, batch.items))
        return batch

    def _order(self) -> None:
        """Put what has come in order; at the end of the input together with what is left of the look-ahead before."""
        if self.ended or not self._ordered:
            self._ordered = sorted(self._ordered + self._coming, key=_size)
            self._coming = []

    def _cut(self) -> tuple[Item, ...]:
        """Take the longest items that may go together."""
        rules, ordered = self.rules, self._ordered
        count = min(rules.largest, len(ordered))
        if rules.largest_padded is not None:
            count = min(count, rules.largest_padded // max(1, ordered[-1].size))
        if self.ended:
            # Two are held, and a worker at half speed shall not need longer for them than the others for the rest.
            count = min(count, len(ordered) // (4 * rules.workers))
        count = max(1, count)
        items = tuple(reversed(ordered[-count:]))
        del ordered[-count:]
        return items

    def _blame(self, batch: Batch, reason: str) -> None:
        blamed, attempts = batch.blamed + 1, self.rules.attempts
        if len(batch.items) == 1 and blamed >= attempts:
            self.figures.dead += 1
            self._dead.append(DeadLetter(batch.items[0], reason, blamed))
            return
        if blamed < attempts:
            self._give_again(replace(batch, blamed=blamed))
            return
        # What is in the halves has used up all its attempts but one: each further failure cuts again. A single item has
        # them all: what was cut off may have shared the blame.
        self.figures.requeued += len(batch.items)
        self.figures.bisected += 1
        middle = len(batch.items) // 2
        for half in (batch.items[:middle], batch.items[middle:]):
            self._again.append(Batch(0, half, attempts - 1 if len(half) > 1 else 0, batch.alone))
