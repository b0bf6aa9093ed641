"""A launch from its start to its report, with everything that `run`'s options say about showing and keeping it."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import count

from ipexlaunch.batch.items import BatchProgress, BatchSummary
from ipexlaunch.cli.options import LaunchOptions, SupervisionOptions
from ipexlaunch.cli.options.check_files import check_overlaps, program_reads
from ipexlaunch.cli.options.named_files import WrittenFile
from ipexlaunch.cli.options.run_options import DEFAULT_RESTARTS, on_failure
from ipexlaunch.cli.run.conclude_run import conclude_run
from ipexlaunch.cli.run.keep_run import RunKeeper, begin_keeping
from ipexlaunch.cli.run.watch_run import HostObserver, log_directory, open_observers, run_baseline, with_baseline_notes
from ipexlaunch.cli.terminal import tell
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.bind import adopt_orphans, held_to
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.lifecycle import Limits
from ipexlaunch.launch.placement.inspect_workers import Inspector
from ipexlaunch.launch.read_host_counters import STAT, UNTOLD, count_oom_kills
from ipexlaunch.launch.run_record import Run
from ipexlaunch.launch.run_so_far import Observer
from ipexlaunch.launch.supervise import LONG_PHASE_S, OutputOptions, SupervisorCallbacks, signals_deferred, supervise
from ipexlaunch.launch.supervise.interfaces import Feeder
from ipexlaunch.launch.wait_for_disk import DiskPatience, let_go
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.proc_files import descendants, is_overmounted
from ipexlaunch.machine.topology import Topology
from ipexlaunch.measure.report import Report
from ipexlaunch.measure.scaling import Baseline, baseline_of
from ipexlaunch.plan.planner import plan_notes
from ipexlaunch.worker import BATCHES_VARIABLE

MB = 1_000_000

FIRST_RESTART_S = 0.5
"""Before a worker of a batch job is started again: it has a model to load anyway."""

INSTANCES_SHOWN = 8
"""A longer plan is summed up in the start line; `ipexlaunch plan` shows it whole."""


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What makes a run a batch job."""

    feeder: Feeder
    batches_held: int
    """Batches that a worker may hold."""
    stall_timeout_s: float
    conclude: Callable[[DiskPatience], tuple[Sequence[str], BatchSummary]]
    """Called at the end: says how it went, and gives the reasons why the run is INVALID, and its figures; its disk is
    waited for with that patience."""
    progress: Callable[[], BatchProgress]
    """How far the job is."""
    watchers: Sequence[Observer] = ()
    """Further ones that the loop waits for."""
    together: bool = False
    """Whether no worker begins before all have loaded."""
    takes_stdout: bool = False
    """Whether results go to standard output, so that the workers' output must not."""


def run_launch(
    launch: Launch,
    topology: Topology,
    options: LaunchOptions,
    feeding: BatchRun | None = None,
    known: Baseline | None = None,
) -> Report:
    """Start the workers, watch over them to the end, show the report and write it where it was asked for.

    Args:
        launch: what to start.
        topology: the machine.
        options: of the command.
        feeding: gives the workers their items.
        known: what one instance does alone, where nobody asks to measure it.

    Raises:
        HeldError: another launch keeps its run in the same place.
        IpexLaunchError: logs, the report or the metrics cannot be written, or memory cannot be bound with --strict.
    """
    held = ExitStack()
    try:
        return _run(launch, topology, options, feeding, known, held)
    finally:
        let_go(held.close)


def _run(
    launch: Launch,
    topology: Topology,
    options: LaunchOptions,
    feeding: BatchRun | None,
    known: Baseline | None,
    held: ExitStack,
) -> Report:
    """The same; what must be let go of at the end, however that comes, goes onto the stack."""
    limits = limits_from_options(options)
    environment: Mapping[str, str] = os.environ
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
    options = replace(options, log_dir=log_directory(options))
    logs = _log_paths(launch, options)
    keeper = _keeper(launch, topology, options)
    if keeper is not None:
        held.callback(keeper.close)
    _make_directory_of_logs(options.log_dir)
    inspector = Inspector()
    means = SupervisorCallbacks(
        bind_thread=lambda cpus, policy, nodes: held_to(cpus, policy, nodes, strict=options.strict),
        read_placement=inspector,
        read_placement_if_cheap=inspector.glance,
        descendants=descendants,
        oom_kills=count_oom_kills,
        tell=tell,
    )
    adopt_orphans()
    gc.freeze()  # __main__ put collection off; what start-up has made stays, and is never looked at again
    gc.enable()
    interval = options.proof_interval or None
    showing = OutputOptions(
        logs=logs,
        largest_log_bytes=int(options.log_max_mb * MB) if options.log_max_mb else None,
        stamp=_stamp if options.timestamps else None,
        line_rule=options.throughput_regex,
        long_phase_s=None if options.live else LONG_PHASE_S,
    )
    if keeper is not None and options.baseline:
        keeper.begin()
    libraries = () if keeper is None else (keeper.libraries,)
    solo = run_baseline(launch, topology, means, limits, showing, libraries, interval) if options.baseline else None
    if keeper is not None and solo is not None:
        keeper.keep_baseline(solo)
    if solo is not None and solo.exit_code:
        tell("the baseline failed; the run is not started")
        return conclude_run(solo, launch, topology, options, keeper, DiskPatience(limits.grace_s, lambda: True, tell))
    progress = feeding.progress if feeding is not None else None
    views = open_observers(launch, options, progress)
    for line in _start_lines(launch, topology, stored=options.plan_file is not None):
        tell(line)
    feeder = feeding.feeder if feeding is not None else None
    outputs = (views.outputs[1],) * 2 if feeding is not None and feeding.takes_stdout else views.outputs
    means, showing = replace(means, tell=views.tell), replace(showing, outputs=outputs)
    host = HostObserver(launch, topology)
    observers = [*views.watchers, *(feeding.watchers if feeding is not None else ()), host, *libraries]
    if keeper is not None:
        observers.append(keeper.events(means.tell))
    with signals_deferred(means.tell) as came:
        run = supervise(launch, means, environment, limits, showing, observers, interval, feeder, host.cpus)
        is_broken_off = run.exit_code != 0 or (feeder is not None and bool(feeder.problem))
        disk = DiskPatience(limits.grace_s, lambda: is_broken_off or bool(came), means.tell)
        reasons, batch = feeding.conclude(disk) if feeding is not None else ((), None)
        if solo is not None:
            run, known = with_baseline_notes(run, solo, options.lost_time), _baseline(solo)
        return conclude_run(run, launch, topology, options, keeper, disk, reasons, batch, known)


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


def _baseline(solo: Run) -> Baseline | None:
    found = baseline_of(solo)
    if found is None:
        tell("no efficiency: the instance that ran alone counted nothing")
    return found


def _keeper(launch: Launch, topology: Topology, options: LaunchOptions) -> RunKeeper | None:
    """What keeps the run in a directory, where that is asked for."""
    if options.run_dir is None:
        return None
    return begin_keeping(launch, topology, options.run_dir, options)


def _start_lines(launch: Launch, topology: Topology, *, stored: bool) -> list[str]:
    instances, idle = [worker.instance for worker in launch.workers], len(launch.plan.idle_cpus)
    sizes = sorted({len({topology.by_cpu[cpu].core for cpu in instance.cpus}) for instance in instances})
    size = "unpinned" if sizes == [0] else f"of {' or '.join(map(str, sizes))} core{'s' * (sizes != [1])}"
    lines = [f"{len(instances)} instance{'s' * (len(instances) != 1)} {size}, {idle} cpu{'s' * (idle != 1)} idle"]
    for instance in instances[:INSTANCES_SHOWN]:
        threads = f"{instance.threads} thread{'s' * (instance.threads != 1)}"
        memory = f"memory {instance.memory} {format_list(instance.nodes)}".rstrip()
        drives = f"{instance.accelerator}, " * bool(instance.accelerator)
        lines.append(f"[{instance.index}] {drives}cpus {format_list(instance.cpus) or 'any'}, {threads}, {memory}")
    if len(instances) > INSTANCES_SHOWN:
        lines.append(f"... and {len(instances) - INSTANCES_SHOWN} more (`ipexlaunch plan` shows all)")
    preloaded = ", ".join(launch.job.libraries.values())
    untold = [UNTOLD] if is_overmounted(f"/{STAT}") else []
    notes = plan_notes(topology, launch.planned or launch.plan, stored=stored)
    return [*lines, *notes, *untold, *([f"preloading {preloaded}"] if preloaded else []), *launch.notes]


def _log_paths(launch: Launch, options: LaunchOptions) -> dict[int, str]:
    directory, prefix = options.log_dir, options.log_file_prefix
    if not directory:
        return {}
    begun = time.strftime("%Y%m%d%H%M%S")
    for again in count(1):
        stamp = begun if again == 1 else f"{begun}-{again}"  # another run has begun in the same second
        indices = [worker.instance.index for worker in launch.workers]
        names = {index: f"{prefix}_{stamp}_instance_{index}.log" for index in indices}
        paths = {index: os.path.join(directory, name) for index, name in names.items()}
        if not any(map(os.path.lexists, paths.values())):
            break
    alone = [os.path.join(directory, f"baseline_{name}") for name in names.values() if options.baseline]
    every = [*paths.values(), *alone]
    written = [WrittenFile(what="a log", path=path + end, kind="file") for path in every for end in ("", ".1")]
    check_overlaps(vars(options), program_reads(launch.job), written)
    return paths


def _make_directory_of_logs(path: str | None) -> None:
    """One inside of the run's own directory could not be made before that one."""
    try:
        if path:
            os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise LaunchError(f"keep logs in {path}", str(error.strerror), "give a directory that can be made") from None


def _stamp() -> bytes:
    return time.strftime("%H:%M:%S ").encode()
