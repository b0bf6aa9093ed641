"""`ipexlaunch shards run`: one attempt at a shard, from what an earlier one had done to the commit."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import click

from ipexlaunch.batch.feed.commit_log import Journal
from ipexlaunch.batch.feed.open_job import what_changed
from ipexlaunch.batch.input.input_files import InputFile, model_fingerprint
from ipexlaunch.batch.input.open_items import ItemSource
from ipexlaunch.batch.job_state import DoneItems, JobState, WithoutLedger
from ipexlaunch.batch.output.append_results import AppendedFile
from ipexlaunch.batch.output.result_rows import OutputRules
from ipexlaunch.batch.shards.attempt import Attempt, Commit, Ended, by_progress
from ipexlaunch.batch.shards.shard_directory import (
    AttemptFiles,
    attempts_at,
    begin_attempt,
    commit,
    commit_of,
    end_attempt,
    files_of,
    now_utc,
    open_job,
)
from ipexlaunch.batch.shards.sharded_job import Shard, ShardedFile, ShardedJob
from ipexlaunch.batch.shards.take_over import take_over
from ipexlaunch.cli.batch_command import PartOfJob, run_batch
from ipexlaunch.cli.batch_output import INVALID, BatchOutput, WaysOn
from ipexlaunch.cli.options.help_pages import HelpfulCommand
from ipexlaunch.cli.options.option_types import COUNT_FROM_0, flag, valued
from ipexlaunch.cli.shards.batch_words import fingerprint_of, job_context, program_digest, refuse_other
from ipexlaunch.cli.shards.shared_choice import shared_choice
from ipexlaunch.cli.terminal import tell
from ipexlaunch.doctor.job_engine import job_host
from ipexlaunch.errors import DocumentError, EndedBySignal, IpexLaunchError, LaunchError, RequestError, UsageError
from ipexlaunch.launch.hold_place import boot_id
from ipexlaunch.machine.wording import grouped

INDEX_VARIABLES = ("SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX")
"""Where engines say which of an array's tasks this is: Slurm, Kubernetes' Indexed Jobs."""


@click.command("run", cls=HelpfulCommand)
@click.argument("directory", metavar="DIR")
@valued("--index", f"Which shard, from 0  [default: {' or '.join(INDEX_VARIABLES)}].", COUNT_FROM_0, metavar="K")
@flag("--drain-on-term", "At the first SIGTERM, as at SIGUSR1: finish the batches that are held, then end with 75.")
@flag("--no-progress", "Show no progress, neither a bar nor a line every 10 s.")
def run_command(directory: str, index: int | None, *, drain_on_term: bool, no_progress: bool) -> int:
    """Try the shard K of the job in DIR: what an earlier attempt has done is taken over, the rest is done.

    Exit codes: 0 the shard is done, by this attempt or another; 75 drained, try again; 4 some of it could not be done.
    """
    shown, directory = directory, os.path.abspath(directory)
    job = open_job(directory)
    index = _index_of_variables() if index is None else index
    shard = job.shard(index)
    try:
        os.chdir(job.directory)
    except OSError as error:
        problem = f"it was made in {job.directory}: {error.strerror}"
        raise LaunchError(f"run shard {index} of {shown}", problem, "make that directory on every host") from None
    file = job.files[shard.file]
    plain = job_context(job, [file.path], "-")
    mark = fingerprint_of(job, plain)
    if (found := commit_of(directory, index)) is not None:
        refuse_other(found, mark, shown, f"use what attempt {found.attempt} has done of shard {index}")
        tell(f"shard {index} is done already, by attempt {found.attempt} on {found.host}")
        return 0
    _refuse_changes(job, file, plain.params)
    begun = time.monotonic()
    files, attempt = begin_attempt(directory, index, lambda number: _about(number, mark))
    trial = Trial(shown=shown, directory=directory, index=index, job=job, files=files, about=attempt)
    try:
        state = _taken_over(trial)
        before, code = state.done.count, 0
        if before < shard.items:
            code = _do(trial, state, [*(["--drain-on-term"] * drain_on_term), *(["--no-progress"] * no_progress)])
    except (IpexLaunchError, EndedBySignal) as error:
        end_attempt(files, Ended(exit_code=error.exit_code))
        raise
    return _end(trial, state, before, code, time.monotonic() - begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An attempt at a shard while it lasts."""

    shown: str
    """The job's directory, as it was typed."""
    directory: str
    """The same, absolute."""
    index: int
    job: ShardedJob
    files: AttemptFiles
    about: Attempt

    @property
    def shard(self) -> Shard:
        """What is tried."""
        return self.job.shards[self.index]

    @property
    def again(self) -> str:
        """The line that tries the shard again."""
        return f"ipexlaunch shards run {shlex.quote(self.shown)} --index {self.index}"


def _index_of_variables() -> int:
    """The index that an engine gives this task."""
    for name in INDEX_VARIABLES:
        text = os.environ.get(name, "")
        if text.isascii() and text.isdecimal():
            return int(text)
    raise UsageError(f"give --index K: none of {', '.join(INDEX_VARIABLES)} says which shard this is")


def _about(number: int, mark: str) -> Attempt:
    host = job_host(os.environ, os.uname().nodename, None)
    return Attempt(
        number=number,
        token=os.urandom(8).hex(),
        job=mark,
        host=host.name,
        pid=os.getpid(),
        boot=boot_id(),
        since=now_utc(),
        engine_job=host.job_words or None,
    )


def _refuse_changes(job: ShardedJob, file: ShardedFile, values: Mapping[str, object]) -> None:
    """The input and the script must be what `make` has seen.

    Raises:
        RequestError: one is not.
    """
    try:
        now = model_fingerprint(file.path)
    except OSError as error:
        raise DocumentError(file.path, "", str(error.strerror), "every host must see it under this path") from None
    changes = what_changed({"bytes": file.bytes, "mtime_ns": file.mtime_ns, "sha256_of_ends": file.sha256_of_ends}, now)
    if changes:
        raise RequestError(f"read {file.path}", f"it is not what it was when the job was made: {'; '.join(changes)}",
                           "put it back, or make the job again in another DIR")  # fmt: skip
    if job.program_sha256 is not None and program_digest(job.program, values) != job.program_sha256:
        raise RequestError(f"run {job.program}", "the script is not what it was when the job was made",
                           "put it back, or make the job again in another DIR")  # fmt: skip


def _taken_over(trial: Trial) -> JobState:
    """What the furthest of the earlier attempts has done, in this one's files.

    Raises:
        LaunchError: they cannot be written.
    """
    files, number = trial.files, trial.about.number
    earlier = [each for each in attempts_at(trial.directory, trial.index) if each.number < number]
    furthest = next(iter(by_progress(earlier, trial.about.job)), None)
    if furthest is None:
        tell(f"shard {trial.index}, attempt {number}: {grouped(trial.shard.items, 'item')}")
        return JobState(done=DoneItems())
    theirs = files_of(trial.directory, trial.index, furthest.number)
    try:
        taken = take_over(theirs.rows, theirs.letters, files.rows, files.letters, trial.shard)
    except OSError as error:
        raise LaunchError(f"write {files.rows}", str(error.strerror), "make room and try again") from None
    given_up = f" and {grouped(taken.dead, 'dead letter')}" if taken.dead else ""
    tell(
        f"shard {trial.index}, attempt {number}: {grouped(trial.shard.items, 'item')}, of which attempt "
        f"{furthest.number} had {grouped(taken.done.count - taken.dead, 'result')}{given_up}"
    )
    return taken


FIRST_FILES = 16
"""Their first texts stand for the whole input when a model is measured."""


def _do(trial: Trial, state: JobState, more: list[str]) -> int:
    """What is left of the shard, as a batch job, which `state` then says; its exit code."""
    job, files, shard = trial.job, trial.files, trial.shard
    journal = Journal(
        AppendedFile(files.rows, state.output_bytes),
        lambda length: AppendedFile(files.letters, length),
        WithoutLedger(state),
    )
    bad_lines = "--on-bad-line dead-letter among the job's options"
    ways = WaysOn(left=f"to resume: {trial.again}", bad_lines=bad_lines, again=trial.again, dead="")
    output = BatchOutput(rules=OutputRules(path=files.rows), journal=journal, ways=ways)

    def narrowed(source: ItemSource) -> ItemSource:
        file = job.files[shard.file]
        narrow = InputFile(file.path, replace(source.files[0].rules, format=file.format))
        narrow.narrow(job.part(trial.index))
        return ItemSource([narrow], several=job.several)

    with_model = job.program is None
    inputs = [file.path for file in job.files[:FIRST_FILES]] if with_model else [job.files[shard.file].path]
    context = job_context(job, inputs, files.rows, [*more, "--report", files.report])
    part = PartOfJob(
        narrowed=narrowed,
        output=output,
        again=trial.again,
        choices=lambda topology: shared_choice(trial.directory, trial.about.job, topology),
    )
    values = dict(context.params)
    program, arguments = values.pop("program"), values.pop("arguments")
    with context:
        return run_batch(context, program, arguments, values, part)


def _end(trial: Trial, state: JobState, before: int, code: int, seconds: float) -> int:
    """Commit the shard where all of it is done, so many items `before` this attempt; the exit code."""
    index, about = trial.index, trial.about
    missing = trial.shard.items - state.done.count
    if missing:
        if code == 0:
            tell(f"INVALID: {grouped(missing, 'item')} fewer than when the job was made; is the input another?")
        code = code or INVALID
        end_attempt(trial.files, Ended(exit_code=code))
        return code
    made = Commit(
        attempt=about.number,
        token=about.token,
        job=about.job,
        host=about.host,
        rows=state.done.count - state.dead,
        row_bytes=state.output_bytes,
        letters=state.dead,
        letter_bytes=state.dead_bytes,
        taken_over=before,
        seconds=seconds,
        at=now_utc(),
    )
    holds = commit(trial.directory, index, trial.files, made)
    end_attempt(trial.files, Ended(exit_code=0))
    if holds.token != about.token:
        tell(
            f"shard {index}: attempt {about.number} came second; attempt {holds.attempt} on {holds.host} is committed,"
            " and this one's results are not used"
        )
        return 0
    given_up = f", {grouped(made.letters, 'item')} given up" if made.letters else ""
    tell(f"shard {index} is done: attempt {about.number} is committed, {grouped(made.rows, 'result')}{given_up}")
    return 0
