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
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import TracebackType
from urllib.parse import quote

from ipexlaunch.batch.done_items import DoneItems
from ipexlaunch.errors import HeldError, IpexLaunchError

APPLICATION_ID = 0x49504C42
"""PRAGMA application_id of our ledgers, "IPLB"."""

FORMAT = 2
"""1: without `letters` and the table `recovered`; the length of the dead letters was in it already. It is brought up to
date when it is opened."""

SCHEMA = """
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
"""


FROM_FORMAT_1 = """
ALTER TABLE progress ADD COLUMN letters INTEGER NOT NULL DEFAULT 0;
CREATE TABLE recovered (number INTEGER PRIMARY KEY);
"""


class Letters(IntEnum):
    """How the file of dead letters stands."""

    WHOLE = 0
    """Each item that was given up has one letter."""
    OUTDATED = 1
    """Some are of items that were done since (`Ledger.recovered`), or failed again and have another one after it."""
    ASIDE = 2
    """What counts is the file beside it, which gets its name next, or has got it just now."""


class LedgerError(IpexLaunchError):
    """The ledger is damaged, cannot be written, or is held by another job."""


class HeldLedgerError(LedgerError, HeldError):
    """Another job that lives has it."""


class DamagedLedgerError(LedgerError):
    """The ledger is not whole: it was cut, written over, or its job was killed before it had begun."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """What a ledger says of its job."""

    done: DoneItems
    """Items that are in the output or among the dead letters."""
    output_bytes: int = 0
    """How much of the output counts."""
    dead_bytes: int = 0
    """How much of the file of dead letters counts."""
    dead: int = 0
    """Items that were given up."""
    complete: bool = False
    """Whether the job has come to its end."""
    letters: Letters = Letters.WHOLE
    """How the file of dead letters stands."""
    recovered: list[int] = field(default_factory=list)
    """Items that were given up and are done since, that are not committed yet."""

    def standing(self) -> Standing:
        """The same in figures that do not change any more."""
        return Standing(done=self.done.count, dead=self.dead, complete=self.complete)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stood when something was last made durable; `Progress` may be ahead of it, in another thread."""

    done: int
    """Items that are in the output or among the dead letters."""
    dead: int
    """Items that were given up."""
    complete: bool
    """Whether the job has come to its end."""


class Ledger:
    """An open ledger, held against every other process until it is closed; use `create` or `resume`."""

    def __init__(
        self, path: str, held: int, connection: sqlite3.Connection, job: Mapping[str, object], progress: Progress
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
        read_progress: Callable[[], Progress] | None = None,
        stale: Sequence[str] = (),
    ) -> Ledger:
        """Begin the ledger of a job that has none, replacing an old one that nobody holds.

        Args:
            path: of the file.
            job: what the job is, as JSON can hold it; `resume` gives it back.
            read_progress: says what is done already, where the ledger is built anew from an output; called once the
                ledger is held.
            stale: files of an old job that are removed first, so that none of it is ever taken for this one's.

        Raises:
            LedgerError: another job holds it, or it cannot be written.
        """
        fresh = not os.path.lexists(path)
        held, connection = _hold(path, os.O_CREAT | os.O_NOFOLLOW), None
        try:
            progress = Progress(done=DoneItems()) if read_progress is None else read_progress()
            for name in stale:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(name)
            os.ftruncate(held, 0)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{path}-wal")
            connection = _connect(path)
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            for statement in SCHEMA.split(";"):
                connection.execute(statement)
            rows = [(key, json.dumps(value, sort_keys=True)) for key, value in job.items()]
            connection.executemany("INSERT INTO job VALUES (?, ?)", rows)
            connection.execute("INSERT INTO progress VALUES (1, 0, 0, 0, 0, 0, 0)")
            connection.execute("COMMIT")
            ledger = cls(path, held, connection, job, progress)
            ledger.commit()
        except (sqlite3.Error, OSError) as error:
            _give_up(path, held, connection, fresh)
            raise _explained(path, error) from None
        except LedgerError:
            _give_up(path, held, connection, fresh)
            raise
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
            raise DamagedLedgerError(f"go on with the job of {path}", "there is no such file", REBUILD)
        held, connection = _hold(path), None
        try:
            connection = _connect(path)
            _check(path, connection)
            job = {key: json.loads(value) for key, value in connection.execute("SELECT key, value FROM job")}
            mark, output, dead_bytes, dead, complete, letters = connection.execute(
                "SELECT mark, output_bytes, dead_bytes, dead, complete, letters FROM progress"
            ).fetchone()
            chunks = dict(connection.execute("SELECT number, bits FROM chunks"))
            progress = Progress(
                done=DoneItems(mark, chunks),
                output_bytes=output,
                dead_bytes=dead_bytes,
                dead=dead,
                complete=bool(complete),
                letters=Letters(letters),
            )
        except (sqlite3.Error, OSError) as error:
            _close(held, connection)
            raise _explained(path, error) from None
        except (ValueError, TypeError):
            _close(held, connection)
            raise DamagedLedgerError(f"read the ledger {path}", "what it says does not fit together", REBUILD) from None
        except LedgerError:
            _close(held, connection)
            raise
        return cls(path, held, connection, job, progress)

    def commit(self) -> None:
        """Make what `progress` says durable, in one transaction that is on disk when this returns.

        Raises:
            LedgerError: it cannot be written; what was committed before stays.
        """
        progress, connection = self.progress, self._connection
        changes = progress.done.take_changes()
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(
                "UPDATE progress SET mark = ?, output_bytes = ?, dead_bytes = ?, dead = ?, complete = ?, letters = ?",
                (
                    progress.done.mark,
                    progress.output_bytes,
                    progress.dead_bytes,
                    progress.dead,
                    progress.complete,
                    progress.letters,
                ),
            )
            connection.executemany("INSERT OR REPLACE INTO recovered VALUES (?)", [(n,) for n in progress.recovered])
            if progress.letters is not Letters.OUTDATED:
                connection.execute("DELETE FROM recovered")
            connection.executemany("INSERT OR REPLACE INTO chunks VALUES (?, ?)", changes.items())
            connection.execute("DELETE FROM chunks WHERE number < ?", (progress.done.mark,))
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise _explained(self.path, error) from None
        progress.recovered.clear()

    def recovered(self) -> DoneItems:
        """Items that were given up and are done since, whose letters are still in the file.

        Raises:
            LedgerError: it cannot be read.
        """
        found = DoneItems()
        try:
            found.add(number for (number,) in self._connection.execute("SELECT number FROM recovered"))
        except sqlite3.Error as error:
            raise _explained(self.path, error) from None
        return found

    def note_job(self, job: Mapping[str, object]) -> None:
        """Write what the job is from now on; durable when this returns.

        Args:
            job: as JSON can hold it.

        Raises:
            LedgerError: it cannot be written.
        """
        rows = [(key, json.dumps(value, sort_keys=True)) for key, value in job.items()]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT OR REPLACE INTO job VALUES (?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise _explained(self.path, error) from None
        self.job = job

    def close(self) -> None:
        """Let go of the file."""
        _close(self._held, self._connection)

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


REBUILD = "to build it anew from what the output holds: --resume --rebuild"


def _give_up(path: str, held: int, connection: sqlite3.Connection | None, fresh: bool) -> None:
    """Close what could not be begun; a ledger that was made for it would be taken for a former job's."""
    if fresh:
        for name in (path, f"{path}-wal"):
            with contextlib.suppress(OSError):
                os.unlink(name)
    _close(held, connection)


def is_held(path: str) -> bool:
    """Whether a job that lives has this ledger.

    Args:
        path: of the file, which need not be there, nor be a ledger.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False


def _hold(path: str, flags: int = 0) -> int:
    """A descriptor that keeps every other process away for as long as it is open."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)
    except OSError as error:
        raise _explained(path, error) from None
    try:
        # At once, not after a wait: the other job may run for days.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise HeldLedgerError(
                f"use the ledger {path}", "another job holds it", "wait for it, or give another --output"
            ) from None
        raise _explained(path, error) from None
    return descriptor


def _connect(path: str) -> sqlite3.Connection:
    # One thread uses it after the other, never two at once (see batch/feed/threaded_commit_log.py).
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
        raise DamagedLedgerError(
            f"read the ledger {path}", "it is not one of ipexlaunch, or its job had not begun", REBUILD
        )
    if version not in (1, FORMAT):
        raise LedgerError(f"read the ledger {path}", f"its format is {version}, known is {FORMAT}", REBUILD)
    (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if verdict != "ok":
        raise DamagedLedgerError(f"read the ledger {path}", f"it is damaged ({verdict})", REBUILD)
    if version == 1:
        connection.execute("BEGIN EXCLUSIVE")
        for statement in FROM_FORMAT_1.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
        connection.execute("COMMIT")


def _explained(path: str, error: Exception) -> LedgerError:
    if isinstance(error, sqlite3.OperationalError | OSError) and not str(error).startswith("no such"):
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return LedgerError(f"write the ledger {path}", str(reason), "what was committed before stays")
    return DamagedLedgerError(f"read the ledger {path}", f"it is damaged ({error})", REBUILD)


def _close(held: int, connection: sqlite3.Connection | None) -> None:
    # First what writes to the file, then what keeps others away from it.
    if connection is not None:
        connection.close()
    os.close(held)
