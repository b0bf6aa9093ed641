"""The ledger of a batch job: one SQLite file beside the output that says which results in it count.

A result counts when the ledger says so and not before: it is appended to the output and synced first, then the ledger
commits with synchronous=FULL. What an output holds beyond the length in its ledger is cut off before the job goes on.
The file is held by flock(2) for the life of the process, so two jobs on one output refuse each other, and a killed job
leaves no lock behind. SQLite's own locks would add nothing (nolock=1), and where flock is made of them, on NFS, they
would refuse us; without other readers the write-ahead log needs no shared memory either (locking_mode=EXCLUSIVE).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote

from ipexlaunch.batch.job_state import DeadLetterFileState, DoneItems, JobState
from ipexlaunch.errors import HeldError, IpexLaunchError

APPLICATION_ID = 0x49504C42
"""PRAGMA application_id of our ledgers, "IPLB"."""

FORMAT = 2
"""1: without `letters` and the table `recovered`; the length of the dead letters was in it already. It is brought up to
date when it is opened."""

REBUILD = "to rebuild it from the output: --resume --rebuild"

SCHEMA = f"""
BEGIN EXCLUSIVE;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
CREATE TABLE progress (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    mark INTEGER NOT NULL,
    output_bytes INTEGER NOT NULL,
    dead_bytes INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    complete INTEGER NOT NULL,
    letters INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE recovered (number INTEGER PRIMARY KEY);
CREATE TABLE chunks (number INTEGER PRIMARY KEY, bits BLOB NOT NULL);
CREATE TABLE job (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO progress VALUES (1, 0, 0, 0, 0, 0, 0);
"""

FROM_FORMAT_1 = f"""
BEGIN EXCLUSIVE;
PRAGMA user_version = {FORMAT};
ALTER TABLE progress ADD COLUMN letters INTEGER NOT NULL DEFAULT 0;
CREATE TABLE recovered (number INTEGER PRIMARY KEY);
"""


class LedgerError(IpexLaunchError):
    """The ledger is damaged, cannot be written, or is held by another job."""


class HeldLedgerError(LedgerError, HeldError):
    """Another job that lives has it."""


class DamagedLedgerError(LedgerError):
    """The ledger is not whole: it was cut, written over, or its job was killed before it had begun."""


class Ledger:
    """An open ledger, held against every other process until it is closed; use `create` or `resume`."""

    def __init__(
        self, path: str, held: int, connection: sqlite3.Connection, job: Mapping[str, object], progress: JobState
    ) -> None:
        """Keep the parts; see `create` and `resume`."""
        self.path = path
        self.job = job
        """What the job was when it began: input, program, options."""
        self.progress = progress
        self._held = held
        self._connection = connection

    @classmethod
    def create(
        cls,
        path: str,
        job: Mapping[str, object],
        read_progress: Callable[[], JobState] | None = None,
        stale: Sequence[str] = (),
    ) -> Ledger:
        """Begin the ledger of a job that has none, replacing an old one that nobody holds.

        Args:
            path: of the file.
            job: what the job is, as JSON can hold it; `resume` gives it back.
            read_progress: says what is done already, where the ledger is rebuilt from an output; called once the
                ledger is held.
            stale: files of an old job that are removed first, so that none of it is ever taken for this one's.

        Raises:
            LedgerError: another job holds it, or it cannot be written.
        """
        with contextlib.ExitStack() as undo, _explained(path):
            fresh = not os.path.lexists(path)
            held = _hold(path, os.O_CREAT | os.O_NOFOLLOW)
            undo.callback(os.close, held)
            if fresh:
                undo.callback(_remove, path, f"{path}-wal")  # it would be taken for a former job's
            progress = JobState(done=DoneItems()) if read_progress is None else read_progress()
            _remove(*stale)
            os.ftruncate(held, 0)
            _remove(f"{path}-wal")
            connection = _connect(path)
            undo.callback(connection.close)
            with connection:
                connection.executescript(SCHEMA)
                connection.executemany("INSERT INTO job VALUES (?, ?)", _rows(job))
            ledger = cls(path, held, connection, job, progress)
            ledger.commit()
            undo.pop_all()
        return ledger

    @classmethod
    def resume(cls, path: str) -> Ledger:
        """Open the ledger of a job that was begun before.

        Args:
            path: of the file.

        Raises:
            LedgerError: another job holds it, it is missing, or it is not whole.
        """
        if not os.path.exists(path):
            raise DamagedLedgerError(f"resume the job of {path}", "there is no such file", REBUILD)
        with contextlib.ExitStack() as undo, _explained(path):
            held = _hold(path)
            undo.callback(os.close, held)
            connection = _connect(path)
            undo.callback(connection.close)
            _check(path, connection)
            try:
                job = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM job")}
                mark, output, dead_bytes, dead, complete, letters = connection.execute(
                    "SELECT mark, output_bytes, dead_bytes, dead, complete, letters FROM progress"
                ).fetchone()
                chunks = dict(connection.execute("SELECT number, bits FROM chunks"))
                progress = JobState(done=DoneItems(mark, chunks), output_bytes=output, dead_bytes=dead_bytes, dead=dead)
                progress.complete, progress.letters = bool(complete), DeadLetterFileState(letters)
            except (ValueError, TypeError):
                raise _damaged(path, "what it says does not fit together") from None
            undo.pop_all()
        return cls(path, held, connection, job, progress)

    def commit(self) -> None:
        """Make what `progress` says durable, in one transaction that is on disk when this returns.

        Raises:
            LedgerError: it cannot be written; what was committed before stays.
        """
        progress = self.progress
        changes = progress.done.take_changes()
        kept = progress.output_bytes, progress.dead_bytes, progress.dead, progress.complete, progress.letters
        with self._transaction() as connection:
            connection.execute(
                "UPDATE progress SET mark = ?, output_bytes = ?, dead_bytes = ?, dead = ?, complete = ?, letters = ?",
                (progress.done.mark, *kept),
            )
            connection.executemany("INSERT OR REPLACE INTO recovered VALUES (?)", [(n,) for n in progress.recovered])
            if progress.letters is not DeadLetterFileState.OUTDATED:
                connection.execute("DELETE FROM recovered")
            connection.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?)", changes.items())
            connection.execute("DELETE FROM chunks WHERE number < ?", (progress.done.mark,))
        progress.recovered.clear()

    def recovered(self) -> DoneItems:
        """Items that were given up and are done since, whose letters are still in the file.

        Raises:
            LedgerError: it cannot be read.
        """
        found = DoneItems()
        with _explained(self.path):
            found.add(number for (number,) in self._connection.execute("SELECT number FROM recovered"))
        return found

    def note_job(self, job: Mapping[str, object]) -> None:
        """Write what the job is from now on; durable when this returns.

        Args:
            job: as JSON can hold it.

        Raises:
            LedgerError: it cannot be written.
        """
        with self._transaction() as connection:
            connection.executemany("INSERT OR REPLACE INTO job VALUES (?, ?)", _rows(job))
        self.job = job

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it, durable when it ends, or nothing."""
        with _explained(self.path), self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield connection

    def close(self) -> None:
        """Let go of the file: first what writes to it, then what keeps others away."""
        self._connection.close()
        os.close(self._held)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _rows(job: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(key, json.dumps(value, sort_keys=True)) for key, value in job.items()]


def _remove(*paths: str) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _hold(path: str, flags: int = 0) -> int:
    """A descriptor that keeps every other process away for as long as it is open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
    try:
        # At once, not after a wait: the other job may run for days.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if not isinstance(error, BlockingIOError):
            raise
        hint = "wait for it, or give another --output"
        raise HeldLedgerError(f"use the ledger {path}", "another job holds it", hint) from None
    return descriptor


def _connect(path: str) -> sqlite3.Connection:
    # One thread uses it after the other, never two at once (see batch/feed/commit_log.py).
    address = f"file:{quote(os.fsencode(path))}?nolock=1"
    connection = sqlite3.connect(address, isolation_level=None, uri=True, check_same_thread=False)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _check(path: str, connection: sqlite3.Connection) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise _damaged(path, "it is not one of ipexlaunch, or its job had not begun")
    if version not in (1, FORMAT):
        raise LedgerError(f"read the ledger {path}", f"its format is {version}, known is {FORMAT}", REBUILD)
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, f"it is damaged ({verdict})")
    if version == 1:
        with connection:
            connection.executescript(FROM_FORMAT_1)


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """What SQLite and the system say of a ledger, in our words."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, sqlite3.OperationalError | OSError) and not str(error).startswith("no such"):
            reason = error.strerror if isinstance(error, OSError) else str(error)
            hint = "make it writable, with room; what was committed before stays"
            raise LedgerError(f"write the ledger {path}", str(reason), hint) from None
        raise _damaged(path, f"it is damaged ({error})") from None


def _damaged(path: str, problem: str) -> DamagedLedgerError:
    return DamagedLedgerError(f"read the ledger {path}", problem, REBUILD)
