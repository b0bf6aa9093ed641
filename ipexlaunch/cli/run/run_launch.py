"""A launch from its start to its report, with everything that `run`'s options say about showing and keeping it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from ipexlaunch.batch.items import BatchSummary
from ipexlaunch.cli import EXIT_UNSHOWN
from ipexlaunch.cli.options import LaunchOptions, SupervisionOptions
from ipexlaunch.cli.options.option_types import DEFAULT_RESTARTS, on_failure
from ipexlaunch.cli.run.keep_run import RunKeeper, begin_keeping
from ipexlaunch.cli.run.kinds_of_run import BatchRun, ServiceRun
from ipexlaunch.cli.run.prepare_launch import on_this_host, provenance, with_shared_start
from ipexlaunch.cli.run.run_baseline import run_baseline, with_baseline
from ipexlaunch.cli.run.watch_run import (
    HostObserver,
    log_directory,
    log_paths,
    make_directory_of_logs,
    open_observers,
    start_lines,
)
from ipexlaunch.cli.terminal import show_on_stderr, tell
from ipexlaunch.errors import IpexLaunchError
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.confine import open_confinement
from ipexlaunch.launch.guard_streams import say_unshown, wait_until_shown
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.read_host_counters import count_oom_kills
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.supervise import LONG_PHASE_S, OutputOptions, SupervisorCallbacks, signals_deferred, supervise
from ipexlaunch.launch.wait_for_disk import DiskPatience, let_go
from ipexlaunch.machine.proc_files import descendants
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.report import Report, aggregate, write_report
from ipexlaunch.measure.scaling import Baseline
from ipexlaunch.measure.service import ServiceSummary
from ipexlaunch.report.tables.report_table import report_table
from ipexlaunch.worker import BATCHES_VARIABLE

if TYPE_CHECKING:  # what hosts say to each other: a run of one host needs nothing of it
    from ipexlaunch.cli.run.across_hosts import AcrossHosts

MB = 1_000_000

FIRST_RESTART_S = 0.5
"""Before a worker of a batch job is started again: it has a model to load anyway."""


def run_launch(
    launch: Launch,
    topology: Topology,
    options: LaunchOptions,
    feeding: BatchRun | None = None,
    known: Baseline | None = None,
    across: AcrossHosts | None = None,
    serving: ServiceRun | None = None,
) -> Report:
    """Start the workers, watch over them to the end, show the report and write it where it was asked for.

    Args:
        launch: what to start.
        topology: the machine.
        options: of the command.
        feeding: gives the workers their items.
        known: what one instance does alone, where nobody asks to measure it.
        across: other hosts that begin together with this one.
        serving: keeps them as servers.

    Raises:
        HeldError: another launch keeps its run in the same place.
        IpexLaunchError: logs, the report or the metrics cannot be written, or memory cannot be bound with --strict.
    """
    held = ExitStack()
    try:
        return _run(launch, topology, options, feeding, known, across, serving, held)
    finally:
        let_go(held.close)


def _run(
    launch: Launch,
    topology: Topology,
    options: LaunchOptions,
    feeding: BatchRun | None,
    known: Baseline | None,
    across: AcrossHosts | None,
    serving: ServiceRun | None,
    held: ExitStack,
) -> Report:
    """The same; what must be released at the end, however that comes, goes onto the stack."""
    limits = limits_from_options(options)
    launch, sharing = with_shared_start(launch, options)
    environment: Mapping[str, str] = os.environ
    launch = on_this_host(launch, topology, together=across is not None)
    if feeding is not None:
        limits = replace(
            limits,
            fed=True,
            fed_together=feeding.together,
            restarts=DEFAULT_RESTARTS,
            first_restart_s=FIRST_RESTART_S,
            stall_timeout_s=feeding.stall_timeout_s,
        )
        environment = {**os.environ, BATCHES_VARIABLE: str(feeding.batches_held)}
    if across is not None:
        limits, environment = replace(limits, across_hosts=True), {**environment, **across.variables}
    if serving is not None:
        limits = replace(limits, serving=True, restarts=DEFAULT_RESTARTS, first_restart_s=FIRST_RESTART_S)
        environment = serving.environment
    options = replace(options, log_dir=log_directory(options))
    logs = log_paths(launch, options)
    keeper = None if options.run_dir is None else begin_keeping(launch, topology, options.run_dir, options)
    if keeper is not None:
        held.callback(keeper.close)
    make_directory_of_logs(options.log_dir)
    confinement = None
    if options.confine != "no":
        confinement, unconfined = open_confinement(options.confine)
        launch = replace(launch, notes=(*launch.notes, *filter(None, [unconfined])))
    if confinement is not None:
        held.callback(confinement.close)
    inspector = Inspector()
    callbacks = SupervisorCallbacks(
        bind_thread=lambda cpus, policy, nodes: held_to(cpus, policy, nodes, strict=options.strict),
        read_placement=inspector,
        read_placement_if_cheap=inspector.glance,
        descendants=descendants,
        oom_kills=count_oom_kills,
        tell=tell,
        confinement=confinement,
    )
    adopt_orphans()
    gc.freeze()  # what start-up has made stays: collections need not look at it again
    interval = options.proof_interval or None
    showing = OutputOptions(
        logs=logs,
        largest_log_bytes=int(options.log_max_mb * MB) if options.log_max_mb else None,
        stamp=_stamp if options.timestamps else None,
        line_rule=options.throughput_regex,
        long_phase_s=None if options.live else LONG_PHASE_S,
        ready_line=serving.ready_line if serving is not None else None,
    )
    if keeper is not None and options.baseline:
        keeper.begin()
    libraries = () if keeper is None else (keeper.libraries,)
    solo = run_baseline(launch, topology, callbacks, limits, showing, libraries, interval) if options.baseline else None
    if keeper is not None and solo is not None:
        keeper.keep_baseline(solo)
    if solo is not None and solo.exit_code:
        tell("the baseline failed; the run is not started")
        return _conclude(solo, launch, topology, options, keeper, DiskPatience(limits.grace_s, lambda: True, tell))
    progress = feeding.progress if feeding is not None else None
    views = open_observers(launch, options, progress)
    for line in start_lines(launch, topology, stored=options.plan_file is not None):
        tell(line)
    if confinement is not None:
        tell(f"workers are confined by cgroups in {confinement.path}")
    feeder, draining = (feeding.feeder, feeding.draining) if feeding is not None else (None, frozenset[int]())
    outputs = (views.outputs[1],) * 2 if feeding is not None and feeding.takes_stdout else views.outputs
    callbacks, showing = replace(callbacks, tell=views.tell), replace(showing, outputs=outputs)
    host = HostObserver(launch, topology)
    observers = [*views.watchers, *(feeding.watchers if feeding is not None else ()), host, *libraries]
    if keeper is not None:
        observers.append(keeper.events(callbacks.tell))
    if serving is not None:
        observers += [serving.keeper, *serving.watchers(views.status_path)]
    with signals_deferred(callbacks.tell) as came:
        run = supervise(
            launch, callbacks, environment, limits, showing, observers, interval, feeder, host.cpus, sharing, draining,
            None if across is None else across.talk, None if serving is None else serving.keeper,
        )  # fmt: skip
        is_broken_off = run.exit_code != 0 or (feeder is not None and bool(feeder.problem))
        disk = DiskPatience(limits.grace_s, lambda: is_broken_off or bool(came), callbacks.tell)
        reasons, batch = feeding.conclude(disk) if feeding is not None else ((), None)
        service = None
        if serving is not None:
            reasons, service = serving.conclude()
        if solo is not None:
            run, known = with_baseline(run, solo, options.lost_time)
        return _conclude(run, launch, topology, options, keeper, disk, reasons, batch, known, across, came, service)


def limits_from_options(options: SupervisionOptions) -> Limits:
    """The time limits that the options say, and what a failure does.

    Raises:
        UsageError: --on-failure is none of its words.
    """
    mode, restarts = on_failure(options.on_failure)
    return Limits(
        grace_s=options.grace,
        ready_timeout_s=options.ready_timeout,
        timeout_s=options.timeout,
        compile_timeout_s=options.compile_timeout,
        stall_timeout_s=options.stall_timeout,
        stagger_s=options.stagger,
        on_failure=mode,
        restarts=restarts,
    )


def _stamp() -> bytes:
    return time.strftime("%H:%M:%S ").encode()


def _conclude(
    run: Run,
    launch: Launch,
    topology: Topology,
    options: LaunchOptions,
    keeper: RunKeeper | None,
    disk: DiskPatience,
    reasons: Sequence[str] = (),
    batch: BatchSummary | None = None,
    baseline: Baseline | None = None,
    across: AcrossHosts | None = None,
    came: Sequence[int] = (),
    service: ServiceSummary | None = None,
) -> Report:
    """Keep and show the report of a run; the one that holds, which says so too where not everything could be shown.

    It is kept before it is shown, and kept again where it could not be shown.

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
        across: other hosts, which show what all did.
        came: signals that ask for the end, as they come.
        service: figures of servers.

    Raises:
        IpexLaunchError: it cannot be kept; it has been shown.
    """
    path = options.report_file
    ran, share = provenance(launch, topology), options.local_pages
    report = aggregate(run, ran, share, reasons, baseline, options.lost_time, batch, service)
    report = replace(report, host=launch.host)
    keep = None if keeper is None else lambda report: keeper.finish(run, report)
    troubles = list(_troubles(report, path, keep, disk))
    if across is None:
        show_on_stderr(lambda width, color: report_table(report, width=width, color=color))
    else:
        kept, report = report, across.conclude(report, troubles, came, disk)
        if keeper is not None and report is not kept and not troubles:
            troubles = list(_troubles(report, path, keeper.keep_report, disk))
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
        try:
            disk.write(path, write_report(report), f"write the report to {path}")
        except IpexLaunchError as error:
            yield error
    if keep is not None:
        try:
            disk.have(lambda: keep(report), "keep the run in its directory")
        except IpexLaunchError as error:
            yield error
