"""The file of dead letters: cut to what its ledger counts on, and rewritten where letters no longer count.

An item that was given up and tried again leaves the file when it is done, or has its letter replaced. While workers run
letters are only appended, and the ledger says which items are done since. Then the file is rewritten, and every
moment of that leaves one truth: the new file is written aside and synced; the ledger says in one commit that it counts
(Letters.ASIDE); it gets its name; the ledger says that nothing is left to do.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator

from ipexlaunch.batch.job_state import DeadLetterFileState, DoneItems
from ipexlaunch.batch.ledger import Ledger
from ipexlaunch.batch.output.append_results import AppendedFile, WriteError
from ipexlaunch.documents.write_file import sync_directory
from ipexlaunch.errors import IpexLaunchError

DEAD_LETTERS_SUFFIX = ".dead.jsonl"
"""What the name of the file beside the output ends with."""

ASIDE = ".unfinished"


def settle_dead_letters(path: str, ledger: Ledger) -> None:
    """Make the file what the ledger says of it, whenever the process ended that wrote it last.

    Args:
        path: of the file.
        ledger: of its job.

    Raises:
        WriteError: it cannot be written, or is shorter than its ledger says.
        LedgerError: the ledger cannot be written.
    """
    progress, aside = ledger.progress, path + ASIDE
    try:
        if progress.letters is DeadLetterFileState.ASIDE:
            _put_in_place(path, ledger)
        elif os.path.lexists(aside):
            os.unlink(aside)  # it was never said to count
        if progress.dead_bytes:
            AppendedFile(path, progress.dead_bytes).close()
        elif os.path.lexists(path):
            os.unlink(path)  # letters that never counted
        if progress.letters is DeadLetterFileState.OUTDATED:
            done_since = ledger.recovered()
            progress.dead_bytes, progress.dead = _write_anew(path, progress.dead_bytes, done_since.__contains__)
            progress.letters = DeadLetterFileState.ASIDE
            ledger.commit()
            _put_in_place(path, ledger)
    except OSError as error:
        raise WriteError(f"write {path}", str(error.strerror), "make room and say --resume") from None


def letters_without_results(path: str, done: DoneItems) -> tuple[int, int]:
    """Keep the letters of items that have no result, where there is no ledger; (bytes, how many).

    Args:
        path: of the file.
        done: items that have a result; those that have a letter are added.

    Raises:
        WriteError: it cannot be written.
        IpexLaunchError: a line is no letter.
    """
    if not os.path.exists(path):
        return 0, 0
    try:
        size, rows = _write_anew(path, os.path.getsize(path), done.__contains__)
        os.replace(path + ASIDE, path)
        sync_directory(os.path.dirname(path))
        done.add(number for number, _ in numbered_rows(path, size))
    except OSError as error:
        raise WriteError(f"write {path}", str(error.strerror), "make room and try again") from None
    return size, rows


def dead_letter_numbers(path: str, length: int) -> DoneItems:
    """The items that have a letter.

    Args:
        path: of the file; it need not exist where nothing counts.
        length: how many bytes of it count.

    Raises:
        IpexLaunchError: a line is no letter.
    """
    found = DoneItems()
    if length:
        found.add(number for number, _ in numbered_rows(path, length))
    return found


def _write_anew(path: str, length: int, is_done: Callable[[int], bool]) -> tuple[int, int]:
    """Write aside the last letter of each item that is not done; (bytes, how many)."""
    seen, replaced = DoneItems(), Counter[int]()
    for number, _ in numbered_rows(path, length):
        if number in seen:
            replaced[number] += 1
        else:
            seen.add([number])
    aside, size, rows = path + ASIDE, 0, 0
    if os.path.lexists(aside):
        os.unlink(aside)
    mode = os.stat(path).st_mode & 0o777
    with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), "wb") as file:
        for number, line in numbered_rows(path, length):
            if replaced.get(number):
                replaced[number] -= 1
            elif not is_done(number):
                file.write(line)
                size, rows = size + len(line), rows + 1
        file.flush()
        os.fsync(file.fileno())
    return size, rows


def _put_in_place(path: str, ledger: Ledger) -> None:
    if os.path.lexists(path + ASIDE):
        os.replace(path + ASIDE, path)
        sync_directory(os.path.dirname(path))
    if not ledger.progress.dead_bytes and os.path.lexists(path):
        os.unlink(path)
    ledger.progress.letters = DeadLetterFileState.WHOLE
    ledger.commit()


def numbered_rows(path: str, length: int) -> Iterator[tuple[int, bytes]]:
    """(Number of the item, line) of each letter, or of each result; a last line without its end is none.

    Args:
        path: of the file.
        length: how many bytes of it count.

    Raises:
        IpexLaunchError: a line is none.
    """
    with open(path, "rb") as file:
        for place, line in enumerate(file, 1):
            length -= len(line)
            if length < 0 or not line.endswith(b"\n"):
                return
            try:
                number = json.loads(line)["number"]
                if type(number) is not int or number < 0:
                    raise ValueError("its number is none")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                problem = f"line {place} is no row of a result ({error})"
                raise IpexLaunchError(f"read the dead letters in {path}", problem, "take that line out") from None
            yield number, line
