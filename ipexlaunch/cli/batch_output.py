"""Where the results of `ipexlaunch batch` go: a file with its ledger, or standard output."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ipexlaunch.batching.output_rules import STDOUT, OutputRules
from ipexlaunch.feed_workers import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOutput:
    """An output that is open for results."""

    rules: OutputRules
    journal: Journal
    tell: Callable[[str], None]
    folder: str = ""
    """Of a pipe's results until they are in order; "" where they are gathered beside the output, or not at all."""

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
        from ipexlaunch.write_results.finish_output import finish_output, order_to_pipe
        from ipexlaunch.write_results.standard_output import StandardOutput

        length = self.journal.progress.output_bytes
        if not self.takes_stdout:
            rules = OutputRules(
                path=os.path.realpath(self.rules.path), keep_order=self.rules.keep_order, parquet=self.rules.parquet
            )
            if os.path.exists(rules.gathered):
                note = finish_output(rules, length)
                if note:
                    self.tell(note)
        elif self.folder:
            order_to_pipe(os.path.join(self.folder, GATHERED), length, StandardOutput())

    def finish_former(self) -> int:
        """Do what is left of a job that is complete; its exit code."""
        progress = self.journal.progress
        self.journal.close()
        self.finish()
        given_up = f", {progress.dead} of them given up" if progress.dead else ""
        self.tell(f"all {progress.done.count} items are done already{given_up}")
        return 0

    def discard(self) -> None:
        """Remove what was put aside for a pipe."""
        if self.folder:
            path = os.path.join(self.folder, GATHERED)
            if os.path.exists(path):
                os.unlink(path)
            os.rmdir(self.folder)


GATHERED = "results.jsonl"


def open_output(
    rules: OutputRules, job: Mapping[str, object], options: dict[str, Any], tell: Callable[[str], None]
) -> BatchOutput:
    """Open the output as the options ask.

    Args:
        rules: where results go.
        job: what the results depend on.
        options: the command's keyword arguments.
        tell: says a line to the user.

    Raises:
        IpexLaunchError: it is there already, another job holds it, or it cannot be written.
    """
    from ipexlaunch.feed_workers.open_job import open_job, open_pipe
    from ipexlaunch.write_results.appended_file import AppendedFile
    from ipexlaunch.write_results.parquet_file import require_pyarrow
    from ipexlaunch.write_results.standard_output import StandardOutput

    if rules.parquet:
        require_pyarrow()
    if rules.path != STDOUT:
        journal = open_job(
            rules, job, resume=options["resume"], overwrite=options["overwrite"], rebuild=options["rebuild"]
        )
        return BatchOutput(rules=rules, journal=journal, tell=tell)
    # Dead letters of a pipe are lines of JSON on standard error.
    if not rules.keep_order:
        return BatchOutput(rules=rules, journal=open_pipe(StandardOutput(1), StandardOutput(2)), tell=tell)
    folder = tempfile.mkdtemp(prefix="ipexlaunch-")
    gathered = AppendedFile(os.path.join(folder, GATHERED))
    return BatchOutput(rules=rules, journal=open_pipe(gathered, StandardOutput(2)), tell=tell, folder=folder)
