"""Begin a batch job, or resume one: the ledger is taken first, then the output is cut to what counts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from ipexlaunch.batch.feed.commit_log import AppendTarget, Journal
from ipexlaunch.batch.feed.dead_letters import (
    ASIDE,
    DEAD_LETTERS_SUFFIX,
    dead_letter_numbers,
    letters_without_results,
    numbered_rows,
    settle_dead_letters,
)
from ipexlaunch.batch.job_state import DoneItems, JobState, WithoutLedger
from ipexlaunch.batch.ledger import DamagedLedgerError, Ledger, LedgerError
from ipexlaunch.batch.output.append_results import AppendedFile, WriteError
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.documents.secret_values import masked
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import RequestError

LEDGER = ".ledger"
"""What the name of the file beside the output ends with."""

CHANGES_SHOWN = 5
"""A message names so many of the values that differ."""

FORMER = "former programs"
"""Where a ledger keeps the programs that a job had before `--retry-dead` came with another one."""


def open_job(
    rules: OutputRules,
    job: Mapping[str, object],
    *,
    resume: bool = False,
    overwrite: bool = False,
    rebuild: bool = False,
    retry_dead: bool = False,
) -> Journal:
    """The journal of a job; no other process can open one for the same output until it is closed.

    Args:
        rules: where results go: a file.
        job: what the job is: sections such as "input" and "program", of JSON.
        resume: go on where a former job ended; one that never began is begun.
        overwrite: start over, whatever is there.
        rebuild: with resume: make the ledger from the output, where it is lost or damaged.
        retry_dead: try again what was given up, by this program or by another one; nothing else.

    Raises:
        RequestError: there is an output already, or none to resume, or it is that of another job.
        LedgerError: the ledger is held, missing or damaged.
        WriteError: the output cannot be written, or is shorter than its ledger says.
    """
    rules = replace(rules, path=os.path.realpath(rules.path))
    output, gathered = rules.path, rules.gathered
    path = output + LEDGER
    files = _files_of(rules)
    written = [name for name in files if os.path.exists(name) and os.path.getsize(name)]
    is_there = bool(written) or _is_begun(path)
    if rebuild and resume:
        if rules.parquet and not os.path.exists(gathered) and os.path.exists(output):
            raise RequestError(
                f"rebuild the ledger of {output}",
                f"its results were gathered in {gathered}, which is gone",
                "if the output is whole, nothing is left to do; to start over: --overwrite",
            )
        ledger = Ledger.create(path, job, lambda: _progress_of(rules))
    elif retry_dead:
        ledger = _try_again(path, job, is_there=is_there)
    elif resume and is_there:
        ledger = _go_on(path, job, is_written=bool(written))
    elif is_there and not overwrite:
        raise _is_there_already(output, (written or [path])[0])
    else:
        ledger = Ledger.create(path, job, stale=files)
    try:
        settle_dead_letters(output + DEAD_LETTERS_SUFFIX, ledger)
        progress, again = ledger.progress, None
        if retry_dead:
            again = dead_letter_numbers(output + DEAD_LETTERS_SUFFIX, progress.dead_bytes)
            if again.count and progress.complete and not os.path.exists(gathered):
                _check_gatherable(rules, progress.output_bytes)
                _gather_again(rules)
        if progress.complete and not os.path.exists(gathered):
            # The output was made of what was gathered, and nothing will be appended any more.
            file = AppendedFile(output, os.path.getsize(output))
        else:
            file = AppendedFile(gathered, progress.output_bytes)
    except OSError as error:
        ledger.close()
        raise WriteError(f"resume {output}", str(error.strerror), "start over with --overwrite") from None
    except BaseException:
        ledger.close()
        raise
    return Journal(
        file,
        lambda length: AppendedFile(output + DEAD_LETTERS_SUFFIX, length),
        ledger,
        again,
        lambda: settle_dead_letters(output + DEAD_LETTERS_SUFFIX, ledger),
    )


def _check_gatherable(rules: OutputRules, length: int) -> None:
    """Whether an output that is finished still holds its results, so many bytes.

    Raises:
        RequestError: it does not.
        OSError: it is gone.
    """
    if rules.parquet or os.path.getsize(rules.path) != length:
        where = (
            f"{rules.gathered}, which is missing"
            if rules.parquet
            else f"{rules.path}, which something else has changed"
        )
        raise RequestError(
            f"retry the dead letters of {rules.path}", f"its results are in {where}", "start over with --overwrite"
        )


def _gather_again(rules: OutputRules) -> None:
    """Make an output that is finished what results can be appended to; it stays until it is rewritten.

    Raises:
        OSError: there is no room.
    """
    with open(rules.path, "rb") as file:
        write_file(rules.gathered, iter(lambda: file.read(1 << 20), b""))


def refuse_existing(rules: OutputRules) -> None:
    """Find out before any work that a job which does not resume another would need --overwrite.

    Args:
        rules: where results go: a file.

    Raises:
        RequestError: something was done there.
        LedgerError: another job is at work there.
    """
    rules = replace(rules, path=os.path.realpath(rules.path))
    for name in _files_of(rules):
        if os.path.exists(name) and os.path.getsize(name):
            raise _is_there_already(rules.path, name)
    if _is_begun(rules.path + LEDGER):
        raise _is_there_already(rules.path, rules.path + LEDGER)


def _files_of(rules: OutputRules) -> tuple[str, ...]:
    """What holds results and dead letters, and what is written on the way."""
    aside = (rules.gathered, rules.unfinished) if rules.gathered != rules.path else ()
    return (rules.path, *aside, rules.path + DEAD_LETTERS_SUFFIX, rules.path + DEAD_LETTERS_SUFFIX + ASIDE)


def _is_begun(ledger: str) -> bool:
    """Whether anything was done by the job of a ledger; where nothing was, starting over loses nothing."""
    if not os.path.exists(ledger) or not os.path.getsize(ledger):
        return False
    try:
        with Ledger.resume(ledger) as held:
            return held.progress.complete or held.progress.done.count > 0
    except DamagedLedgerError:
        return True


def _is_there_already(output: str, name: str) -> RequestError:
    hint = "to resume its job: --resume; to start over: --overwrite"
    return RequestError(f"write {output}", f"{name} is there already", hint)


def recorded_job(rules: OutputRules) -> Mapping[str, object]:
    """What the job of an output was when it began; nothing where none can be told, and `open_job` then says why.

    Args:
        rules: where results go: a file.
    """
    try:
        with Ledger.resume(os.path.realpath(rules.path) + LEDGER) as ledger:
            return ledger.job
    except LedgerError:
        return {}


def _go_on(path: str, job: Mapping[str, object], *, is_written: bool) -> Ledger:
    try:
        ledger = Ledger.resume(path)
    except DamagedLedgerError:
        if is_written:
            raise
        return Ledger.create(path, job)  # the job was ended before it had begun
    _refuse_changes(ledger, ledger.job, job)
    return ledger


def _try_again(path: str, job: Mapping[str, object], *, is_there: bool) -> Ledger:
    """The ledger of a job that was begun before; another program is noted in it, beside those that it had."""
    output = path.removesuffix(LEDGER)
    if not is_there:
        raise RequestError(f"try again what failed in {output}", "there is no such job", "leave out --retry-dead")
    ledger = Ledger.resume(path)
    before = ledger.job
    _refuse_changes(ledger, {**before, "program": job.get("program")}, job)
    if before.get("program") != job.get("program"):
        former = before.get(FORMER, [])
        try:
            ledger.note_job({**job, FORMER: [*(former if isinstance(former, list) else []), before.get("program")]})
        except LedgerError:
            ledger.close()
            raise
    return ledger


def _refuse_changes(ledger: Ledger, before: Mapping[str, object], job: Mapping[str, object]) -> None:
    changes = what_changed({key: value for key, value in before.items() if key != FORMER}, job)
    if changes:
        ledger.close()
        more = [f"and {len(changes) - CHANGES_SHOWN} more"] if len(changes) > CHANGES_SHOWN else []
        is_mended = ledger.progress.dead and all(change.startswith("program ") for change in changes)
        mended = "; to retry the dead letters with this program: --retry-dead" if is_mended else ""
        raise RequestError(
            f"resume the job of {ledger.path.removesuffix(LEDGER)}",
            f"it is not the same any more: {'; '.join([*changes[:CHANGES_SHOWN], *more])}",
            f"put back what it was, or start over with --overwrite{mended}",
        )


def open_pipe(output: AppendTarget, dead: AppendTarget) -> Journal:
    """The journal of a job whose results go where they cannot be taken back; it cannot be resumed.

    Args:
        output: takes the results.
        dead: takes the dead letters.
    """
    return Journal(output, lambda length: dead, WithoutLedger())  # noqa: ARG005 (it begins with none)


def what_changed(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Every value that differs, such as "input bytes was 10, is 12"."""
    old, new = _flat(masked(before)), _flat(masked(now))  # older ledgers have secrets as they were
    return [
        f"{key} was {json.dumps(old.get(key))}, is {json.dumps(new.get(key))}"
        for key in dict.fromkeys([*old, *new])
        if old.get(key) != new.get(key)
    ]


def _flat(values: Mapping[str, object], before: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{before}{key} ") if isinstance(value, dict) else {before + key: value}
    return flat


def _progress_of(rules: OutputRules) -> JobState:
    """What results and dead letters there are, by the number in each row; a last line without its end is none.

    An item that has both was done after it was given up: a letter never counts beside a result.
    """
    if not os.path.exists(rules.gathered) and os.path.exists(rules.path):
        _gather_again(rules)  # it is finished, and its rows are all in it
    progress = JobState(done=DoneItems())
    progress.output_bytes = _add_results(rules.gathered, progress.done)
    progress.dead_bytes, progress.dead = letters_without_results(rules.path + DEAD_LETTERS_SUFFIX, progress.done)
    return progress


def _add_results(path: str, done: DoneItems) -> int:
    """Note the items that have a row; bytes of whole rows."""
    length = 0
    if not os.path.exists(path):
        return 0
    for place, (number, line) in enumerate(numbered_rows(path, os.path.getsize(path)), 1):
        try:
            done.add([number])
        except ValueError as error:
            raise LedgerError(f"build a ledger from {path}", f"line {place}: {error}", "take it out") from None
        length += len(line)
    return length
