"""The options of `ipexlaunch serve` beside those of `run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import click

from ipexlaunch.cli.options import LaunchOptions
from ipexlaunch.cli.options.option_types import COUNT, COUNT_FROM_0, Decorated, adding, seconds, valued
from ipexlaunch.cli.options.run_options import run_options_of_servers
from ipexlaunch.serve.presets import PRESETS

LOST_TIME = 1.0
"""A server waits for requests, and who else used its cores meanwhile does not make its answers wrong."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions(LaunchOptions):
    """Those of `serve`."""

    preset: str | None
    ready_when: str | None
    probe_interval: float
    probe_timeout: float
    probe_failures: int
    drain_timeout: float
    duration: float | None
    endpoint: str | None
    balance: Literal["leastconn", "roundrobin", "random"]
    proxy: Literal["haproxy", "nginx"]
    proxy_cores: int
    affinity_header: str | None
    write_proxy: str | None


_OWN = (
    valued(
        "--preset",
        "A known server: its port, threads, variables, and what says that it is ready; PROGRAM is its executable.",
        tuple(PRESETS),
    ),
    valued(
        "--ready-when",
        "What says that a server is ready: http://127.0.0.1:{port}/health (answers 2xx), tcp://127.0.0.1:{port} (takes "
        "a connection), or output:REGEX (prints such a line)  [default: tcp, where PROGRAM is given {port}].",
        metavar="WHAT",
    ),
    seconds("--probe-interval", "Between two probes of a server that is ready.", 5.0),
    seconds("--probe-timeout", "How long a server may take to answer a probe.", 2.0),
    valued(
        "--probe-failures", "So many failed probes in a row, and a server is killed and restarted.", COUNT, 3,
        metavar="N",
    ),
    seconds(
        "--drain-timeout",
        "How long requests may take to finish before their server ends, at a reload, a drain and the end.",
        30.0,
        zero=True,
    ),
    seconds("--duration", "Serve for so long, then drain and end  [default: until it is asked to]."),
    valued(
        "--endpoint",
        "One address in front of all servers, by a proxy that is started and ended with them.",
        metavar="ADDRESS:PORT",
    ),
    valued(
        "--balance",
        "Who gets a request: the server with the fewest in flight, each in turn, or the better of two at random.",
        ("leastconn", "roundrobin", "random"),
        "leastconn",
    ),
    valued("--proxy", "Which proxy; nginx tells no figures.", ("haproxy", "nginx"), "haproxy"),
    valued(
        "--proxy-cores",
        "Cores for the proxy, of those that the plan leaves idle; 0: all idle cpus, else all that are allowed.",
        COUNT_FROM_0,
        0,
        metavar="N",
    ),
    valued(
        "--affinity-header",
        "Requests with the same value of this header go to the same server, such as for prefix caches.",
        metavar="NAME",
    ),
    valued(
        "--write-proxy", "Only write the proxy's configuration, for a proxy that others run.", metavar="FILE"
    ),
)  # fmt: skip


def serve_options(function: Decorated) -> Decorated:
    """Add every option of `serve` that is not the planner's."""
    add: Callable[[Decorated], Decorated] = adding(*_OWN)
    return add(run_options_of_servers(LOST_TIME)(function))


RUN = click.argument("run", metavar="[RUN]", required=False)
"""Which service, where several run: a run directory, or the launcher's process id."""
