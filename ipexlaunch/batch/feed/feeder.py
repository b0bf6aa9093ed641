"""Between the queue of a batch job and its workers: gives them batches, takes results, notices who is stuck."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ipexlaunch.batch.feed.commits import AnyJournal, Commits
from ipexlaunch.batch.feed.fault_limits import FaultCounter, FeedRules
from ipexlaunch.batch.feed.read_ahead import NOTES_OF_DEAD, ReadAhead
from ipexlaunch.batch.input.input_rules import shown
from ipexlaunch.batch.items import DeadLetter, Item
from ipexlaunch.batch.output.append_results import StandardOutput
from ipexlaunch.batch.output.result_rows import encode_rows
from ipexlaunch.batch.work_queue import WorkQueue
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.supervise.interfaces import Count, FeederCommand, Kill, Notice, Send
from ipexlaunch.launch.supervise.message_protocol import WorkerMessage, command_line
from ipexlaunch.launch.wait_for_disk import DiskThread
from ipexlaunch.machine.wording import counted

LONGEST_RESULTS_BYTES = 256 << 20
"""Of one batch, as a line of JSON."""

PACE_KEPT = 0.8
"""How much of what was known of a worker's pace stands against its last batch."""

REST_S = 0.01
"""Answers that come meanwhile are taken together: each time that the launcher wakes, it takes a cpu from a worker."""


class QueueFeeder:
    """The feeder of a batch job (see `ipexlaunch.launch.supervise.interfaces`)."""

    longest_message_bytes = LONGEST_RESULTS_BYTES

    def __init__(
        self,
        queue: WorkQueue,
        items: Iterator[Item | DeadLetter | None],
        journal: AnyJournal,
        rules: FeedRules,
        pipe: StandardOutput | None = None,
        *,
        is_file: bool = False,
    ) -> None:
        """Begin with all workers loading.

        Args:
            queue: empty, with the rules of the batches.
            items: what is to be done, in the order of the input; read as it is needed. A dead letter stands for a row
                that gives no item, None for an input that has nothing yet: `input_came` says when it has.
            journal: makes results durable.
            rules: when to commit and when to lose patience.
            pipe: where the journal writes, where that is no file: it is never waited for, but blocks the job.
            is_file: whether items that are wanted come soon, so that batches are made of a whole look-ahead.
        """
        self._is_file = is_file
        self.queue = queue
        self.journal = journal
        self.problem = ""
        self.draining = False
        """Whether nothing more is given."""
        self.last_done: dict[int, float] = {}
        """When each worker had done its last batch."""
        self._commands: list[FeederCommand] = []
        """What is to be done, for the answer to the present call."""
        self._input = ReadAhead(items, queue, journal, self._notice)
        self._came = False
        self._rules = rules
        self._wanted = dict.fromkeys(range(queue.rules.workers), 0)
        """Worker to how many batches it can hold; 0 while it has not asked."""
        self._since: dict[int, float] = {}
        """When each worker began with the batch that it works on."""
        self._batch_s: dict[int, float] = {}
        """How long each worker takes for a batch, of late."""
        self._killed: dict[int, str] = {}
        """Why workers are being killed."""
        self._told_end: set[int] = set()
        self._faults = FaultCounter(queue.rules.workers, rules.patience)
        self._commits = Commits(journal, rules.commit_s, rules.commit_bytes, pipe, self._commands.append)

    @property
    def input_error(self) -> IpexLaunchError | None:
        """Where the input ended before its end; what was read before is done all the same."""
        return self._input.error

    @property
    def read(self) -> int:
        """Rows of the input that were read in this run."""
        return self._input.rows

    @property
    def over(self) -> bool:
        """Whether nothing is left to do here, and everything that was done is durable."""
        return self._has_ended and self._commits.over and not self.problem

    @property
    def _has_ended(self) -> bool:
        return self.queue.over or (self.draining and not self.queue.items_in_flight)

    @property
    def disk(self) -> DiskThread | None:
        """Commits what is done: readable when `tick` is wanted."""
        return self.journal.disk

    def said(self, index: int, said: WorkerMessage, now: float) -> list[FeederCommand]:
        """Act on what a worker says of its batches."""
        if said.event == "want":
            self._wanted[index] = said.number
            self._hand_out(index, now)
        elif said.event == "begin":
            self.queue.began(index, said.number)
        elif said.event == "done":
            self._done(index, said, now)
        elif said.event == "failed":
            self._failed(index, said.number, said.text, now)
        return self._finish(now)

    def lost(self, index: int, reason: str, now: float, *, is_blamed: bool = True) -> list[FeederCommand]:
        """Take back what a worker had that has ended; whoever was asked to end is blamed for nothing."""
        asked, self._wanted[index] = self._wanted[index], 0
        self._since.pop(index, None)
        self._told_end.discard(index)
        reason, was_new = self._killed.pop(index, reason), not self.queue.has_answered(index)
        suspect = self.queue.lost(index, reason, is_blamed=is_blamed)
        if suspect is not None:
            self._record_dead(now)
            if is_blamed and not self.queue.over:
                standing = self.journal.standing
                was_any_done = self.queue.figures.items_done > 0 or standing.done > standing.dead
                self._give_up(self._faults.died(index, len(suspect.items), reason, was_any_done=was_any_done))
            self._hand_out_to_all(now)
        elif is_blamed and was_new and not self.queue.over:
            self._give_up(self._faults.died_idle(reason, asked=asked > 0))
        return self._finish(now)

    def drain(self, now: float) -> list[FeederCommand]:
        """Give nothing more: what workers have is finished, the rest is left to another run of the job."""
        self.draining = True
        return self._finish(now)

    def input_came(self) -> None:
        """There are items after a None; `tick` takes them."""
        self._came = True

    def due(self) -> float | None:
        """When something is to be committed, or a worker has taken too long, or items have come."""
        if self.problem:
            return 0.0 if self.journal.answered else None
        if self._came:
            return 0.0
        committing = self._commits.due()
        times = [] if committing is None else [committing]
        if self._rules.stall_timeout_s is not None and self._since:
            times.append(min(self._since.values()) + self._rules.stall_timeout_s)
        return min(times, default=None)

    def rest_s(self) -> float:
        """How long every worker can do without the feeder, in seconds: it has enough to do until then."""
        spare = [
            (len(self.queue.held_by(index)) - 1) * self._batch_s.get(index, 0.0)
            for index, wanted in self._wanted.items()
            if wanted
        ]
        return REST_S if min(spare, default=0.0) >= 2 * REST_S and not self.problem else 0.0

    def tick(self, now: float) -> list[FeederCommand]:
        """Commit what has waited long enough, name who has taken too long, give out what has come."""
        try:
            self._came = self._commits.look(now) or self._came
        except IpexLaunchError as error:
            self._give_up(str(error))
        self._commit(now)
        if self._came:
            self._came = False
            self._hand_out_to_all(now)
        limit = self._rules.stall_timeout_s
        if limit is not None:
            for index in [index for index, since in self._since.items() if now >= since + limit]:
                del self._since[index]
                reason = f"had a batch for {limit:g} s (--stall-timeout)"
                self._commands.append(Kill(index, reason))
                self._killed[index] = f"{reason} and was killed"
        return self._finish(now)

    def close(self, now: float, wait: Callable[[DiskThread], None]) -> list[FeederCommand]:
        """Make durable what is not yet, and let go of the files, or leave them to a thread that hangs.

        Args:
            now: seconds of the supervisor's clock.
            wait: returns once there is an answer, or raises an IpexLaunchError where there is none.
        """
        try:
            self._commits.end(now, wait, is_given_up=bool(self.problem))
        except IpexLaunchError as error:
            self._give_up(str(error))
        try:
            complete = self.over and self.queue.over and self.input_error is None
            self._commits.let_go(now, wait, complete=complete, settle=not self.problem)
        except IpexLaunchError as error:
            self._give_up(str(error))
        return self._taken()

    def _done(self, index: int, said: WorkerMessage, now: float) -> None:
        batch = next((held for held in self.queue.held_by(index) if held.number == said.number), None)
        if batch is None:
            return  # what was taken from it meanwhile, or never given
        try:
            if len(said.results) != len(batch.items):
                raise ValueError(f"gave {counted(len(said.results), 'result')} for {counted(len(batch.items), 'item')}")
            rows = encode_rows(batch.items, said.results)
        except (ValueError, RecursionError) as error:
            self._failed(index, said.number, f"the results cannot be kept: {error}", now)
            return
        self.queue.done(index, said.number)
        # Answers may have gathered here; the worker knows better how long it took.
        latency = now - self._since.get(index, now) if said.latency_s is None else said.latency_s
        self._batch_s[index] = PACE_KEPT * self._batch_s.get(index, latency) + (1 - PACE_KEPT) * latency
        count = Count(index, now, len(batch.items), latency)
        self.journal.add([item.number for item in batch.items], rows, count)
        self.last_done[index] = now
        self._faults.reset()
        self._began_next(index, now)
        self._hand_out(index, now)
        self._commit(now)

    def _failed(self, index: int, number: int, reason: str, now: float) -> None:
        if self.queue.failed(index, number, reason) is not None:
            self._began_next(index, now)
            self._record_dead(now)
            self._hand_out_to_all(now)

    def _began_next(self, index: int, now: float) -> None:
        """The worker works on the next batch that it has from now on, if it has one."""
        self._since.pop(index, None)
        if self.queue.held_by(index):
            self._since[index] = now

    def _hand_out_to_all(self, now: float) -> None:
        """What came back goes to whoever has least."""
        for index in sorted(self._wanted, key=lambda index: len(self.queue.held_by(index))):
            self._hand_out(index, now)

    def _hand_out(self, index: int, now: float) -> None:
        queue = self.queue
        while (
            not self.problem
            and not self.draining
            and not self._commits.hold_up
            and len(queue.held_by(index)) < min(self._wanted[index], queue.may_hold(index, self._batch_s.get(index)))
        ):
            if not self._input.fill(now) and self._is_file and queue.must_read:
                return
            batch = queue.take(index)
            if batch is None:
                return
            items = [{"id": item.id, "value": item.value} for item in batch.items]
            self._commands.append(Send(index, command_line("batch", batch=batch.number, items=items)))
            self._since.setdefault(index, now)

    def _record_dead(self, now: float) -> None:
        """Put what was given up among the dead letters."""
        letters = self.queue.take_dead()
        if not letters:
            return
        self.journal.add_dead(letters, now)
        for letter in letters[: max(0, NOTES_OF_DEAD - self.queue.figures.dead + len(letters))]:
            tried = f"item {shown(letter.item.id)} was given up after {counted(letter.attempts, 'attempt')}"
            self._notice(f"{tried}: {letter.reason}")
        self._give_up(self._faults.gave_up(len(letters), letters[-1].reason))

    def _finish(self, now: float) -> list[FeederCommand]:
        """Once all is done: commit without waiting for more, and send the workers home; what is to be done."""
        if self._has_ended:
            self._commit(now, must=True)
        if self.over:
            asked = [index for index, wanted in self._wanted.items() if wanted and index not in self._told_end]
            self._commands += [Send(index, command_line("end")) for index in asked]
            self._told_end.update(asked)
        return self._taken()

    def _taken(self) -> list[FeederCommand]:
        commands = self._commands.copy()
        self._commands.clear()
        return commands

    def _notice(self, text: str) -> None:
        self._commands.append(Notice(text))

    def _commit(self, now: float, *, must: bool = False) -> None:
        """Begin a commit where it is time for one."""
        try:
            if not self.problem:
                self._commits.begin(now, must=must)
        except IpexLaunchError as error:
            self._give_up(str(error))

    def _give_up(self, problem: str) -> None:
        """Stop the run for this reason; "" for none."""
        self.problem = self.problem or problem
