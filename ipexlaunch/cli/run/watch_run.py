"""What looks on at a run, from the options of `run`: the lines at its start, its logs, its table, metrics and socket.

The host's counters are read too: once all workers are started, at every look at one, every few seconds, at the end.
"""

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
from itertools import count

from ipexlaunch.batch.items import BatchProgress
from ipexlaunch.cli.options import KeepingOptions, LaunchOptions, ModelOptions
from ipexlaunch.cli.options.check_files import WrittenFile, check_overlaps, program_reads
from ipexlaunch.cli.terminal import moves_cursor, spoken, tell, wants_color
from ipexlaunch.documents.secret_values import mask_text, mask_words
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.job import Launch
from ipexlaunch.launch.read_host_counters import STAT, UNTOLD, HostCounterReader
from ipexlaunch.launch.run_events import RunEvent, WorkerStarted
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.machine.proc_files import is_overmounted
from ipexlaunch.machine.topology import Topology
from ipexlaunch.plan.planner import plan_notes
from ipexlaunch.report.kept_runs.run_directory import LOGS
from ipexlaunch.report.live.metrics import MetricsFile, MetricsServer
from ipexlaunch.report.live.serve_status import StatusSocket
from ipexlaunch.report.live.show import LiveLines, LiveTable
from ipexlaunch.report.live.status import RunIdentity

INTERVAL_S = 5.0


class HostObserver(Observer):
    """Adds the readings of the host's counters to the events of a run."""

    interval_s: float | None = INTERVAL_S

    def __init__(self, launch: Launch, topology: Topology) -> None:
        """Begin with nothing read.

        Args:
            launch: what is about to start.
            topology: the machine.
        """
        planned = {cpu for worker in launch.workers for cpu in worker.instance.cpus}
        self._host = HostCounterReader(topology, planned)
        self._missing = len(launch.workers)
        self._running: list[int] = []
        self._add: Callable[[RunEvent], None] | None = None

    @property
    def cpus(self) -> int:
        """How many cpus the readings are for."""
        return len(self._host.cpus)

    def begin(self, add: Callable[[RunEvent], None]) -> None:
        """Add readings there."""
        self._add = add

    def on_event(self, event: RunEvent) -> None:
        """Read once all workers are started."""
        if isinstance(event, WorkerStarted) and event.pid is not None:
            self._running.append(event.pid)
            self._missing -= 1
            if not self._missing:
                self._host.look(must=True)

    def on_looked(self, pid: int, *, waits: bool) -> None:
        """Read what the worker has used while nothing moves."""
        if waits:
            self._host.look(pid)

    def on_released(self) -> None:
        """Read: the last worker got ready long ago, perhaps."""
        self._host.look(running=self._running, must=True)

    def on_ended(self, pid: int) -> None:
        """What its first thread has run and waited is known for a moment more: all there is of a short worker's."""
        self._host.look(pid)
        self._running.remove(pid)

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """Read, as an interval has passed."""
        self._host.look(running=self._running)
        self._add_news()

    def close(self) -> None:
        """Read a last time: every worker has ended."""
        self._host.look(must=True)
        self._add_news()

    def _add_news(self) -> None:
        if self._add is not None:
            for reading in self._host.news():
                self._add(reading)


INSTANCES_SHOWN = 8
"""A longer plan is summed up in the start line; `ipexlaunch plan` shows it whole."""


LARGEST_SMALL_DESCRIPTOR = 9
"""XCU 2.7 of POSIX.1-2017 promises redirection of 0 to 9 only."""


@dataclass(frozen=True, kw_only=True)
class RunObservers:
    """What follows from the options."""

    watchers: tuple[Observer, ...]
    """For the supervisor; each is closed by it."""
    tell: Callable[[str], None]
    """Says a line to the user without tearing a picture."""
    outputs: tuple[int, int]
    """Descriptors that the workers' stdout and stderr are shown on: /dev/null where the table stands instead."""
    status_path: str
    """Of the run's status socket; "" where it has none."""


def draws_table(options: KeepingOptions) -> bool:
    """Whether --live means a table: standard error is a terminal that can move its cursor."""
    return options.live and moves_cursor(sys.stderr)


def log_directory(options: KeepingOptions) -> str | None:
    """Where the workers' output is kept: where the options say, else with the run; beside a table in any case."""
    chosen = options.log_dir or options.log_path
    if not chosen and options.run_dir:
        chosen = os.path.join(os.path.abspath(options.run_dir), LOGS)
    if chosen or not draws_table(options):
        return chosen
    return tempfile.mkdtemp(prefix="ipexlaunch-")


def log_paths(launch: Launch, options: LaunchOptions) -> dict[int, str]:
    """Each instance's log, under a name that no file has yet; {} where none is kept.

    Args:
        launch: what is about to start.
        options: of the command, log_dir as `log_directory` gives it.

    Raises:
        RequestError: one would be written over what the run reads.
    """
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


def make_directory_of_logs(path: str | None) -> None:
    """One inside of the run's own directory could not be made before that one."""
    try:
        if path:
            os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise LaunchError(f"keep logs in {path}", str(error.strerror), "give a directory that can be made") from None


def start_lines(launch: Launch, topology: Topology, *, stored: bool) -> list[str]:
    """What is said before the workers start.

    Args:
        launch: of all workers.
        topology: the machine.
        stored: whether the plan comes from a file.
    """
    instances, idle = [worker.instance for worker in launch.workers], len(launch.plan.idle_cpus)
    sizes = sorted({len({topology.by_cpu[cpu].core for cpu in instance.cpus}) for instance in instances})
    size = "unpinned" if sizes == [0] else f"of {' or '.join(map(str, sizes))} core{'s' * (sizes != [1])}"
    lines = [launch.host.words] if launch.host is not None and launch.host.words else []
    lines += [f"{len(instances)} instance{'s' * (len(instances) != 1)} {size}, {idle} cpu{'s' * (idle != 1)} idle"]
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


def open_observers(
    launch: Launch, options: LaunchOptions, progress: Callable[[], BatchProgress] | None = None
) -> RunObservers:
    """Everything that looks on at this run; call it before workers are started (see `BackgroundThread`).

    Args:
        launch: what is about to start.
        options: of the command, log_dir as `log_directory` gives it.
        progress: how far a batch job is; None where the run is none.

    Raises:
        LaunchError: metrics are asked for and cannot be had.
    """
    job, outputs = launch.job, (1, 2)
    say: Callable[[str], None] = tell
    model = options.model if isinstance(options, ModelOptions) else None
    words = [options.command, "--model", model] if model else [job.program, *job.arguments]
    title = shlex.join(mask_words(words))
    identity = RunIdentity(
        pid=os.getpid(),
        program=title,
        started_at=time.time(),
        local_share_required=options.local_pages,
        run_dir=os.path.realpath(options.run_dir) if options.run_dir else "",
    )
    with _small_descriptors_kept():
        metrics = _metrics(job.program, identity, options)  # first: what is refused leaves no socket behind
        status = StatusSocket(identity, os.environ, os.getuid(), note=tell)
        watchers: list[Observer] = [status, *metrics]
        if draws_table(options):
            count, color = len(launch.workers), wants_color(sys.stderr)
            table = LiveTable(identity, count, sys.stderr, color=color, progress=progress)
            watchers.append(table)
            nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
            outputs = (nowhere if sys.stdout.isatty() else 1, nowhere)
            tell(f"the workers' output goes to {options.log_dir}")
            say = partial(say_above, table)
        elif options.live:
            watchers.append(LiveLines(tell, progress))
    return RunObservers(watchers=tuple(watchers), tell=say, outputs=outputs, status_path=status.path)


def say_above(table: LiveTable, text: str) -> None:
    """Say a line to the user above what is drawn.

    Args:
        table: that is drawn.
        text: see `spoken`.
    """
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
