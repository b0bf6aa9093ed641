"""The feeder between queue and workers, with a journal in memory: what it sends, commits, and when it gives up."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ipexlaunch.batch.feed import FeedRules, Journal, QueueFeeder, ThreadedJournal
from ipexlaunch.batch.feed.commits import HINT
from ipexlaunch.batch.feed.fault_limits import FaultLimits
from ipexlaunch.batch.items import Item
from ipexlaunch.batch.job_state import CommittedCounts, DoneItems, JobState
from ipexlaunch.batch.output.append_results import WriteError
from ipexlaunch.batch.work_queue import BatchRules, WorkQueue
from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.supervise.interfaces import Count, FeederCommand, Kill, Notice, Send
from ipexlaunch.launch.supervise.message_protocol import WorkerMessage
from ipexlaunch.launch.wait_for_disk import DiskThread, HungDiskError


class Lines:
    """A file in memory that can be full, and can hang."""

    def __init__(self, order: list[str], name: str) -> None:
        self.order = order
        self.name = name
        self.data = b""
        self.full = False
        self.answers = threading.Event()
        self.answers.set()

    def append(self, data: bytes) -> int:
        self.answers.wait()
        if self.full:
            raise WriteError("write out.jsonl", "No space left on device")
        self.order.append(self.name)
        self.data += data
        return len(self.data)

    def close(self) -> None:
        self.order.append(f"{self.name} closed")

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.data.splitlines()]


class Book:
    """A ledger in memory."""

    def __init__(self, order: list[str]) -> None:
        self.order = order
        self.progress = JobState(done=DoneItems())
        self.committed = 0

    def commit(self) -> None:
        self.order.append("ledger")
        self.committed = self.progress.done.count

    def close(self) -> None:
        self.order.append("ledger closed")


class Case:
    """A feeder and everything around it."""

    def __init__(self, count: int = 8, largest: int = 2, workers: int = 2, attempts: int = 2, **rules: Any) -> None:
        self.order: list[str] = []
        self.output, self.dead, self.book = Lines(self.order, "output"), Lines(self.order, "dead"), Book(self.order)
        journal = Journal(self.output, lambda _: self.dead, self.book)
        queue = WorkQueue(BatchRules(workers=workers, largest=largest, attempts=attempts))
        self.journal = ThreadedJournal(journal, "out.jsonl", "--resume")
        self.feeder = QueueFeeder(queue, self.items(count), self.journal, FeedRules(**rules))
        self.time = 0.0
        self.commands: list[FeederCommand] = []

    def take(self, kind: type[Any]) -> list[Any]:
        """The commands of a kind since the last call."""
        taken = [command for command in self.commands if isinstance(command, kind)]
        self.commands = [command for command in self.commands if not isinstance(command, kind)]
        return taken

    def go_on_after(self, numbers: list[int]) -> None:
        """As if these had been done by an earlier run."""
        self.book.progress.done.add(numbers)
        self.journal.standing = self.book.progress.standing()

    def items(self, count: int) -> Iterator[Item]:
        for n in range(count):
            yield Item(n, f"d{n}", n, 10)

    def say(self, worker: int, event: str, number: int = 0, **fields: Any) -> list[tuple[int, dict[str, Any]]]:
        sent = self.tell(worker, event, number, **fields)
        self.wait()
        return [*sent, *self.sent()]

    def tell(self, worker: int, event: str, number: int = 0, **fields: Any) -> list[tuple[int, dict[str, Any]]]:
        """The same without waiting for the disk."""
        self.commands += self.feeder.said(worker, WorkerMessage(event, number=number, **fields), self.time)
        return self.sent()

    def wait(self) -> None:
        """Until the disk has done what it was asked for."""
        while self.journal.busy:
            wait(self.journal.disk)
            self.commands += self.feeder.tick(self.time)

    def close(self, time: float) -> None:
        self.commands += self.feeder.close(time, wait)

    def sent(self) -> list[tuple[int, dict[str, Any]]]:
        return [(worker, json.loads(line)) for worker, line in self.take(Send)]

    def tick(self, time: float) -> None:
        self.time = time
        due = self.feeder.due()
        if due is not None and due <= time:
            self.commands += self.feeder.tick(time)
        self.wait()


def wait(disk: DiskThread) -> None:
    assert disk.answers(60.0)


def test_what_is_done_is_appended_then_kept_in_the_ledger_and_only_then_counts() -> None:
    case = Case(count=100)
    (_, first), *_ = case.say(0, "want", 2)
    assert first["items"] == [{"id": "d99", "value": 99}, {"id": "d98", "value": 98}]
    case.say(0, "done", first["batch"], results=["x", "y"], latency_s=0.25)
    assert case.order == []
    assert case.take(Count) == []
    case.tick(0.1)
    assert case.order == ["output", "ledger"]
    assert case.take(Count) == [Count(0, 0.0, 2, 0.25)]
    assert case.output.rows == [
        {"id": "d99", "number": 99, "result": "x"},
        {"id": "d98", "number": 98, "result": "y"},
    ]
    assert case.book.progress.output_bytes == len(case.output.data)


def run_to_the_end(case: Case) -> list[tuple[int, dict[str, Any]]]:
    waiting, ended = [*case.say(0, "want", 2), *case.say(1, "want", 2)], []
    while waiting:
        worker, message = waiting.pop(0)
        if message["command"] == "end":
            ended.append((worker, message))
        else:
            results = [item["value"] for item in message["items"]]
            waiting += case.say(worker, "done", message["batch"], results=results)
    return ended


def test_workers_are_sent_home_once_everything_is_durable() -> None:
    case = Case()
    ended = run_to_the_end(case)
    assert sorted(worker for worker, _ in ended) == [0, 1]
    assert case.book.committed == 8
    assert case.feeder.over
    assert case.say(1, "want", 2) == []
    case.close(1.0)
    assert case.book.progress.complete


def test_a_worker_that_comes_back_when_all_is_done_is_sent_home_too() -> None:
    case = Case()
    run_to_the_end(case)
    case.commands += case.feeder.lost(1, "died", 1.0)
    assert case.say(1, "want", 2) == [(1, {"command": "end"})]


def test_what_a_dead_worker_had_goes_to_one_that_waits() -> None:
    case = Case(count=1)
    assert len(case.say(0, "want", 2)) == 1
    assert case.say(1, "want", 2) == []
    case.commands += case.feeder.lost(0, "died", 1.0)
    ((worker, message),) = case.sent()
    assert worker == 1
    assert message["items"] == [{"id": "d0", "value": 0}]


@pytest.mark.parametrize("results", [[1], [1, 2, 3], [1, float("nan")]])
def test_results_that_cannot_be_kept_fail_the_batch(results: list[object]) -> None:
    case = Case(count=5000, largest=2, workers=1)
    (_, message), *_ = case.say(0, "want", 1)
    case.say(0, "done", message["batch"], results=results)
    assert case.output.data == b""
    assert case.feeder.queue.figures.items_done == 0


def test_what_was_given_up_is_a_dead_letter_with_its_reason() -> None:
    case = Case(count=1, workers=1, attempts=2)
    (_, first), *_ = case.say(0, "want", 2)
    (_, second), *_ = case.say(0, "failed", first["batch"], text="too long")
    assert case.say(0, "failed", second["batch"], text="too long") == [(0, {"command": "end"})]
    assert case.dead.rows == [{"id": "d0", "number": 0, "reason": "too long", "attempts": 2, "value": 0}]
    assert case.order == ["output", "dead", "ledger"]
    assert case.book.progress.dead == 1
    assert [notice.text for notice in case.take(Notice)] == ["item 'd0' was given up after 2 attempts: too long"]


def test_while_a_disk_hangs_workers_get_more_up_to_a_bound_and_nothing_counts() -> None:
    case = Case(count=1000, largest=1, workers=1, commit_bytes=200)
    case.output.answers.clear()
    waiting = case.tell(0, "want", 4)
    given = 0
    while waiting:
        _, message = waiting.pop(0)
        given += 1
        waiting += case.tell(0, "done", message["batch"], results=["x" * 20])
        assert given < 1000
    row = len(b'{"id":"d999","number":999,"result":"xxxxxxxxxxxxxxxxxxxx"}\n')
    assert 4 < given <= 2 * 200 // row + 4
    assert case.take(Count) == []
    assert not case.feeder.over
    assert case.feeder.rest_s() == 0.0
    case.commands += case.feeder.tick(20.0)
    assert [notice.text for notice in case.take(Notice)] == [
        "results wait for their disk: writing them has taken 10 s so far"
    ]
    case.output.answers.set()
    case.wait()
    assert sum(count.items for count in case.take(Count)) == case.book.committed > 0
    assert case.sent()  # it goes on


def test_a_disk_that_hangs_at_the_end_is_left_alone_and_nothing_of_that_commit_counts() -> None:
    def give_up(disk: DiskThread) -> None:
        raise HungDiskError(disk.wanted, "it hangs", disk.hint)

    case = Case(count=1)
    (_, message), *_ = case.say(0, "want", 1)
    case.output.answers.clear()
    case.tell(0, "done", message["batch"], results=[1])
    case.commands += case.feeder.close(1.0, give_up)
    assert case.feeder.problem == f"cannot write out.jsonl: it hangs; {HINT.format('--resume')}"
    assert case.take(Count) == []
    assert case.journal.standing == CommittedCounts(done=0, dead=0, complete=False)
    case.output.answers.set()
    wait(case.journal.disk)
    assert case.order == ["output", "ledger"]  # what was begun came to its end, and nothing after it


def test_a_full_disk_stops_the_job_and_nothing_of_that_commit_counts() -> None:
    case = Case(count=100)
    (_, first), *_ = case.say(0, "want", 2)
    case.output.full = True
    case.say(0, "done", first["batch"], results=[1, 2])
    case.tick(0.1)
    assert "No space left on device" in case.feeder.problem
    assert case.take(Count) == []
    assert case.say(1, "want", 2) == []
    case.output.full = False
    case.close(1.0)
    assert case.book.committed == 0
    assert case.order == ["output closed", "ledger closed"]


def test_who_has_a_batch_for_too_long_is_named_once() -> None:
    case = Case(count=100, stall_timeout_s=60.0)
    (_, first), *_ = case.say(0, "want", 2)
    case.tick(50.0)
    case.say(0, "done", first["batch"], results=[1, 2])
    case.tick(100.0)
    assert case.take(Kill) == []
    case.tick(110.0)
    assert case.take(Kill) == [(0, "had a batch for 60 s (--stall-timeout)")]
    case.tick(111.0)
    assert case.take(Kill) == []


def test_the_launcher_rests_while_every_worker_has_enough_to_do() -> None:
    case = Case(count=5000, largest=1)
    assert case.feeder.rest_s() == 0.0
    for worker in (0, 1):
        sent = case.say(worker, "want", 32)
        assert case.feeder.rest_s() == 0.0  # how long this one takes is not known yet
        for _, message in sent:
            for _, more in case.say(worker, "done", message["batch"], results=[1], latency_s=0.05):
                assert more["command"] == "batch"
    assert case.feeder.rest_s() > 0.0
    case.commands += case.feeder.lost(1, "died", 1.0)
    assert case.feeder.rest_s() > 0.0  # who is not there needs nothing
    case.say(1, "want", 1)
    assert case.feeder.rest_s() == 0.0  # it has no reserve
    case.feeder.problem = "the disk is full"
    assert case.feeder.rest_s() == 0.0


def die(case: Case, worker: int, reason: str = "ended with exit code 1") -> None:
    case.say(worker, "want", 2)
    assert not case.feeder.problem
    case.commands += case.feeder.lost(worker, reason, 1.0)


def test_a_program_on_which_every_worker_dies_is_given_up() -> None:
    case = Case(count=1000, largest=64, workers=1)
    (_, first), *_ = case.say(0, "want", 2)
    case.say(0, "done", first["batch"], results=[1] * len(first["items"]))
    for _ in range(20):
        die(case, 0, "was killed by SIGSEGV")
    assert "20 times without a batch done in between, at last: was killed by SIGSEGV" in case.feeder.problem


@pytest.mark.parametrize(("workers", "deaths"), [(1, 3), (2, 4), (5, 10)])
def test_where_nothing_was_ever_done_two_deaths_of_every_worker_are_enough(workers: int, deaths: int) -> None:
    case = Case(count=1000, largest=32, workers=workers)
    for number in range(deaths):
        die(case, number % workers)
    assert case.feeder.problem == (
        f"the program fails on every batch: workers ended {deaths} times and none was done, at last: "
        "ended with exit code 1; what they printed last says why"
    )


def test_one_worker_that_dies_again_and_again_says_little_while_another_has_not_died() -> None:
    case = Case(count=1000, largest=32, workers=2)
    for _ in range(19):
        die(case, 0)
    assert not case.feeder.problem


def test_where_the_job_has_results_of_an_earlier_run_a_few_deaths_are_not_enough() -> None:
    case = Case(count=1000, largest=32, workers=2)
    case.go_on_after([5000])
    for number in range(19):
        die(case, number % 2)
    assert not case.feeder.problem


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_batches_that_all_hold_a_poisoned_item_are_still_searched_for_it(workers: int) -> None:
    """The first batch of every worker kills it, and every batch of that size would."""
    case = Case(count=320, largest=32, workers=workers)
    poisoned = {f"d{number}" for number in range(3, 320, 16)}
    done: set[str] = set()
    waiting = [message for worker in range(workers) for message in case.say(worker, "want", 1)]
    while waiting:
        worker, message = waiting.pop(0)
        if message["command"] == "end" or message["batch"] not in [b.number for b in case.feeder.queue.held_by(worker)]:
            continue
        ids = [item["id"] for item in message["items"]]
        if poisoned & set(ids):
            case.commands += case.feeder.lost(worker, "was killed by SIGKILL", 1.0)
            waiting += [*case.sent(), *case.say(worker, "want", 1)]
        else:
            done.update(ids)
            waiting += case.say(worker, "done", message["batch"], results=ids)
    assert case.feeder.problem == ""
    assert {row["id"] for row in case.dead.rows} == poisoned
    assert len(done) == 300


def test_a_job_whose_only_item_kills_has_a_dead_letter_and_no_other_problem() -> None:
    case = Case(count=1, largest=32, workers=1, attempts=2)
    die(case, 0)
    die(case, 0)
    assert case.feeder.problem == ""
    assert case.say(0, "want", 2) == [(0, {"command": "end"})]
    assert [row["id"] for row in case.dead.rows] == ["d0"]


def test_workers_that_always_end_before_they_ask_are_given_up() -> None:
    case = Case(count=1000, workers=2)
    for number in range(10):
        assert not case.feeder.problem
        case.commands += case.feeder.lost(number % 2, "ended with exit code 1", 1.0)
    assert case.feeder.problem == "workers ended 10 times before they asked for items, at last: ended with exit code 1"


def test_who_is_asked_to_end_because_nothing_is_left_is_no_reason_to_give_up() -> None:
    case = Case()
    run_to_the_end(case)
    for _ in range(30):
        case.commands += case.feeder.lost(0, "was killed by SIGTERM", 1.0)
    assert not case.feeder.problem


def test_deaths_with_work_done_in_between_are_no_reason_to_give_up() -> None:
    case = Case(count=1000, largest=1, workers=1, attempts=1000, patience=FaultLimits(deaths_in_a_row=20))
    for _ in range(100):
        (_, first), *_ = case.say(0, "want", 1)
        case.say(0, "done", first["batch"], results=[1])
        case.commands += case.feeder.lost(0, "died", 1.0)
        case.sent()
    assert not case.feeder.problem


def test_a_broken_input_ends_the_reading_and_what_was_read_is_done() -> None:
    class Broken(Case):
        def items(self, count: int) -> Iterator[Item]:
            yield from super().items(count)
            raise DocumentError("in.jsonl", "line 9", "it is not JSON")

    case = Broken()
    run_to_the_end(case)
    assert case.book.committed == 8
    assert case.feeder.input_error is not None
    case.close(1.0)
    assert not case.book.progress.complete


def test_the_batch_that_failed_is_given_up_and_not_the_one_that_the_worker_had_next() -> None:
    case = Case(count=40, largest=1, workers=1, attempts=1)
    (_, done), (_, first) = case.say(0, "want", 2)
    ((_, second),) = case.say(0, "done", done["batch"], results=[1])
    case.say(0, "begin", first["batch"])
    case.say(0, "failed", first["batch"], text="it is bad")
    case.commands += case.feeder.lost(0, "was killed by SIGKILL", 1.0)
    assert [batch["id"] for batch in case.dead.rows] == []  # not committed yet
    (_, again), *_ = case.say(0, "want", 2)
    assert again["items"] == second["items"]
    case.tick(2.0)
    assert [(row["id"], row["reason"]) for row in case.dead.rows] == [(first["items"][0]["id"], "it is bad")]


def test_who_was_asked_to_end_speaks_against_nothing() -> None:
    case = Case(count=1000, largest=1, workers=1, attempts=1)
    for _ in range(50):
        case.say(0, "want", 2)
        case.commands += case.feeder.lost(0, "was killed by SIGTERM", 1.0, is_blamed=False)
    case.close(2.0)
    assert (case.feeder.problem, case.dead.data) == ("", b"")


def test_who_is_killed_for_taking_too_long_has_died_of_that() -> None:
    case = Case(count=1, workers=1, attempts=1, stall_timeout_s=60.0)
    (_, first), *_ = case.say(0, "want", 2)
    case.say(0, "begin", first["batch"])
    case.tick(60.0)
    case.commands += case.feeder.lost(0, "was killed by SIGKILL", 61.0)
    case.wait()
    assert [row["reason"] for row in case.dead.rows] == ["had a batch for 60 s (--stall-timeout) and was killed"]


def test_workers_that_end_each_time_that_there_is_nothing_for_them_are_given_up() -> None:
    case = Case(count=0, workers=2)
    case.feeder._input._rows = iter([None] * 100)  # a pipe that gives nothing
    for number in range(10):
        assert not case.feeder.problem
        case.say(number % 2, "want", 2)
        case.commands += case.feeder.lost(number % 2, "ended with exit code 0", 1.0)
    assert "10 times before there were items for them" in case.feeder.problem
