"""Where the results of `ipexlaunch batch` go, a file with its ledger or standard output; and how its job went."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ipexlaunch.batch.feed import Journal, QueueFeeder
from ipexlaunch.batch.feed.dead_letters import DEAD_LETTERS_SUFFIX
from ipexlaunch.batch.feed.open_job import open_job, open_pipe, refuse_existing
from ipexlaunch.batch.items import BatchProgress, BatchSummary, summary_of
from ipexlaunch.batch.output.append_results import AppendedFile, StandardOutput
from ipexlaunch.batch.output.finalize import finish_output, order_to_pipe
from ipexlaunch.batch.output.parquet_file import require_pyarrow
from ipexlaunch.batch.output.result_rows import STDOUT, OutputRules
from ipexlaunch.cli.options.batch_options import BatchOptions
from ipexlaunch.cli.terminal import tell
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.documents.write_file import is_stream, open_stream
from ipexlaunch.errors import BadRowError, IpexLaunchError, LaunchError
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class WaysOn:
    """What a user is told to type after a job that has not done all."""

    left: str = "continue with --resume"
    """Where items are left."""
    bad_lines: str = "--resume --on-bad-line dead-letter"
    """Where the input was read to a bad line."""
    again: str = "--resume"
    """The same, where a sentence goes before it."""
    dead: str = "; to try them again: --retry-dead"
    """Behind the name of a file of dead letters; "" where there is no way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput:
    """An output that is open for results."""

    rules: OutputRules
    journal: Journal
    stream: StandardOutput | None = None
    """Where results cannot be taken back: standard output, a pipe, a device; None for a file."""
    ways: WaysOn = WaysOn()
    folder: str = ""
    """Of a stream's results until they are in order; "" where they are gathered beside the output, or not at all."""

    @property
    def takes_stdout(self) -> bool:
        """Whether results go to standard output, so that nothing else may."""
        return self.rules.path == STDOUT

    @property
    def draws_on_terminal(self) -> bool:
        """Whether results are shown where a picture would be drawn."""
        return self.takes_stdout and sys.stdout.isatty()

    def finish(self) -> None:
        """Give the output its form and its name, once every result is there.

        Raises:
            IpexLaunchError: it cannot be written; what was gathered stays.
        """
        length = self.journal.progress.output_bytes
        if self.stream is None:
            rules = replace(self.rules, path=os.path.realpath(self.rules.path))
            if os.path.exists(rules.gathered):
                # These files do not give back the rows that they were made of; --retry-dead will add to them.
                keep = (rules.parquet or rules.openai) and self.journal.progress.dead > 0
                note = finish_output(rules, length, keep_gathered=keep)
                if note:
                    tell(note)
        elif self.folder:
            order_to_pipe(os.path.join(self.folder, GATHERED), length, self.stream)

    def finish_former(self) -> int:
        """Do what is left of a job that is complete; its exit code, which is that of a run that gave items up."""
        progress = self.journal.progress
        self.journal.close()
        self.finish()
        given_up = f", {progress.dead} of them given up" if progress.dead else ""
        done = progress.done.count
        are = "the one item is" if done == 1 else f"all {counted(done, 'item')} are"
        tell(f"{are} done already{given_up}")
        return self._former_code()

    def nothing_to_retry(self) -> int:
        """Say that no item was given up; the exit code of the job."""
        progress = self.journal.progress
        self.journal.close()
        tell("no item was given up: there is nothing to try again")
        if not progress.complete:
            tell("INVALID: items are left that were not done; continue with --resume")
            return INVALID
        self.finish()
        return self._former_code()

    def _former_code(self) -> int:
        dead = self.journal.progress.dead
        if dead:
            tell(f"INVALID: {given_up(dead, self.rules.path, self.ways)}")
        return INVALID if dead else 0

    def discard(self) -> None:
        """Remove what was put aside for a pipe."""
        if self.folder:
            path = os.path.join(self.folder, GATHERED)
            if os.path.exists(path):
                os.unlink(path)
            os.rmdir(self.folder)


GATHERED = "results.jsonl"

INVALID = 4
"""Exit code of a job in which items were given up or left."""


def given_up(count: int, path: str, ways: WaysOn) -> str:
    """Why a job is INVALID in which items were given up, and what can be done.

    Args:
        count: of them.
        path: of the output, "-" for standard output.
        ways: to go on.
    """
    where = "standard error" if path == STDOUT else f"{path}{DEAD_LETTERS_SUFFIX}{ways.dead}"
    return f"{counted(count, 'item')} given up, see {where}"


def open_output(
    rules: OutputRules,
    stream: StandardOutput | None,
    job: Mapping[str, object],
    options: BatchOptions,
) -> BatchOutput:
    """Open the output as the options ask.

    Args:
        rules: where results go.
        stream: what `check_output` gave.
        job: what the results depend on.
        options: of the command.

    Raises:
        IpexLaunchError: it is there already, another job holds it, or it cannot be written.
    """
    if stream is None:
        _make_folder(rules.path)
        journal = open_job(
            rules,
            job,
            resume=options.resume,
            overwrite=options.overwrite,
            rebuild=options.rebuild,
            retry_dead=options.retry_dead,
        )
        return BatchOutput(rules=rules, journal=journal)
    # Dead letters of a stream are lines of JSON on standard error.
    if not rules.keep_order:
        return BatchOutput(rules=rules, journal=open_pipe(stream, StandardOutput(2)), stream=stream)
    folder = tempfile.mkdtemp(prefix="ipexlaunch-")
    gathered = AppendedFile(os.path.join(folder, GATHERED))
    journal = open_pipe(gathered, StandardOutput(2))
    return BatchOutput(rules=rules, journal=journal, stream=stream, folder=folder)


def _stream_of(rules: OutputRules) -> StandardOutput | None:
    """What takes results that go to a stream; None where they go to a file."""
    if rules.path == STDOUT:
        return StandardOutput(1)
    if not is_stream(rules.path):
        return None
    try:
        return StandardOutput(open_stream(rules.path), rules.path)
    except OSError as error:
        hint = "start its reader first, or give the path of a file"
        raise LaunchError(f"write the results to {rules.path}", str(error.strerror), hint) from None


def check_output(rules: OutputRules, options: BatchOptions) -> StandardOutput | None:
    """Find out before any work that results could not be written as the options say; no file is touched.

    What takes them is given back where they go to a stream: a reader must not see it closed again.

    Args:
        rules: where results go.
        options: of the command.

    Raises:
        IpexLaunchError: there are results already, another job is at work on them, or a library is missing.
    """
    if rules.parquet:
        require_pyarrow()
    stream = _stream_of(rules)
    if stream is None and not (options.resume or options.retry_dead or options.overwrite):
        refuse_existing(rules)
    return stream


def _make_folder(path: str) -> None:
    folder = os.path.dirname(os.path.realpath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise LaunchError(f"write the results to {path}", str(error.strerror), f"make {folder}") from None


def conclude(
    feeder: QueueFeeder, output: BatchOutput, disk: DiskPatience, progress: BatchProgress, further: str
) -> tuple[list[str], BatchSummary]:
    """Finish the output where all is done; (why the run is INVALID, the report's figures of the job).

    Args:
        feeder: after its run.
        output: where the results are.
        disk: how long the output's may hang.
        progress: how far the job has come.
        further: the line that resumes the job; "" where nothing can, because its input or output is no file.
    """
    standing = feeder.journal.standing
    summary = summary_of(feeder.queue.figures, feeder.last_done.values(), done=standing.done, dead=standing.dead)
    resumable, stopped = bool(further), feeder.problem or feeder.input_error
    if feeder.draining and resumable and not (standing.complete or stopped):
        left = None if progress.expected is None else max(0, progress.expected - progress.done)
        summary = replace(summary, drained=True, items_left=left)
    reasons = _reasons(feeder, output, resumable=resumable)
    if summary.drained:
        reasons[0] = f"drained, {_left(progress, summary)}; to resume: {further}"

    def finish() -> None:
        try:
            if standing.complete:
                output.finish()
        finally:
            output.discard()

    try:
        hint = f"every result is there; to finish it once that answers: {output.ways.again}" if resumable else ""
        disk.have(finish, f"finish {output.rules.path}", hint)
    except IpexLaunchError as error:
        reasons.append(str(error))
    tell(batch_summary_text(summary))
    return reasons, summary


def _left(progress: BatchProgress, summary: BatchSummary) -> str:
    if summary.items_left is None:
        return "items are left"
    about = "" if progress.exact else "about "
    return f"{about}{counted(summary.items_left, 'item')} {'is' if summary.items_left == 1 else 'are'} left"


def line_to_go_on(words: Sequence[str], behind: int) -> str:
    """The command that resumes a job of this one, without secrets, for a shell.

    Args:
        words: of this command, without the program's name.
        behind: how many of the last of them are a PROGRAM and its arguments.
    """
    own = [word for word in words[: len(words) - behind] if word.replace("_", "-") not in ("--overwrite", "--rebuild")]
    again = [] if {"--resume", "--retry-dead", "--retry_dead"} & set(own) else ["--resume"]
    place = own.index("batch") + 1
    line = ["ipexlaunch", *own[:place], *again, *own[place:], *words[len(words) - behind :]]
    return shlex.join(mask_words(line))


def batch_summary_text(summary: BatchSummary) -> str:
    """The line that sums a job up."""
    waste = f", {summary.padding_waste:.1%} of the work padding" if summary.padding_waste else ""
    unread = f" ({summary.unreadable} of them unreadable now)" if summary.unreadable else ""
    return (
        f"{counted(summary.items_done, 'item')} done "
        f"({summary.items_now} now in {counted(summary.batches, 'batch', 'batches')}{waste}), "
        f"{summary.requeued} requeued, {summary.items_dead} given up{unread}, "
        f"{summary.tail_idle_s:.2f} s of workers idle at the end"
    )


def _reasons(feeder: QueueFeeder, output: BatchOutput, *, resumable: bool) -> list[str]:
    standing = feeder.journal.standing
    reasons = [feeder.problem] if feeder.problem else []
    if feeder.input_error is not None:
        skips = resumable and isinstance(feeder.input_error, BadRowError)  # else dead letters would not help
        way = f"; what was read before is done; to skip bad lines: {output.ways.bad_lines}" if skips else ""
        reasons.append(f"{feeder.input_error}{way}")
    elif not feeder.problem and not standing.complete:
        further = output.ways.left if resumable else "they were lost with the pipe"
        reasons.append(f"items are left that were not done; {further}")
    if standing.dead:
        path = STDOUT if output.stream is not None else output.rules.path
        reasons.append(given_up(standing.dead, path, output.ways))
    return reasons
