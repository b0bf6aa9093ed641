"""Begin a batch job, or go on with one: the ledger is taken first, then the output is cut to what counts."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace

from ipexlaunch.batching.done_items import DoneItems
from ipexlaunch.batching.output_rules import OutputRules
from ipexlaunch.errors import RequestError
from ipexlaunch.feed_workers.journal import Appended, Journal
from ipexlaunch.keep_ledger import DamagedLedgerError, Ledger, LedgerError, Progress, WithoutLedger
from ipexlaunch.secret_values import masked
from ipexlaunch.write_results.appended_file import AppendedFile, WriteError

LEDGER = ".ledger"
DEAD = ".dead.jsonl"
"""What the names of the files beside the output end with."""


def open_job(
    rules: OutputRules,
    job: Mapping[str, object],
    *,
    resume: bool = False,
    overwrite: bool = False,
    rebuild: bool = False,
) -> Journal:
    """The journal of a job; no other process can open one for the same output until it is closed.

    Args:
        rules: where results go: a file.
        job: what the job is: sections such as "input" and "program", of JSON.
        resume: go on where a former job ended; one that never began is begun.
        overwrite: begin anew, whatever is there.
        rebuild: with resume: make the ledger from the output, where it is lost or damaged.

    Raises:
        RequestError: there is an output already, or it is that of another job.
        LedgerError: the ledger is held, missing or damaged.
        WriteError: the output cannot be written, or is shorter than its ledger says.
    """
    rules = replace(rules, path=os.path.realpath(rules.path))
    output, gathered = rules.path, rules.gathered
    path = output + LEDGER
    files = tuple(dict.fromkeys((output, gathered, output + DEAD)))
    written = [name for name in files if os.path.exists(name) and os.path.getsize(name)]
    is_there = bool(written) or (os.path.exists(path) and os.path.getsize(path) > 0)
    if rebuild and resume:
        if not os.path.exists(gathered) and os.path.exists(output):
            raise RequestError(
                f"build the ledger of {output} anew",
                f"its results were gathered in {gathered}, which is gone",
                "if the output is whole, nothing is left to do; to begin anew: --overwrite",
            )
        ledger = Ledger.create(path, job, lambda: _progress_of(gathered, output + DEAD))
    elif resume and is_there:
        ledger = _go_on(path, job, is_written=bool(written))
    elif is_there and not overwrite:
        raise RequestError(
            f"write {output}",
            f"{(written or [path])[0]} is there already",
            "to go on with its job: --resume; to begin anew: --overwrite",
        )
    else:
        ledger = Ledger.create(path, job, stale=files)
    try:
        if ledger.progress.complete and not os.path.exists(gathered):
            # The output was made of what was gathered, and nothing will be appended any more.
            file = AppendedFile(output, os.path.getsize(output))
        else:
            file = AppendedFile(gathered, ledger.progress.output_bytes)
        if not ledger.progress.dead_bytes and os.path.exists(output + DEAD):
            os.unlink(output + DEAD)  # letters that never counted
    except OSError as error:
        ledger.close()
        raise WriteError(f"go on with {output}", str(error.strerror), "begin anew with --overwrite") from None
    except BaseException:
        ledger.close()
        raise
    return Journal(file, lambda length: AppendedFile(output + DEAD, length), ledger)


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
    changes = what_changed(ledger.job, job)
    if changes:
        ledger.close()
        raise RequestError(
            f"go on with the job of {path.removesuffix(LEDGER)}",
            f"it is not the same any more: {'; '.join(changes)}",
            "put back what it was, or begin anew with --overwrite",
        )
    return ledger


def open_pipe(output: Appended, dead: Appended) -> Journal:
    """The journal of a job whose results go where they cannot be taken back; it cannot be gone on with.

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


def _progress_of(gathered: str, dead: str) -> Progress:
    """What results and dead letters there are, by the number in each row; a last line without its end is none."""
    progress = Progress(done=DoneItems())
    progress.output_bytes, _ = _numbers_in(gathered, progress.done)
    progress.dead_bytes, progress.dead = _numbers_in(dead, progress.done)
    return progress


def _numbers_in(path: str, done: DoneItems) -> tuple[int, int]:
    """(bytes of whole rows, how many)."""
    length = rows = 0
    if not os.path.exists(path):
        return 0, 0
    with open(path, "rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                break
            try:
                number = json.loads(line)["number"]
                if not isinstance(number, int) or number < 0:
                    raise ValueError("its number is none")
                done.add([number])
            except (ValueError, KeyError, TypeError) as error:
                raise LedgerError(
                    f"build a ledger from {path}", f"line {rows + 1} is no row of a result ({error})"
                ) from None
            length += len(line)
            rows += 1
    return length, rows
