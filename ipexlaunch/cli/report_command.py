"""`ipexlaunch report`: runs that are over, as tables or as one page; `ipexlaunch top`: those that go on."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from ipexlaunch.cli.options.checked_command import FileCheckedCommand
from ipexlaunch.cli.options.complete_words import complete_files
from ipexlaunch.cli.options.option_types import SECONDS, flag, valued
from ipexlaunch.cli.terminal import moves_cursor, showable, single_keys, tell, wants_color, width_of
from ipexlaunch.documents.secret_values import mask_variables
from ipexlaunch.errors import RequestError
from ipexlaunch.errors.how_to_add import how_to_add
from ipexlaunch.launch.guard_streams import failed
from ipexlaunch.launch.wait_for_disk import DiskPatience
from ipexlaunch.machine.wording import counted
from ipexlaunch.measure.across_hosts import compared_with_one
from ipexlaunch.measure.compare_runs import ComparedRun, Configuration, compare
from ipexlaunch.report.kept_runs.open_groups import OpenedGroup, is_group, open_group
from ipexlaunch.report.kept_runs.open_runs import OpenedRun, OpenedSearch, names_of, open_runs
from ipexlaunch.report.live.ask_status import Answer, ask_runs
from ipexlaunch.report.live.sample_usage import UsageSampler
from ipexlaunch.report.live.status import RunIdentity, Usage, write_top
from ipexlaunch.report.live.table import lines_wanted, live_table, live_text
from ipexlaunch.report.page.page import page, scipy_intervals
from ipexlaunch.report.tables.comparison_table import comparison_table
from ipexlaunch.report.tables.group_table import group_table
from ipexlaunch.report.tables.report_table import report_table
from ipexlaunch.report.tables.tuning_tables import tuning_text

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command("report", cls=FileCheckedCommand)
@click.argument("paths", metavar="RUN...", nargs=-1, required=True, shell_complete=complete_files)
@valued("--html", "Write one page with charts that needs no network.", metavar="FILE", dest="page_file")
def report_command(paths: tuple[str, ...], page_file: str | None) -> int:
    """Show runs again, and compare several.

    RUN is a directory that --run-dir made, or a file that --report wrote, that of `tune` too. Runs of the same program
    on the same instances repeat each other: several of them give a confidence interval. That of --across-hosts is a
    group: one table with its hosts, one total; beside runs of one of its hosts alone it says how well it scales.
    """
    names = dict(zip(paths, names_of(paths), strict=True))
    together = [path for path in paths if is_group(path)]
    groups = [open_group(path, names[path]) for path in together]
    opened = open_runs([path for path in paths if path not in together])
    runs = tuple(each for each in opened if isinstance(each, OpenedRun))
    searches = tuple(each for each in opened if isinstance(each, OpenedSearch))
    intervals = scipy_intervals() if len(runs) > 1 else None
    compared = [
        ComparedRun(
            name=run.name,
            report=run.report,
            environment=mask_variables(run.kept.recorded.job.environment) if run.kept else {},
            options=run.kept.recorded.options if run.kept else {},
        )
        for run in runs
    ]
    configurations = compare(compared, intervals)
    if page_file is not None:
        _write_page(page_file, runs, configurations, searches, groups)
        tell(f"wrote {page_file}, with {counted(len(opened) + len(groups), 'run')}; open it in a browser")
        return 0
    sys.stdout.write(showable("\n".join(_texts(runs, configurations, searches, groups)), sys.stdout))
    if intervals is None and any(len(configuration.rates) > 1 for configuration in configurations):
        print(f"ipexlaunch: intervals need scipy: {how_to_add('report')}", file=sys.stderr)
    return 0


def _texts(
    runs: tuple[OpenedRun, ...],
    configurations: tuple[Configuration, ...],
    searches: tuple[OpenedSearch, ...],
    groups: Sequence[OpenedGroup],
) -> Iterator[str]:
    width, color = width_of(sys.stdout), wants_color(sys.stdout)
    for each in groups:
        alone = compared_with_one(each.group, [run.report for run in runs])
        name = f"{each.name}:\n" if len(groups) > 1 or runs or searches else ""
        yield name + group_table(each.group, alone, width=width, color=color)
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
    groups: Sequence[OpenedGroup],
) -> None:
    try:
        import matplotlib as _  # noqa: F401, TID251 - asked for before anything is drawn
    except ImportError:
        found = "matplotlib is not installed beside ipexlaunch"
        raise RequestError("draw the page", found, how_to_add("report")) from None
    text = page(runs, configurations, searches, groups)
    content = text.encode(errors="backslashreplace")  # a name may hold half a surrogate pair
    # A signal ends the program at once, but not while the interpreter itself waits for a disk that hangs.
    DiskPatience(0.0, lambda: False, tell).write(path, content, f"write the page to {path}")


Sampler = UsageSampler[tuple[RunIdentity, int]]

FIRST_LOOK_S = 0.5
"""Cpu use is what was used between two looks; with --once the second comes so much later."""

Run = tuple[Answer, Mapping[int, Usage]]


@click.command("top", cls=FileCheckedCommand)
@flag("--once", "Print once and end; the same where the output is no terminal.")
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@valued("--interval", "Time between two pictures.", SECONDS.at_least(0.2), 1.0, metavar="SECONDS")
def top_command(once: bool, form: str, interval: float) -> int:
    """Show your runs on this host: rate, cpu use and memory of each instance (q or Ctrl-C ends it).

    --format json prints once, for programs.
    """
    sampler: Sampler = UsageSampler()
    if once or form == "json" or not moves_cursor(sys.stdout):
        runs, notes = _look_twice(sampler)
        _print(runs, notes, form)
        return 0
    return _refresh(sampler, interval)


def _look(sampler: Sampler) -> tuple[list[Run], list[str]]:
    """Every run with what its workers use, and what is to be said about those that do not answer."""
    notes: list[str] = []
    answers = ask_runs(os.environ, os.getuid(), note=notes.append)
    pids = {
        (answer.identity, worker.index): worker.pid
        for answer in answers
        if answer.same_processes
        for worker in answer.snapshot.workers
        if worker.pid is not None
    }
    usages = sampler.sample(pids)
    return [(answer, _of(answer.identity, usages)) for answer in answers], notes


def _of(identity: RunIdentity, usages: Mapping[tuple[RunIdentity, int], Usage]) -> dict[int, Usage]:
    return {index: usage for (run, index), usage in usages.items() if run == identity}


def _look_twice(sampler: Sampler) -> tuple[list[Run], list[str]]:
    runs, notes = _look(sampler)
    if not runs:
        return runs, notes
    time.sleep(FIRST_LOOK_S)
    return _look(sampler)


def _print(runs: list[Run], notes: list[str], form: str) -> None:
    if form == "json":
        sys.stdout.write(write_top((answer.identity, answer.snapshot, usages) for answer, usages in runs))
    else:
        width, color = width_of(sys.stdout), wants_color(sys.stdout)
        texts = [
            live_text(
                answer.snapshot,
                usages,
                width=width,
                title=_title(answer),
                color=color,
                local_share_required=answer.identity.local_share_required,
            )
            for answer, usages in runs
        ]
        if texts or not notes:
            print(showable("\n".join(texts), sys.stdout) if texts else f"{NO_RUNS}\n", end="")
    for note in notes:
        tell(note)


NO_RUNS = "no run of yours is going on on this host"


def _title(answer: Answer) -> str:
    return f"launcher {answer.identity.pid}: {answer.identity.program}"


def _refresh(sampler: Sampler, interval: float) -> int:
    from rich.console import Console
    from rich.live import Live

    signal.signal(signal.SIGINT, signal.default_int_handler)  # the screen has to be given back
    console = Console(no_color=not wants_color(sys.stdout), highlight=False, emoji=False)
    try:
        runs, notes = _look(sampler)
        if not runs:
            _print(runs, notes, "table")
            return 0
        with single_keys(sys.stdin) as key, Live(console=console, screen=True, auto_refresh=False) as live:
            while (runs or notes) and not failed(sys.stdout):  # who does not answer now may answer next time
                live.update(_picture(runs, notes, *console.size), refresh=True)
                if key(interval) in ("q", "Q"):
                    return 0
                runs, notes = _look(sampler)
    except KeyboardInterrupt:
        return 0
    _print([], notes, "table")
    return 0


def _picture(runs: list[Run], notes: list[str], width: int, height: int) -> RenderableType:
    """All runs in one screen: each has its share of the lines, and what one leaves the later ones get."""
    from rich.console import Group
    from rich.text import Text

    left = height - len(notes)
    parts: list[RenderableType] = []
    for place, (answer, usages) in enumerate(runs):
        share = left // (len(runs) - place)
        parts.append(
            live_table(
                answer.snapshot,
                usages,
                width=width,
                height=share - 1,
                title=_title(answer),
                local_share_required=answer.identity.local_share_required,
            )
        )
        parts.append(Text())
        left -= min(share, lines_wanted(answer.snapshot) + 1)
    return Group(*parts, *(Text(note, no_wrap=True, overflow="ellipsis") for note in notes))
