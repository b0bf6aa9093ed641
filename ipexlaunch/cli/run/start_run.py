"""A launch on this host alone, or on this one as one of several."""

from __future__ import annotations

from ipexlaunch.cli.options import AcrossHostsOptions, LaunchOptions
from ipexlaunch.cli.run.run_launch import run_launch
from ipexlaunch.launch.job import Launch
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.report import Report
from ipexlaunch.measure.scaling import Baseline


def start_run(
    launch: Launch, topology: Topology, options: LaunchOptions, asked: AcrossHostsOptions, known: Baseline | None
) -> Report:
    """Start the workers, watch over them to the end; the report, which has been shown and kept.

    Args:
        launch: what to start.
        topology: the machine.
        options: of the command.
        asked: the same, what they say of other hosts.
        known: what one instance does alone, where nobody asks to measure it.

    Raises:
        IpexLaunchError: see `run_launch`, and `joined`.
    """
    if not asked.across_hosts:
        return run_launch(launch, topology, options, known=known)
    # A run of one host needs nothing of what hosts say to each other.
    from ipexlaunch.cli.run.across_hosts import joined

    with joined(launch, topology, options, asked) as (across, own):
        return run_launch(launch, topology, own, known=known, across=across)
