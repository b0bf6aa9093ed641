"""Where the results of `ipexlaunch batch` go: a file with its ledger, or standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ipexlaunch.batch.feed import Journal
from ipexlaunch.batch.feed.dead_letters import DEAD
from ipexlaunch.batch.feed.open_job import open_job, open_pipe, refuse_existing
from ipexlaunch.batch.output.appended_file import AppendedFile
from ipexlaunch.batch.output.finalize import finish_output, order_to_pipe
from ipexlaunch.batch.output.output_rules import STDOUT, OutputRules
from ipexlaunch.batch.output.parquet_file import require_pyarrow
from ipexlaunch.batch.output.standard_output import StandardOutput
from ipexlaunch.documents.write_file import is_stream, open_stream
from ipexlaunch.errors import LaunchError
from ipexlaunch.machine.wording import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput:
    """An output that is open for results."""

    rules: OutputRules
    journal: Journal
    tell: Callable[[str], None]
    stream: StandardOutput | None = None
    """Where results cannot be taken back: standard output, a pipe, a device; None for a file."""
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
                    self.tell(note)
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
        self.tell(f"{are} done already{given_up}")
        return self._former_code()

    def nothing_to_retry(self) -> int:
        """Say that no item was given up; the exit code of the job."""
        progress = self.journal.progress
        self.journal.close()
        self.tell("no item was given up: there is nothing to try again")
        if not progress.complete:
            self.tell("INVALID: items are left that were not done; go on with --resume")
            return INVALID
        self.finish()
        return self._former_code()

    def _former_code(self) -> int:
        dead = self.journal.progress.dead
        if dead:
            self.tell(f"INVALID: {given_up(dead, self.rules.path)}")
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


def given_up(count: int, path: str) -> str:
    """Why a job is INVALID in which items were given up, and what can be done.

    Args:
        count: of them.
        path: of the output, "-" for standard output.
    """
    items = f"{count} item{'s' * (count != 1)} given up"
    if path == STDOUT:
        return f"{items}, see standard error"
    return f"{items}, see {path}{DEAD}; to try them again: --retry-dead"


def open_output(
    rules: OutputRules,
    stream: StandardOutput | None,
    job: Mapping[str, object],
    options: dict[str, Any],
    tell: Callable[[str], None],
) -> BatchOutput:
    """Open the output as the options ask.

    Args:
        rules: where results go.
        stream: what `check_output` gave.
        job: what the results depend on.
        options: the command's keyword arguments.
        tell: says a line to the user.

    Raises:
        IpexLaunchError: it is there already, another job holds it, or it cannot be written.
    """
    if stream is None:
        _make_folder(rules.path)
        journal = open_job(
            rules,
            job,
            resume=options["resume"],
            overwrite=options["overwrite"],
            rebuild=options["rebuild"],
            retry_dead=options["retry_dead"],
        )
        return BatchOutput(rules=rules, journal=journal, tell=tell)
    # Dead letters of a stream are lines of JSON on standard error.
    if not rules.keep_order:
        return BatchOutput(rules=rules, journal=open_pipe(stream, StandardOutput(2)), tell=tell, stream=stream)
    folder = tempfile.mkdtemp(prefix="ipexlaunch-")
    gathered = AppendedFile(os.path.join(folder, GATHERED))
    journal = open_pipe(gathered, StandardOutput(2))
    return BatchOutput(rules=rules, journal=journal, tell=tell, stream=stream, folder=folder)


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


def check_output(rules: OutputRules, options: dict[str, Any]) -> StandardOutput | None:
    """Find out before any work that results could not be written as the options say; no file is touched.

    What takes them is given back where they go to a stream: a reader must not see it closed again.

    Args:
        rules: where results go.
        options: the command's keyword arguments.

    Raises:
        IpexLaunchError: there are results already, another job is at work on them, or a library is missing.
    """
    if rules.parquet:
        require_pyarrow()
    stream = _stream_of(rules)
    if stream is None and not any(options[name] for name in ("resume", "retry_dead", "overwrite")):
        refuse_existing(rules)
    return stream


def _make_folder(path: str) -> None:
    folder = os.path.dirname(os.path.realpath(path))
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise LaunchError(f"write the results to {path}", str(error.strerror), f"make {folder}") from None
