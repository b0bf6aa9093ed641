"""`ipexlaunch report`: runs that are over, as tables or as one page."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from ipexlaunch.cli.options.check_files import FileCheckedCommand
from ipexlaunch.cli.terminal import showable, spoken, wants_color, width_of
from ipexlaunch.documents.secret_values import mask_variables
from ipexlaunch.documents.write_file import write_file
from ipexlaunch.errors import IpexLaunchError, RequestError
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.measure.compare_runs import Compared, Configuration, compare
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, OpenedSearch, open_runs
from ipexlaunch.report.page.intervals import scipy_intervals
from ipexlaunch.report.page.page import page
from ipexlaunch.report.tables.comparison_table import comparison_table
from ipexlaunch.report.tables.report_table import report_table
from ipexlaunch.report.tables.tuning_table import tuning_text


@click.command("report", cls=FileCheckedCommand)
@click.argument("paths", metavar="RUN...", nargs=-1, required=True)
@click.option("--html", "page_file", metavar="FILE", help="Write one page with charts that needs no network.")
def command(paths: tuple[str, ...], page_file: str | None) -> int:
    """Show runs again, and compare several.

    RUN is a directory that --run-dir made, or a file that --report wrote, that of `tune` too. Runs of the same program
    on the same instances repeat each other: several of them give a confidence interval.

    \b
      ipexlaunch report runs/monday
      ipexlaunch report runs/4x14-* runs/8x7-* --html comparison.html
      ipexlaunch report tuning.json --html map.html
    """
    opened = open_runs(paths)
    runs = tuple(each for each in opened if isinstance(each, OpenedRun))
    searches = tuple(each for each in opened if isinstance(each, OpenedSearch))

    intervals = scipy_intervals() if len(runs) > 1 else None
    compared = [
        Compared(
            name=run.name,
            report=run.report,
            environment=mask_variables(run.kept.recorded.job.environment) if run.kept else {},
        )
        for run in runs
    ]
    configurations = compare(compared, intervals)
    if page_file is not None:
        _write_page(page_file, runs, configurations, searches)
        return 0
    sys.stdout.write(showable("\n".join(_texts(runs, configurations, searches)), sys.stdout))
    if intervals is None and any(len(configuration.rates) > 1 for configuration in configurations):
        print("ipexlaunch: intervals need scipy: pip install 'ipexlaunch[report]'", file=sys.stderr)
    return 0


def _texts(
    runs: tuple[OpenedRun, ...], configurations: tuple[Configuration, ...], searches: tuple[OpenedSearch, ...]
) -> Iterator[str]:
    width, color = width_of(sys.stdout), wants_color(sys.stdout)
    if len(runs) > 1:
        yield comparison_table(configurations, width=width, color=color)
    elif runs:
        yield report_table(runs[0].report, width=width, color=color)
    for search in searches:
        name = f"{search.name}: " if len(searches) > 1 or runs else ""
        yield name + tuning_text(search.outcome, width=width, color=color)


def _write_page(
    path: str,
    runs: tuple[OpenedRun, ...],
    configurations: tuple[Configuration, ...],
    searches: tuple[OpenedSearch, ...],
) -> None:
    try:
        import matplotlib as _  # noqa: F401, TID251 - asked for before anything is drawn
    except ImportError:
        raise RequestError("draw the page", "matplotlib is not installed", "pip install 'ipexlaunch[report]'") from None

    text = page(runs, configurations, searches)
    content = text.encode(errors="backslashreplace")  # a name may hold half a surrogate pair
    wanted = f"write the page to {path}"
    try:
        # A signal ends the program at once, but not while the interpreter itself waits for a disk that hangs.
        DiskPatience(0.0, lambda: False, _tell).have(lambda: write_file(path, content), wanted)
    except OSError as error:
        raise IpexLaunchError(wanted, str(error.strerror)) from None


def _tell(text: str) -> None:
    print(f"ipexlaunch: {spoken(text)}", file=sys.stderr, flush=True)
