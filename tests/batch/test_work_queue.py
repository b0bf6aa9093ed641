"""Whatever dies, every item is done once or given up, and none is lost."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ipexlaunch.batch.items import Batch, Item
from ipexlaunch.batch.work_queue import BatchRules, WorkQueue


def items_of(sizes: Sequence[int]) -> list[Item]:
    return [Item(number, number + 1, None, size) for number, size in enumerate(sizes)]


def filled(sizes: Sequence[int], **rules: int) -> WorkQueue:
    queue = WorkQueue(BatchRules(**{"workers": 2, **rules}))
    queue.add(items_of(sizes))
    queue.end()
    return queue


def unended(sizes: Sequence[int], **rules: int) -> WorkQueue:
    """A queue that more items may come to."""
    queue = WorkQueue(BatchRules(**{"workers": 1, **rules}))
    queue.add(items_of(sizes))
    return queue


def sizes_of(batch: Batch | None) -> list[int]:
    return [item.size for item in batch.items] if batch else []


def do_one(queue: WorkQueue, worker: int = 0) -> None:
    """Do a batch, so that the program is known to be able to."""
    batch = queue.take(worker)
    assert batch is not None
    queue.done(worker, batch.number)


class AnyHistory(RuleBasedStateMachine):
    """Reads, takes, answers, failures and deaths in any order."""

    @initialize(
        sizes=st.lists(st.integers(0, 50), max_size=60),
        workers=st.integers(1, 3),
        largest=st.integers(1, 9),
        padded=st.none() | st.integers(1, 200),
        look_ahead=st.integers(1, 20),
        attempts=st.integers(1, 3),
    )
    def begin(
        self, sizes: list[int], workers: int, largest: int, padded: int | None, look_ahead: int, attempts: int
    ) -> None:
        rules = BatchRules(
            workers=workers, largest=largest, largest_padded=padded, look_ahead=look_ahead, attempts=attempts
        )
        self.queue = WorkQueue(rules)
        self.input = iter(items_of(sizes))
        self.put_in: list[int] = []
        self.done: list[int] = []
        self.dead: list[int] = []

    def read(self) -> None:
        wanted = self.queue.room
        items = [item for _, item in zip(range(wanted), self.input, strict=False)]
        self.queue.add(items)
        self.put_in += [item.number for item in items]
        if len(items) < wanted:
            self.queue.end()

    def some_held(self, data: st.DataObject) -> tuple[int, Batch] | None:
        held = [(w, batch) for w in range(self.queue.rules.workers) for batch in self.queue.held_by(w)]
        return data.draw(st.sampled_from(held)) if held else None

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        if self.queue.must_read or data.draw(st.booleans()):
            self.read()
        self.queue.take(data.draw(st.integers(0, self.queue.rules.workers - 1)))

    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        if (held := self.some_held(data)) is not None:
            worker, batch = held
            assert self.queue.done(worker, batch.number) is batch
            assert self.queue.done(worker, batch.number) is None
            self.done += [item.number for item in batch.items]

    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        if (held := self.some_held(data)) is not None:
            self.queue.failed(held[0], held[1].number, "it failed")

    @rule(data=st.data())
    def die(self, data: st.DataObject) -> None:
        worker = data.draw(st.integers(0, self.queue.rules.workers - 1))
        held, dead = self.queue.held_by(worker), self.queue.figures.dead
        begun = data.draw(st.sampled_from([None, *(batch.number for batch in held)]))
        if begun is not None:
            self.queue.began(worker, begun)
        is_blamed = data.draw(st.booleans())
        assert (self.queue.lost(worker, "it died", is_blamed=is_blamed) is None) == (not held)
        assert not self.queue.held_by(worker)
        assert is_blamed or self.queue.figures.dead == dead

    @rule()
    def bury(self) -> None:
        self.dead += [letter.item.number for letter in self.queue.take_dead()]

    @invariant()
    @precondition(lambda self: hasattr(self, "queue"))
    def each_is_in_one_place(self) -> None:
        self.bury()
        held = [i.number for w in range(self.queue.rules.workers) for b in self.queue.held_by(w) for i in b.items]
        assert self.queue.items_in_flight == len(held)
        assert len(self.done) + len(self.dead) + len(held) + self.queue.waiting == len(self.put_in)
        assert max(Counter([*self.done, *self.dead, *held]).values(), default=1) == 1

    def teardown(self) -> None:
        if not hasattr(self, "queue"):
            return
        for _ in range(10_000):
            if self.queue.over:
                break
            if self.queue.must_read:
                self.read()
            self.queue.take(0)
            for worker in range(self.queue.rules.workers):
                for batch in self.queue.held_by(worker):
                    self.queue.done(worker, batch.number)
                    self.done += [item.number for item in batch.items]
        self.bury()
        assert sorted([*self.done, *self.dead]) == self.put_in
        assert next(self.input, None) is None


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(deadline=None, stateful_step_count=40, max_examples=150)


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=200),
    st.sets(st.integers(0, 199), max_size=4),
    st.integers(1, 3),
    st.integers(1, 16),
    st.integers(1, 3),
    st.booleans(),
    st.randoms(use_true_random=False),
)
def test_exactly_the_items_that_kill_their_workers_are_given_up(
    sizes: list[int], poison: set[int], attempts: int, largest: int, workers: int, tells: bool, chance: random.Random
) -> None:
    """Whether or not the program says which batch it begins with, and whatever else its workers hold."""
    queue = filled(sizes, attempts=attempts, largest=largest, workers=workers)
    done: list[int] = []
    deaths = 0
    for _ in range(100_000):
        if queue.over:
            break
        worker = chance.randrange(workers)
        while len(queue.held_by(worker)) < queue.may_hold(worker) and queue.take(worker):
            pass
        held = queue.held_by(worker)
        if not held:
            continue
        if tells:
            queue.began(worker, held[0].number)
        if poison & {item.number for item in held[0].items}:
            queue.lost(worker, "it died")
            deaths += 1
        else:
            queue.done(worker, held[0].number)
            done += [item.number for item in held[0].items]
    assert queue.over
    dead = [letter.item.number for letter in queue.take_dead()]
    poison &= set(range(len(sizes)))
    assert sorted(dead) == sorted(poison)
    assert sorted(done) == sorted(set(range(len(sizes))) - poison)
    # Of the whole batch, of each half that is cut off, and of the item alone; twice where it is not known at first.
    assert deaths <= len(poison) * (2 * attempts + largest.bit_length()) * (1 if tells else 2)


@given(st.integers(50, 300), st.integers(1, 3), st.integers(1, 16), st.integers(1, 3), st.integers(0, 2**32))
def test_nothing_is_given_up_for_what_a_worker_had_begun_beside_it(
    count: int, attempts: int, largest: int, workers: int, seed: int
) -> None:
    """Of several batches that overlap in a worker one kills it, at any time; the others come to their ends."""
    queue, chance = filled([1] * count, attempts=attempts, largest=largest, workers=workers), random.Random(seed)
    poison = set(chance.sample(range(count), 2))
    done: list[int] = []
    deaths = 0
    for _ in range(100_000):
        if queue.over:
            break
        worker = chance.randrange(workers)
        while len(queue.held_by(worker)) < queue.may_hold(worker) and queue.take(worker):
            pass
        begun = queue.held_by(worker)[: chance.randint(1, 3)]
        for batch in begun:
            queue.began(worker, batch.number)
        if not begun:
            continue
        batch = chance.choice(begun)
        if poison & {item.number for item in batch.items}:
            queue.lost(worker, "it died")
            deaths += 1
        else:
            queue.done(worker, batch.number)
            done += [item.number for item in batch.items]
    assert queue.over
    assert {letter.item.number for letter in queue.take_dead()} == poison
    assert sorted(done) == sorted(set(range(count)) - poison)
    assert deaths <= 2 * len(poison) * (2 * attempts + largest.bit_length())


@given(st.integers(2, 100), st.integers(1, 16), st.integers(1, 3), st.booleans(), st.randoms(use_true_random=False))
def test_a_program_that_ends_after_every_answer_loses_no_item(
    count: int, largest: int, workers: int, tells: bool, chance: random.Random
) -> None:
    """It dies between done (or failed) and the next batch, which it has not looked at."""
    queue = filled([1] * count, attempts=1, largest=largest, workers=workers)
    done: list[int] = []
    for _ in range(10_000):
        if queue.over:
            break
        worker = chance.randrange(workers)
        while len(queue.held_by(worker)) < 3 and queue.take(worker):
            pass
        held = queue.held_by(worker)
        if held:
            if tells:
                queue.began(worker, held[0].number)
            queue.done(worker, held[0].number)
            done += [item.number for item in held[0].items]
            queue.lost(worker, "ended with exit code 0")
    assert queue.take_dead() == []
    assert sorted(done) == list(range(count))


@given(st.integers(2, 60), st.integers(0, 59), st.integers(1, 3), st.booleans())
def test_an_item_that_fails_and_then_kills_is_given_up_and_not_the_one_after_it(
    count: int, bad: int, attempts: int, tells: bool
) -> None:
    queue = filled([1] * count, attempts=attempts, largest=4)
    bad %= count
    done: list[int] = []
    for _ in range(10_000):
        if queue.over:
            break
        while len(queue.held_by(0)) < 2 and queue.take(0):
            pass
        batch = queue.held_by(0)[0]
        if tells:
            queue.began(0, batch.number)
        if bad in {item.number for item in batch.items}:
            queue.failed(0, batch.number, "it is bad")
            queue.lost(0, "was killed by SIGKILL")
        else:
            queue.done(0, batch.number)
            done += [item.number for item in batch.items]
    assert [letter.item.number for letter in queue.take_dead()] == [bad]
    assert sorted(done) == sorted(set(range(count)) - {bad})


def test_who_was_asked_to_end_is_blamed_for_nothing() -> None:
    queue = filled([1, 1], attempts=1, largest=1)
    batch = queue.take(0)
    assert batch is not None
    queue.began(0, batch.number)
    queue.lost(0, "was killed by SIGTERM", is_blamed=False)
    assert queue.take_dead() == []
    assert not queue.in_doubt
    again = queue.take(0)
    assert again is not None
    assert again.items == batch.items


def test_what_was_in_doubt_goes_alone_to_a_worker_that_has_done_nothing_yet() -> None:
    queue = filled(range(1, 101), largest=4, attempts=1)
    do_one(queue)
    do_one(queue, worker=1)
    first = queue.take(0)
    queue.lost(0, "it died")  # after an answer, and it did not say that it had begun: perhaps of that
    assert sizes_of(queue.take(1)) != sizes_of(first)  # it has answered, and there is something else for it
    again = queue.take(0)
    assert sizes_of(again) == sizes_of(first)
    assert queue.take(0) is None  # it stays alone
    queue.lost(0, "it died")
    assert sizes_of(queue.take(0)) == sizes_of(first)[:2]  # now it is known, and cut in two


def test_a_worker_is_blamed_for_the_batch_that_it_worked_on_and_not_for_the_next() -> None:
    queue = filled(range(1, 101), largest=4, attempts=1)
    do_one(queue)
    first, second = queue.take(0), queue.take(0)
    assert first is not None
    assert second is not None
    queue.began(0, first.number)
    queue.lost(0, "it died")
    again = [queue.take(1) for _ in range(3)]
    assert sizes_of(again[0]) == sizes_of(second)
    assert [sizes_of(batch) for batch in again[1:]] == [sizes_of(first)[:2], sizes_of(first)[2:]]


def test_where_a_worker_had_begun_several_each_goes_alone_to_another() -> None:
    queue = filled([1] * 100, largest=1, attempts=1)
    do_one(queue)
    first, second = queue.take(0), queue.take(0)
    for batch in (first, second):
        assert batch is not None
        queue.began(0, batch.number)
    queue.lost(0, "it died")
    assert queue.take_dead() == []
    for batch in (first, second):
        again = queue.take(0)
        assert batch is not None
        assert again is not None
        assert (again.items, again.alone) == (batch.items, True)
        assert queue.take(0) is None
        queue.began(0, again.number)
        queue.lost(0, "it died again")
    assert [letter.item for letter in queue.take_dead()] == [*first.items, *second.items]  # type: ignore[union-attr]


def test_the_longest_go_first_and_like_lengths_go_together() -> None:
    queue = unended([5, 90, 6, 80, 7, 85], largest=3)
    assert sizes_of(queue.take(0)) == [90, 85, 80]


def test_a_batch_is_as_long_as_its_longest_item_times_their_number() -> None:
    queue = unended([10] * 40 + [100], largest=32, largest_padded=150)
    assert sizes_of(queue.take(0)) == [100]
    assert sizes_of(queue.take(0)) == [10] * 15


@given(st.integers(1, 8), st.integers(1, 64), st.integers(1, 500))
def test_towards_the_end_no_worker_gets_more_than_its_share_of_what_is_left(
    workers: int, largest: int, count: int
) -> None:
    queue = filled([1] * count, workers=workers, largest=largest)
    while not queue.over:
        left = queue.waiting
        batch = queue.take(0)
        assert batch is not None
        assert len(batch.items) <= max(1, left // (2 * workers))
        queue.done(0, batch.number)


def test_at_the_end_nobody_holds_in_reserve_what_others_could_do() -> None:
    queue = filled([1] * 2000, workers=2, largest=8)
    assert queue.may_hold(0) == 2
    assert queue.may_hold(0, batch_s=0.05) == 5
    assert queue.may_hold(0, batch_s=1000.0) == 2
    assert queue.may_hold(0, batch_s=1e-9) == 32
    while queue.waiting > 16:
        queue.take(0)
    assert queue.may_hold(0, batch_s=0.05) == 2
    while queue.waiting > 4:
        queue.take(0)
    assert queue.may_hold(0, batch_s=0.05) == 1


def test_a_reserve_is_small_however_quickly_it_is_used_up() -> None:
    queue = filled([1 << 20] * 100, workers=1, largest=1)
    queue.take(0)
    assert queue.may_hold(0, batch_s=1e-3) == 32
    queue.take(0)
    assert queue.may_hold(0, batch_s=1e-3) == 2


def test_as_long_as_nothing_was_done_and_workers_die_single_items_are_tried_the_shortest_first() -> None:
    queue = filled(range(1, 101), largest=4, attempts=2)
    first, other = queue.take(0), queue.take(1)
    assert first is not None
    assert other is not None
    queue.began(0, first.number)
    queue.lost(0, "it died")
    trial = queue.take(0)
    assert trial is not None
    assert sizes_of(trial) == [1]
    assert sizes_of(queue.take(0)) == [2]
    queue.done(0, trial.number)  # it can do something: what came back is next, and batches are whole again
    assert sizes_of(queue.take(0)) == sizes_of(first)
    assert len(sizes_of(queue.take(0))) == 4


def test_what_came_back_is_tried_again_once_nothing_new_is_left() -> None:
    queue = filled([1, 2], largest=1, attempts=3)
    for size in (2, 1, 2, 1, 2):
        assert sizes_of(queue.take(0)) == [size]
        queue.lost(0, "it died")


def test_an_answer_to_an_earlier_time_is_not_taken() -> None:
    queue = filled([1] * 8, largest=4, attempts=2)
    do_one(queue)
    batch = queue.take(0)
    assert batch is not None
    queue.lost(0, "it died")
    again = queue.take(1)
    assert again is not None
    assert again.items == batch.items
    assert queue.done(0, batch.number) is None
    assert queue.done(1, batch.number) is None
    assert queue.done(1, again.number) is not None


def test_padding_is_what_shorter_items_of_a_batch_are_filled_up_with() -> None:
    queue = filled([10, 5, 5], largest=3, workers=1)
    while (batch := queue.take(0)) is not None:
        queue.done(0, batch.number)
    assert queue.figures.padding_waste == 0.0
    queue = unended([10, 5, 5], largest=3)
    batch = queue.take(0)
    assert batch is not None
    queue.done(0, batch.number)
    assert queue.figures.padding_waste == 1 - 20 / 30
