"""When results are committed, in a thread that has the files and the ledger to itself: no disk holds up a worker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipexlaunch.batch.feed.commit_log import CallbackJournal, Journal, Uncommitted
from ipexlaunch.batch.items import DeadLetter
from ipexlaunch.batch.output.append_results import MOST_WAITING_BYTES, NAME_A_FILE, StandardOutput
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.supervise.interfaces import Count, Notice
from ipexlaunch.launch.wait_for_disk import NOTICE_S, DiskThread

HINT = "what was committed stays; once the disk answers: {}"
"""With the option, or the line, that resumes the job."""

PIPE_LOOK_S = 0.05
"""Between two looks at a pipe that has not taken its results yet."""

DISK_LOOK_S = 1.0
"""Between two looks at a commit that lasts."""

PIPE_LAST_S = 5.0
"""How long a pipe may take nothing once its workers have ended."""


class ThreadedJournal:
    """Gathers what is done while the thread makes durable what was done before."""

    def __init__(self, journal: Journal, path: str, again: str) -> None:
        """Begin where the journal stands; from now on it is the thread's.

        Args:
            journal: commits.
            path: of the output, for messages.
            again: resumes the job, where its disk hangs: an option or a line.
        """
        self.disk = DiskThread()
        self.standing = journal.progress.standing()
        """How the job stood when a commit was last over."""
        self.tried = 0
        """Items that were accounted for by this run."""
        self._journal = journal
        self._path, self._again = path, again
        self._gathered, self._committing = Uncommitted(), Uncommitted()

    @property
    def since(self) -> float | None:
        """When the oldest of what is gathered came; None where nothing is."""
        return self._gathered.since

    @property
    def waiting_bytes(self) -> int:
        """Of rows and items that are not durable yet, whether they are being committed or not."""
        return self._gathered.size + self._committing.size

    @property
    def busy(self) -> bool:
        """Whether something was begun and `take_counts` has not told its end."""
        return self.disk.busy

    @property
    def answered(self) -> bool:
        """Whether `take_counts` has something to tell."""
        return self.disk.answered

    def add(self, numbers: Sequence[int], rows: bytes, count: Count) -> None:
        """Take the results of a batch.

        Args:
            numbers: of the items that were done.
            rows: their lines in the output.
            count: what counts once they are durable.
        """
        self._gathered.numbers += numbers
        self._gathered.rows.append(rows)
        self._gathered.counts.append(count)
        self._gather(len(rows), count.time)

    def add_dead(self, letters: Sequence[DeadLetter], now: float) -> None:
        """Take items that were given up."""
        self._gathered.letters += letters
        self._gather(sum(letter.item.size for letter in letters), now)

    def _gather(self, size: int, now: float) -> None:
        self._gathered.size += size
        self._gathered.since = now if self._gathered.since is None else self._gathered.since

    def commit(self) -> None:
        """Begin to make durable what is gathered; nothing else is being done."""
        gathered, self._gathered = self._gathered, Uncommitted()
        self._begin(gathered, lambda: self._journal.commit(gathered))

    def finish(self, *, complete: bool, settle: bool) -> None:
        """Begin to let go of the files; what was not committed does not count.

        Args:
            complete: whether the job has finished.
            settle: whether every file is to be left as it is to be found, because nothing will be added any more.
        """

        def act() -> list[Count]:
            try:
                if complete:
                    self._journal.complete()
                if settle:
                    self._journal.settle()
            finally:
                self._journal.close()
            return []

        self._begin(Uncommitted(), act)

    def _begin(self, committing: Uncommitted, act: Callable[[], list[Count]]) -> None:
        self._committing = committing
        self.disk.begin(
            lambda: (act(), self._journal.progress.standing()), f"write {self._path}", HINT.format(self._again)
        )

    def take_counts(self) -> list[Count]:
        """What has become durable and counts from now on.

        Raises:
            IpexLaunchError: a file or the ledger cannot be written; what was committed before stays, and the rest of
                this can never be committed here any more.
        """
        counts: list[Count]
        counts, self.standing = self.disk.take()
        committed, self._committing = self._committing, Uncommitted()
        self.tried += len(committed.numbers) + len(committed.letters)
        return counts


AnyJournal = ThreadedJournal | CallbackJournal
"""What takes the results of a feeder."""


class Commits:
    """One commit after the other; what is done meanwhile gathers in the journal."""

    def __init__(
        self,
        journal: AnyJournal,
        commit_s: float,
        commit_bytes: int,
        pipe: StandardOutput | None,
        want: Callable[[Count | Notice], None],
    ) -> None:
        """Begin with nothing to commit.

        Args:
            journal: makes results durable.
            commit_s: what is gathered waits at most so long for others to be committed with it, ...
            commit_bytes: ... or until there is so much of it.
            pipe: where the journal writes, where that is no file: it is never waited for, but blocks the job.
            want: takes what has become durable, and what the user should know.
        """
        self._want = want
        self._journal = journal
        self._commit_s = commit_s
        self._commit_bytes = commit_bytes
        self._pipe = pipe
        self._looked_at_pipe: float | None = None
        """When it was last looked at; None while it has taken all that was committed."""
        self._began: float | None = None
        """When the commit that lasts was begun; None where none does."""
        self._looked_at_disk = 0.0

    @property
    def over(self) -> bool:
        """Whether all that was done is durable, or taken."""
        return self._journal.since is None and not self._journal.busy and not self._pipe_waits

    @property
    def hold_up(self) -> bool:
        """Whether the disk has too much to take, or the pipe."""
        if self._journal.waiting_bytes >= 2 * self._commit_bytes:
            return True
        return self._pipe is not None and self._pipe.waiting_bytes > MOST_WAITING_BYTES

    @property
    def _pipe_waits(self) -> bool:
        """Whether a pipe has not taken everything, or fails."""
        return self._pipe is not None and bool(self._pipe.waiting_bytes or self._pipe.problem)

    def due(self) -> float | None:
        """When something is to be committed or to be looked at."""
        if self._journal.answered:
            return 0.0
        times = [] if self._began is None else [self._looked_at_disk + DISK_LOOK_S]
        if self._journal.since is not None and not self._journal.busy:
            times.append(self._journal.since + self._commit_s)
        if self._looked_at_pipe is not None:
            times.append(self._looked_at_pipe + PIPE_LOOK_S)
        return min(times, default=None)

    def look(self, now: float) -> bool:
        """Take what has become durable; whether something finished that may have blocked the job.

        Raises:
            IpexLaunchError: something cannot be written.
        """
        is_free = self._look_at_disk(now)
        if self._looked_at_pipe is None or self._pipe is None:
            return is_free
        self._looked_at_pipe = now if self._pipe_waits else None
        if self._pipe.problem:
            raise IpexLaunchError("write results to the pipe", self._pipe.problem, NAME_A_FILE)
        return True

    def begin(self, now: float, *, must: bool = False) -> None:
        """Begin a commit where one is due and none lasts.

        Args:
            now: seconds of the supervisor's clock.
            must: whether nothing else will come that could be committed with what is gathered.

        Raises:
            IpexLaunchError: something cannot be written.
        """
        journal = self._journal
        if journal.busy or journal.since is None:
            return
        if must or now >= journal.since + self._commit_s or journal.waiting_bytes >= self._commit_bytes:
            journal.commit()
            self._began = self._looked_at_disk = now
            self._look_at_disk(now)

    def end(self, now: float, wait: Callable[[DiskThread], None], *, is_given_up: bool) -> None:
        """Wait for the commit that lasts, and commit all that is gathered.

        Args:
            now: seconds of the supervisor's clock.
            wait: returns once there is an answer, or raises an IpexLaunchError where there is none.
            is_given_up: whether nothing more is to be committed.

        Raises:
            IpexLaunchError: something cannot be written.
        """
        self._wait(now, wait)
        if is_given_up:
            return
        self.begin(now, must=True)
        self._wait(now, wait)
        if self._pipe is not None:
            self._pipe.wait(PIPE_LAST_S)

    def let_go(self, now: float, wait: Callable[[DiskThread], None], *, complete: bool, settle: bool) -> None:
        """Let go of the files; one that hangs is left to its thread.

        Args:
            now: seconds of the supervisor's clock.
            wait: as for `end`.
            complete: whether the job has finished.
            settle: whether every file is to be left as it is to be found.

        Raises:
            IpexLaunchError: something cannot be written.
        """
        if not self._journal.busy:
            self._journal.finish(complete=complete, settle=settle)
            self._wait(now, wait)

    def _wait(self, now: float, wait: Callable[[DiskThread], None]) -> None:
        while self._journal.disk is not None and self._journal.busy:
            wait(self._journal.disk)
            self._look_at_disk(now)

    def _look_at_disk(self, now: float) -> bool:
        """Take what a commit has made durable, or note that it lasts; whether one is over."""
        journal = self._journal
        if journal.answered:
            self._began = None
            for count in journal.take_counts():
                self._want(count)
            if self._pipe is not None and self._looked_at_pipe is None:
                self._looked_at_pipe = 0.0
            return True
        if self._began is not None and journal.disk is not None and now >= self._looked_at_disk + DISK_LOOK_S:
            journal.disk.silent_s()  # so that it can tell since when
            if self._looked_at_disk - self._began < NOTICE_S <= now - self._began:
                self._want(Notice(f"results wait for their disk: writing them has taken {NOTICE_S:g} s so far"))
            self._looked_at_disk = now
        return False
