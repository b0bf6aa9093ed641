"""The options that make a run one of several that begin together: of `run` and `bench`."""

from __future__ import annotations

import re

import click

from ipexlaunch.cli.options.option_types import COUNT, COUNT_FROM_0, SECONDS, adding, flag, valued

JOIN_TIMEOUT_S = 60.0

HIGHEST_PORT = 65535


def _address(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, int] | None:
    """The value of --rendezvous; an address of IPv6 stands in brackets."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/\[\]]+)):([0-9]{1,5})", text)
    if match is None or not 0 < int(match[3]) <= HIGHEST_PORT:
        raise click.UsageError(f"--rendezvous takes HOST:PORT, such as h1:29400, not {text!r}")
    return match[1] or match[2], int(match[3])


def _ports(_context: click.Context, _option: click.Parameter, text: str | None) -> range | None:
    """The value of --rendezvous-ports."""
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,5})(?:-([0-9]{1,5}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < first <= last <= HIGHEST_PORT:
        raise click.UsageError(f"--rendezvous-ports takes A-B, such as 61000-61010, not {text!r}")
    return range(first, last + 1)


across_options = adding(
    flag("--across-hosts", "Begin together with the other hosts of this start, and report one total (srun, mpirun)."),
    valued("--host-rank", "Which of the hosts this is, from 0, where no engine says it.", COUNT_FROM_0, metavar="R"),
    valued("--hosts", "How many there are.", COUNT, metavar="N", dest="host_count"),
    click.option(
        "--rendezvous",
        metavar="HOST:PORT",
        callback=_address,
        help="Where the first host listens, where they share no directory; the secret of all is "
        "IPEXLAUNCH_RENDEZVOUS_TOKEN.",
    ),
    valued("--job-id", "What all hosts of one start have in common, and no other start has.", metavar="ID"),
    click.option(
        "--rendezvous-ports",
        metavar="A-B",
        callback=_ports,
        help="Ports of which the first host takes one that is free  [default: the kernel chooses].",
    ),
    valued(
        "--join-timeout",
        "Stop when a host has not joined by then.",
        SECONDS,
        JOIN_TIMEOUT_S,
        metavar="SECONDS",
    ),
)
"""Adds them."""
