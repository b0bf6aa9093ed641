"""What shows or serves a run while it lasts, from the options of `run`: the table, the metrics, the status socket."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from ipexlaunch.snapshot import RunIdentity
from ipexlaunch.status_socket.serve import StatusSocket

if TYPE_CHECKING:
    from ipexlaunch.supervise.watch import Watcher

LIVE_OPTIONS = (
    click.option("--live", is_flag=True, help="Show each instance while it runs; a line every 10 s without a terminal."),
    click.option(
        "--metrics-port",
        type=click.IntRange(0, 65535),
        metavar="PORT",
        help="Serve figures to Prometheus on this port (0: one that is free).",
    ),
    click.option(
        "--metrics-address",
        default="127.0.0.1",
        show_default=True,
        metavar="ADDRESS",
        help="Where --metrics-port listens; anybody who reaches it can read the figures.",
    ),
    click.option(
        "--metrics-file", metavar="FILE.prom", help="Write figures for node_exporter's textfile collector every 15 s."
    ),
)


@dataclass(frozen=True, kw_only=True)
class Views:
    """What follows from the options."""

    watchers: tuple[Watcher, ...]
    """For the supervisor; each is closed by it."""
    tell: Callable[[str], None]
    """Says a line to the user without tearing a picture."""
    outputs: tuple[int, int]
    """Descriptors that the workers' stdout and stderr are shown on: /dev/null where the table stands instead."""


def draws_table(options: dict[str, Any]) -> bool:
    """Whether --live means a table: standard error is a terminal that can move its cursor."""
    return bool(options["live"]) and sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def open_views(
    program: str, arguments: tuple[str, ...], count: int, options: dict[str, Any], tell: Callable[[str], None]
) -> Views:
    """Everything that looks on at this run; call it before workers are started.

    Args:
        program: as it was typed.
        arguments: likewise.
        count: of instances.
        options: of `run`.
        tell: says a line to the user.

    Raises:
        LaunchError: metrics are asked for and cannot be had.
    """
    import shlex
    import time

    title = shlex.join([program, *arguments])
    identity = RunIdentity(pid=os.getpid(), program=title, started_at=time.time())
    watchers: list[Watcher] = []
    outputs = (1, 2)
    if options["metrics_port"] is not None:
        from ipexlaunch.export_metrics import MetricsServer

        run = os.path.basename(program) or program
        server = MetricsServer(run, identity, options["metrics_address"], options["metrics_port"])
        tell(f"metrics on http://{_host(options['metrics_address'])}:{server.port}/metrics")
        watchers.append(server)
    if options["metrics_file"] is not None:
        from ipexlaunch.export_metrics import MetricsFile

        watchers.append(MetricsFile(identity, options["metrics_file"], tell))
    if draws_table(options):
        from ipexlaunch.cli.terminal import wants_color
        from ipexlaunch.show_live import LiveTable

        table = LiveTable(title, count, sys.stderr, color=wants_color(sys.stderr))
        watchers.append(table)
        nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        outputs = (nowhere if sys.stdout.isatty() else 1, nowhere)
        before, tell = tell, lambda text: table.say(f"ipexlaunch: {text}")
        if options["log_dir"] or options["log_path"]:
            before(f"the workers' output goes to {options['log_dir'] or options['log_path']}")
        else:
            before("the workers' output is not shown beside the table (--log-dir DIR keeps it)")
    elif options["live"]:
        from ipexlaunch.show_live import LiveLines

        watchers.append(LiveLines(tell))
    watchers.append(StatusSocket(identity, os.environ, os.getuid(), note=tell))
    return Views(watchers=tuple(watchers), tell=tell, outputs=outputs)


def _host(address: str) -> str:
    return f"[{address}]" if ":" in address else address
