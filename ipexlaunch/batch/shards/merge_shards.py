"""Put the results of committed attempts together: checked row by row, written aside, synced, renamed.

Every attempt's file is read as far as its commit counts; each row must be of an item of its shard that has none yet;
rows and letters together must be all of them. What is merged stands under its name whole, or not at all.
"""

from __future__ import annotations

import contextlib
import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ipexlaunch.batch.feed.dead_letters import DEAD_LETTERS_SUFFIX
from ipexlaunch.batch.input.input_files import model_fingerprint
from ipexlaunch.batch.job_state import DoneItems
from ipexlaunch.batch.output.finalize import lines_in_order, lines_up_to, write_results
from ipexlaunch.batch.output.result_rows import OutputRules, number_of
from ipexlaunch.batch.shards.attempt import Commit
from ipexlaunch.batch.shards.ids_on_disk import IdsOnDisk, refuse_doubles
from ipexlaunch.batch.shards.shard_directory import AttemptFiles
from ipexlaunch.batch.shards.sharded_job import Shard
from ipexlaunch.documents.read_text import read_text
from ipexlaunch.documents.write_file import sync_directory, write_file
from ipexlaunch.errors import DocumentError, IpexLaunchError, RequestError
from ipexlaunch.machine.wording import counted

MERGED = "merged.json"
"""Name of the file in a job's directory that says what the merged files are."""

ASIDE = ".merging"


class UnfitShardError(IpexLaunchError):
    """A shard whose results are not those of its items: nothing is merged."""

    exit_code = 4


@dataclass(frozen=True, slots=True)
class DoneShard:
    """A shard and the attempt at it that is committed."""

    index: int
    shard: Shard
    commit: Commit
    files: AttemptFiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What was put together."""

    rows: int
    letters: int
    note: str = ""
    """About the form of the output."""
    was_before: bool = False
    """Whether an earlier merge had done it."""


def check_shard(done: DoneShard) -> None:
    """Find out that an attempt's files hold each item of its shard once, as a result or as a dead letter.

    Args:
        done: the shard.

    Raises:
        UnfitShardError: they do not.
    """
    commit, seen = done.commit, DoneItems()
    counts: list[int] = []
    for path, length in ((done.files.rows, commit.row_bytes), (done.files.letters, commit.letter_bytes)):
        before = seen.count
        for place, line in enumerate(_lines(done, path, length), 1):
            try:
                number = number_of(line)
                if number not in done.shard.numbers:
                    raise ValueError(f"item {number} is none of the shard")
                seen.add([number - done.shard.first_item])
            except (ValueError, KeyError, TypeError) as error:
                raise _unfit(done, f"{path}, line {place}: {error}") from None
        counts.append(seen.count - before)
    if counts != [commit.rows, commit.letters] or seen.count != done.shard.items:
        found = f"{counted(counts[0], 'result')} and {counted(counts[1], 'dead letter')}"
        raise _unfit(
            done,
            f"it has {found}, of {counted(done.shard.items, 'item')} and {commit.rows} + {commit.letters} committed",
        )


def refuse_doubled_ids(shards: Sequence[DoneShard], folder: str) -> None:
    """Find out that an id stands in two shards, in memory that does not grow.

    Args:
        shards: all of the job.
        folder: on a disk with room for eight bytes an item.

    Raises:
        UnfitShardError: one does.
        OSError: there is no room.
    """
    with IdsOnDisk(folder) as ids:
        for given, _ in _ids_of(shards):
            ids.add(given)
        doubles = ids.doubles()
    if doubles:
        try:
            refuse_doubles(_ids_of(shards), doubles, "the results", "")
        except DocumentError as error:
            hint = "give each item its own id and make the job again, or leave out --id-field"
            raise UnfitShardError("merge the shards", f"{error.where}: {error.problem}", hint) from None


def merge(shards: Sequence[DoneShard], rules: OutputRules, directory: str) -> Merged:
    """Write the output and its dead letters, of shards that are checked; what an earlier merge wrote is left.

    Args:
        shards: all of the job, in order.
        rules: where the results go, and in which form.
        directory: of the job.

    Raises:
        RequestError: there is a file that no merge of this job has written.
        LaunchError: a library is missing.
        OSError: it cannot be written; what was there is untouched.
    """
    rows, letters = sum(done.commit.rows for done in shards), sum(done.commit.letters for done in shards)
    targets = {"output": rules.path}
    if letters:
        targets["letters"] = rules.path + DEAD_LETTERS_SUFFIX
    if rules.errors is not None:
        targets["errors"] = rules.errors
    there = [path for path in targets.values() if os.path.lexists(path)]
    before = _prints_before(directory)
    for name, path in targets.items():
        if path in there and before.get(name) != _print_of(path):
            hint = "remove it, or rename it, and merge again"
            raise RequestError(f"write {path}", "it is there, and no merge of this job has written it so", hint)
    if len(there) == len(targets):
        return Merged(rows=rows, letters=letters, was_before=True)
    aside = {name: f"{path}{ASIDE}-{os.urandom(6).hex()}" for name, path in targets.items()}
    try:
        os.makedirs(os.path.dirname(rules.path), exist_ok=True)
        note = _write_output(shards, replace(rules, path=aside["output"], errors=aside.get("errors")))
        if letters:
            write_file(aside["letters"], _letter_lines(shards))
        prints = {name: _print_of(path) for name, path in aside.items()}
        write_file(os.path.join(directory, MERGED), json.dumps({"schema": SCHEMA, **prints}) + "\n")
        for name in reversed(targets):  # the output comes last: where it is, all is
            os.replace(aside[name], targets[name])
            sync_directory(os.path.dirname(targets[name]))
    finally:
        for path in aside.values():
            with contextlib.suppress(OSError):
                os.unlink(path)
    return Merged(rows=rows, letters=letters, note=note)


def left_aside(rules: OutputRules) -> list[str]:
    """What merges have left that were killed, or that are at work.

    Args:
        rules: where the results go.
    """
    return glob.glob(f"{glob.escape(rules.path)}*{ASIDE}-*")


def _write_output(shards: Sequence[DoneShard], rules: OutputRules) -> str:
    """Write the results of all shards; "" or a note about their form."""
    plain = partial(_result_lines, shards, in_order=False)
    arranged = partial(_result_lines, shards, in_order=True) if rules.keep_order else plain
    with open(rules.path, "xb", buffering=1 << 20) as file:
        note = write_results(rules, file, rules.path, plain, arranged)
        file.flush()
        os.fsync(file.fileno())
    return note


def _result_lines(shards: Sequence[DoneShard], *, in_order: bool) -> Iterator[bytes]:
    for done in shards:
        rows, length = done.files.rows, done.commit.row_bytes
        if length:
            yield from lines_in_order(rows, length, done.shard.first_item) if in_order else lines_up_to(rows, length)


def _letter_lines(shards: Sequence[DoneShard]) -> Iterator[bytes]:
    for done in shards:
        if done.commit.letter_bytes:
            yield from lines_up_to(done.files.letters, done.commit.letter_bytes)


def _lines(done: DoneShard, path: str, length: int) -> Iterator[bytes]:
    """The lines that a commit counts.

    Raises:
        UnfitShardError: they are not all there.
    """
    try:
        there = os.path.getsize(path) if length else 0
    except OSError as error:
        raise _unfit(done, f"{path}: {error.strerror}") from None
    if there < length:
        raise _unfit(done, f"{path} has {there} bytes of {length}")
    return lines_up_to(path, length) if length else iter(())


def _ids_of(shards: Sequence[DoneShard]) -> Iterator[tuple[str | int, str]]:
    """Every id, with its shard."""
    for done in shards:
        for path, length in ((done.files.rows, done.commit.row_bytes), (done.files.letters, done.commit.letter_bytes)):
            for line in _lines(done, path, length):
                given = json.loads(line)["id"]
                if given is not None:
                    yield given, f"shard {done.index}"


def _unfit(done: DoneShard, problem: str) -> UnfitShardError:
    hint = f"its files were changed after its commit; to do it again remove done-{done.index:05d} and run it"
    return UnfitShardError(f"merge shard {done.index} (attempt {done.commit.attempt})", problem, hint)


SCHEMA = "ipexlaunch/shards-merged/1"


def _print_of(path: str) -> dict[str, object]:
    """What tells a file from another one."""
    return {name: value for name, value in model_fingerprint(path).items() if name != "mtime_ns"}


def _prints_before(directory: str) -> dict[str, object]:
    path = os.path.join(directory, MERGED)
    try:
        found = json.loads(read_text(path)) if os.path.lexists(path) else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
