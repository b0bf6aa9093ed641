"""The end of a run: its report is kept before it is shown, and kept again where it could not be shown."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ipexlaunch import __version__
from ipexlaunch.batch.items import BatchSummary
from ipexlaunch.cli import EXIT_UNSHOWN
from ipexlaunch.cli.options import LaunchOptions
from ipexlaunch.cli.terminal import showable, wants_color, width_of
from ipexlaunch.documents.secret_values import mask_words
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.guard_streams import say_unshown, wait_until_shown
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.wait_for_disk import DiskPatience, HungDiskError
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.report import (
    Report,
    aggregate,  # here, where no worker waits for the import
    write_report,
)
from ipexlaunch.measure.scaling import Baseline
from ipexlaunch.report.tables.report_table import report_table

if TYPE_CHECKING:
    from ipexlaunch.cli.run.keep_run import RunKeeper


def conclude_run(
    run: Run,
    launch: Launch,
    topology: Topology,
    options: LaunchOptions,
    keeper: RunKeeper | None,
    disk: DiskPatience,
    reasons: Sequence[str] = (),
    batch: BatchSummary | None = None,
    baseline: Baseline | None = None,
) -> Report:
    """Keep and show the report of a run; the one that holds, which says so too where not everything could be shown.

    Args:
        run: what happened.
        launch: what was started.
        topology: the machine.
        options: of the command.
        keeper: keeps the run in a directory; None where nobody asked for that.
        disk: how long the disks of the report's file and the directory may hang.
        reasons: why the run is INVALID, beside what happened.
        batch: figures of a batch job.
        baseline: what one instance does alone.

    Raises:
        IpexLaunchError: it cannot be kept; it has been shown.
    """
    path = options.report_file
    report = aggregate(run, _provenance(launch, topology), options.local_pages, reasons, baseline, options.lost_time)
    report = replace(report, batch=batch)
    keep = None if keeper is None else lambda report: keeper.finish(run, report)
    troubles = list(_troubles(report, path, keep, disk))
    _show(report)
    problems = wait_until_shown()
    if problems:
        say_unshown(problems)
        warnings, code = (*report.warnings, *problems), report.exit_code or EXIT_UNSHOWN
        report = replace(report, warnings=warnings, exit_code=code)
        if not troubles:
            troubles = list(_troubles(report, path, None if keeper is None else keeper.keep_report, disk))
    for trouble in troubles:
        raise trouble
    return report


def _troubles(
    report: Report, path: str | None, keep: Callable[[Report], None] | None, disk: DiskPatience
) -> Iterator[IpexLaunchError]:
    """Keep a report wherever it is to be kept; what went wrong with each place."""
    if path is not None:
        wanted = f"write the report to {path}"
        try:
            disk.have(lambda: write_file(path, write_report(report)), wanted)
        except OSError as error:
            yield IpexLaunchError(wanted, str(error.strerror))
        except HungDiskError as error:
            yield error
    if keep is not None:
        try:
            disk.have(lambda: keep(report), "keep the run in its directory")
        except IpexLaunchError as error:
            yield error


def _show(report: Report) -> None:
    table = report_table(report, width=width_of(sys.stderr), color=wants_color(sys.stderr))
    sys.stderr.write(showable(table, sys.stderr))


def _provenance(launch: Launch, topology: Topology) -> dict[str, object]:
    return {
        "ipexlaunch": __version__,
        "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "topology": topology.fingerprint,
        "program": list(mask_words([launch.job.program, *launch.job.arguments])),
        "python": launch.job.python if launch.job.kind != "executable" else None,
        "preloaded": list(launch.job.libraries.values()),
    }
