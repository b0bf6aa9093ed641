"""The end of a run: its report is kept before it is shown, and kept again where it could not be shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from ipexlaunch.cli.commands import EXIT_UNSHOWN
from ipexlaunch.cli.terminal import showable, wants_color, width_of
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.guard_streams import say_unshown, wait_until_shown
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.wait_for_disk import DiskPatience, HungDiskError
from ipexlaunch.measure.report import Report
from ipexlaunch.measure.report_file import write_report
from ipexlaunch.report.tables.report_table import report_table

if TYPE_CHECKING:
    from ipexlaunch.cli.run.keep_run import RunKeeper


def conclude_run(report: Report, run: Run, path: str | None, keeper: RunKeeper | None, disk: DiskPatience) -> Report:
    """Keep and show a report; the one that holds, which says so too where not everything could be shown.

    Args:
        report: of the run.
        run: what happened.
        path: of the file that --report names; None for none.
        keeper: keeps the run in a directory; None where nobody asked for that.
        disk: how long the disks of both may hang.

    Raises:
        IpexLaunchError: it cannot be kept; it has been shown.
    """
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
