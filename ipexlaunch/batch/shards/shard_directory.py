"""A job's directory, shared by hosts of which none trusts the other's locks: attempts, commits, what is found of them.

What is trusted of the file system: mkdir, O_EXCL and link(2) make a name once, rename(2) puts a whole file in place.
After an error of mkdir or link the name is looked at, not the error: the answer of a server that did it may have been
lost (then an attempt has its number, or its commit, all the same), and some say EPERM where a name is taken.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ipexlaunch.batch.feed.dead_letters import DEAD_LETTERS_SUFFIX
from ipexlaunch.batch.shards.attempt import Attempt, Commit, Ended, Note, SeenAttempt, read_note, write_note
from ipexlaunch.batch.shards.job_file import JOB, read_job, write_job
from ipexlaunch.batch.shards.names_once import link_once, link_whole, write_new
from ipexlaunch.batch.shards.sharded_job import ShardedJob
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.write_file import sync_directory
from ipexlaunch.errors import DocumentError, LaunchError, RequestError
from ipexlaunch.launch.hold_place import boot_id

ROWS = "rows.jsonl"

REPORT = "report.json"

_ABOUT, _ENDED, _COMMIT = "attempt.json", "ended.json", "commit.json"

MOST_ATTEMPTS = 100_000


@dataclass(frozen=True, slots=True)
class AttemptFiles:
    """Where an attempt's files are, which nobody else ever writes."""

    folder: str

    @property
    def rows(self) -> str:
        """Its results, lines of JSON as they were done."""
        return os.path.join(self.folder, ROWS)

    @property
    def letters(self) -> str:
        """Its dead letters."""
        return self.rows + DEAD_LETTERS_SUFFIX

    @property
    def report(self) -> str:
        """The report of its run."""
        return os.path.join(self.folder, REPORT)


def refuse_job(directory: str) -> None:
    """Find out before any work that a directory has a job already.

    Args:
        directory: which need not exist.

    Raises:
        RequestError: it has.
    """
    path = os.path.join(directory, JOB)
    if os.path.lexists(path):
        raise RequestError(f"make a job in {directory}", f"{path} is there already", "give another DIR, or remove it")


def write_new_job(directory: str, job: ShardedJob) -> None:
    """Make the directory of a job, whole or not at all; of several that do so at once, one has it.

    Args:
        directory: which need not exist.
        job: what is run there.

    Raises:
        RequestError: there is a job already.
        LaunchError: it cannot be written, or has no hard links.
    """
    wanted, path = f"make a job in {directory}", os.path.join(directory, JOB)
    try:
        os.makedirs(directory, exist_ok=True)
        won = link_whole(path, write_job(job))
    except OSError as error:
        hint = "give a directory that can be written, on a file system with hard links (link(2))"
        raise LaunchError(wanted, str(error.strerror), hint) from None
    if not won:
        raise RequestError(wanted, f"{path} is there already", "give another DIR, or remove that one")


def open_job(directory: str) -> ShardedJob:
    """The job of a directory.

    Args:
        directory: that `shards make` has made.

    Raises:
        DocumentError: there is none, or it does not follow its format.
    """
    path = os.path.join(directory, JOB)
    return read_job(read_text(path, "make one: ipexlaunch shards make DIR --input FILE --output FILE script.py"), path)


def files_of(directory: str, index: int, attempt: int) -> AttemptFiles:
    """Where an attempt's files are.

    Args:
        directory: of the job.
        index: of the shard.
        attempt: its number.
    """
    return AttemptFiles(os.path.join(_shard_folder(directory, index), f"attempt-{attempt}"))


def begin_attempt(directory: str, index: int, about: Callable[[int], Attempt]) -> tuple[AttemptFiles, Attempt]:
    """Begin an attempt with a number that no other has, now or later.

    Args:
        directory: of the job.
        index: of the shard.
        about: the attempt with that number.

    Raises:
        LaunchError: nothing can be written there.
    """
    folder = _shard_folder(directory, index)
    try:
        os.makedirs(folder, exist_ok=True)
        for number in range(MOST_ATTEMPTS):
            files = files_of(directory, index, number)
            try:
                os.mkdir(files.folder)
            except OSError:
                if os.path.isdir(files.folder):
                    continue  # another's; or ours, where the answer was lost: it stays empty then
                raise
            begun = about(number)
            write_new(os.path.join(files.folder, _ABOUT), write_note(begun), sync=False)
            return files, begun
    except OSError as error:
        raise _unwritable(directory, error) from None
    raise LaunchError(
        f"run shard {index} of {directory}", f"{MOST_ATTEMPTS} attempts were made", "make the job again in another DIR"
    )


def end_attempt(files: AttemptFiles, ended: Ended) -> None:
    """Note how an attempt ended; where that cannot be written it will look as if it were at work, or lost.

    Args:
        files: of the attempt.
        ended: how.
    """
    with contextlib.suppress(OSError):
        write_new(os.path.join(files.folder, _ENDED), write_note(ended), sync=False)


def commit(directory: str, index: int, files: AttemptFiles, made: Commit) -> Commit:
    """Make an attempt's results the shard's, unless another's are; what holds.

    Args:
        directory: of the job.
        index: of the shard.
        files: of the attempt; its rows and letters are synced.
        made: what it says.

    Raises:
        LaunchError: it cannot be written.
    """
    place = _done(directory, index)
    try:
        own = os.path.join(files.folder, _COMMIT)
        write_new(own, write_note(made))
        link_once(own, place)
        sync_directory(directory)
    except OSError as error:
        raise _unwritable(directory, error) from None
    found = commit_of(directory, index)
    if found is None:
        raise LaunchError(f"commit shard {index} of {directory}", f"{place} went away", "run the shard again")
    return found


def commit_of(directory: str, index: int) -> Commit | None:
    """Which attempt's results are the shard's; None while none are.

    Args:
        directory: of the job.
        index: of the shard.

    Raises:
        DocumentError: the file does not say it.
    """
    place = _done(directory, index)
    return read_note(Commit, read_text(place), place) if os.path.lexists(place) else None


def attempts_at(directory: str, index: int) -> Iterator[SeenAttempt]:
    """What is found of every attempt at a shard, in the order of their numbers.

    Args:
        directory: of the job.
        index: of the shard.
    """
    boot, host = boot_id(), os.uname().nodename
    for number in range(MOST_ATTEMPTS):
        files = files_of(directory, index, number)
        if not os.path.isdir(files.folder):
            return  # by name, not by a list of names, which hosts may keep for a minute
        about = _read(Attempt, os.path.join(files.folder, _ABOUT))
        yield SeenAttempt(
            number=number,
            size=_size(files.rows) + _size(files.letters),
            about=about,
            ended=_read(Ended, os.path.join(files.folder, _ENDED)),
            is_lost=about is not None and about.boot == boot and about.host == host and not _lives(about.pid),
        )


def now_utc() -> str:
    """The time by this host's clock."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def rows_in(path: str) -> int:
    """Lines of a file; 0 where there is none.

    Args:
        path: of the file.
    """
    try:
        with open(path, "rb", buffering=0) as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    except OSError:
        return 0


def _shard_folder(directory: str, index: int) -> str:
    return os.path.join(directory, f"shard-{index:05d}")


def _done(directory: str, index: int) -> str:
    return os.path.join(directory, f"done-{index:05d}")


def _read(kind: type[Note], path: str) -> Note | None:
    try:
        return read_note(kind, read_text(path), path)
    except DocumentError:
        return None  # not there yet, or half of it


def _lives(pid: int) -> bool:
    """Whether there is such a process under this kernel, as far as it can be seen from here."""
    return os.path.exists(f"/proc/{pid}")


def _size(path: str) -> int:
    try:
        found = os.stat(path)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0


def _unwritable(directory: str, error: OSError) -> LaunchError:
    return LaunchError(f"write in {directory}", str(error.strerror), "make it writable, with room, and try again")
