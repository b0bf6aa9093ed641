"""What shows or serves a run while it lasts, from the options of `run`: the table, the metrics, the status socket."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from ipexlaunch.batch.progress import BatchProgress
from ipexlaunch.cli.options import KeepingOptions, LaunchOptions
from ipexlaunch.cli.terminal import spoken, tell, wants_color
from ipexlaunch.documents.secret_values import mask_text, mask_words
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.observer import Observer
from ipexlaunch.report.kept_runs.run_files import LOGS
from ipexlaunch.report.live.metrics import MetricsFile, MetricsServer
from ipexlaunch.report.live.run_identity import RunIdentity
from ipexlaunch.report.live.show import LiveLines, LiveTable
from ipexlaunch.report.live.status_socket.serve import StatusSocket

LARGEST_SMALL_DESCRIPTOR = 9
"""XCU 2.7 of POSIX.1-2017 promises redirection of 0 to 9 only."""


@dataclass(frozen=True, kw_only=True)
class Views:
    """What follows from the options."""

    watchers: tuple[Observer, ...]
    """For the supervisor; each is closed by it."""
    tell: Callable[[str], None]
    """Says a line to the user without tearing a picture."""
    outputs: tuple[int, int]
    """Descriptors that the workers' stdout and stderr are shown on: /dev/null where the table stands instead."""


def draws_table(options: KeepingOptions) -> bool:
    """Whether --live means a table: standard error is a terminal that can move its cursor."""
    return options.live and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def log_directory(options: KeepingOptions) -> str | None:
    """Where the workers' output is kept: where the options say, else with the run; beside a table in any case."""
    chosen = options.log_dir or options.log_path
    if not chosen and options.run_dir:
        chosen = os.path.join(os.path.abspath(options.run_dir), LOGS)
    if chosen or not draws_table(options):
        return chosen
    return tempfile.mkdtemp(prefix="ipexlaunch-")


def open_views(launch: Launch, options: LaunchOptions, progress: Callable[[], BatchProgress] | None = None) -> Views:
    """Everything that looks on at this run; call it before workers are started (see `run_apart`).

    Args:
        launch: what is about to start.
        options: of the command, log_dir as `log_directory` gives it.
        progress: how far a batch job is; None where the run is none.

    Raises:
        LaunchError: metrics are asked for and cannot be had.
    """
    job, outputs = launch.job, (1, 2)
    say: Callable[[str], None] = tell
    title = shlex.join(mask_words([job.program, *job.arguments]))
    identity = RunIdentity(
        pid=os.getpid(), program=title, started_at=time.time(), local_share_required=options.local_pages
    )
    with _small_descriptors_kept():
        metrics = _metrics(job.program, identity, options)  # first: what is refused leaves no socket behind
        watchers: list[Observer] = [StatusSocket(identity, os.environ, os.getuid(), note=tell), *metrics]
        if draws_table(options):
            count, color = len(launch.workers), wants_color(sys.stderr)
            table = LiveTable(identity, count, sys.stderr, color=color, progress=progress)
            watchers.append(table)
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            outputs = (nowhere if sys.stdout.isatty() else 1, nowhere)
            tell(f"the workers' output goes to {options.log_dir}")
            say = partial(_say_above, table)
        elif options.live:
            watchers.append(LiveLines(tell, progress))
    return Views(watchers=tuple(watchers), tell=say, outputs=outputs)


def _say_above(table: LiveTable, text: str) -> None:
    table.say(f"ipexlaunch: {spoken(text)}")


def _metrics(program: str, identity: RunIdentity, options: KeepingOptions) -> list[Observer]:
    watchers: list[Observer] = []
    if options.metrics_file is not None:
        watchers.append(MetricsFile(identity, options.metrics_file, tell))
    if options.metrics_port is not None:
        address = options.metrics_address
        server = MetricsServer(mask_text(os.path.basename(program) or program), identity, address, options.metrics_port)
        host = f"[{address}]" if ":" in address else address
        tell(f"metrics on http://{host}:{server.port}/metrics")
        watchers.append(server)
    return watchers


@contextlib.contextmanager
def _small_descriptors_kept() -> Iterator[None]:
    """Leave the descriptors below 10 to the workers' channel: a POSIX shell can redirect to no other."""
    kept: list[int] = []
    try:
        while not kept or kept[-1] < LARGEST_SMALL_DESCRIPTOR:
            kept.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        yield
    finally:
        for descriptor in kept:
            os.close(descriptor)
