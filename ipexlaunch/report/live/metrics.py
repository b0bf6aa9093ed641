"""A run's figures for Prometheus: scraped over HTTP or left in a file, both by the official client.

Names and units follow https://prometheus.io/docs/practices/naming/. The label of a worker is `index`: Prometheus itself
gives each target the label `instance`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, get_args

from ipexlaunch.documents.write_file import check_writable, write_file
from ipexlaunch.errors import LaunchError
from ipexlaunch.launch.lifecycle import Phase
from ipexlaunch.launch.snapshot import Snapshot
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.report.live.background_thread import Apart
from ipexlaunch.report.live.run_identity import RunIdentity
from ipexlaunch.report.live.sample_usage import UsageSampler
from ipexlaunch.report.live.usage import Usage

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

FILE_INTERVAL_S = 15.0
"""Between two writings of the file; scrapes come every 15 to 60 seconds."""

PATIENCE_S = 2.0
"""How long a scrape waits for the supervisor."""

NO_USAGE = Usage()


def families(run: str, identity: RunIdentity, snapshot: Snapshot, usages: Mapping[int, Usage]) -> Iterator[Metric]:
    """Every figure as the client's metrics.

    Args:
        run: value of the label that tells runs apart.
        identity: which run it is.
        snapshot: how it stands.
        usages: worker index to what it uses.
    """
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    one, each = ["run"], ["run", "index"]
    started = GaugeMetricFamily("ipexlaunch_start_time_seconds", "Start of the run since 1970.", labels=one)
    started.add_metric([run], identity.started_at)
    elapsed = GaugeMetricFamily("ipexlaunch_elapsed_seconds", "Time since the start of the run.", labels=one)
    elapsed.add_metric([run], snapshot.elapsed_s)
    measured = GaugeMetricFamily("ipexlaunch_measured_seconds", "Time since the common start.", labels=one)
    if snapshot.measured_s is not None:
        measured.add_metric([run], snapshot.measured_s)
    failures = CounterMetricFamily("ipexlaunch_failures", "Workers that failed and limits that were hit.", labels=one)
    failures.add_metric([run], len(snapshot.failures))
    yield from (started, elapsed, measured, failures)

    info = InfoMetricFamily("ipexlaunch_instance", "What is planned for the instance.", labels=each)
    phase = GaugeMetricFamily(
        "ipexlaunch_instance_phase", "1 for the phase that the worker is in, 0 for others.", labels=[*each, "phase"]
    )
    announced = GaugeMetricFamily(
        "ipexlaunch_announced_phase_seconds",
        "For how long a worker that is not ready has been busy with what it announced.",
        labels=[*each, "name"],
    )
    items = CounterMetricFamily("ipexlaunch_items", "Items counted.", labels=each)
    tokens = CounterMetricFamily("ipexlaunch_tokens", "Tokens counted.", labels=each)
    rate = GaugeMetricFamily("ipexlaunch_items_per_second", "Rate of the last five seconds.", labels=each)
    restarts = CounterMetricFamily("ipexlaunch_restarts", "How often the worker was started again.", labels=each)
    cpu = CounterMetricFamily("ipexlaunch_cpu_seconds", "Processor time of the worker and its children.", labels=each)
    busy = GaugeMetricFamily("ipexlaunch_busy_cpus", "Cpus kept busy since the previous look.", labels=each)
    memory = GaugeMetricFamily("ipexlaunch_memory_bytes", "Anonymous memory by node.", labels=[*each, "node"])
    local = GaugeMetricFamily(
        "ipexlaunch_local_memory_ratio", "Share of the anonymous memory on the planned nodes.", labels=each
    )
    exit_code = GaugeMetricFamily("ipexlaunch_exit_code", "Exit code of a worker that has ended.", labels=each)
    for worker in snapshot.workers:
        labels, usage = [run, str(worker.index)], usages.get(worker.index, NO_USAGE)
        planned = {"cpus": format_list(worker.cpus), "nodes": format_list(worker.nodes), "memory": worker.memory}
        info.add_metric(labels, planned)
        for name in get_args(Phase):
            phase.add_metric([*labels, name], float(worker.phase == name))
        if worker.busy_s is not None:
            announced.add_metric([*labels, worker.busy_with], worker.busy_s)
        items.add_metric(labels, worker.items)
        tokens.add_metric(labels, worker.tokens)
        restarts.add_metric(labels, worker.restarts)
        if worker.rate is not None:
            rate.add_metric(labels, worker.rate)
        if worker.index in usages:
            cpu.add_metric(labels, usage.cpu_s)
        if usage.busy_cpus is not None:
            busy.add_metric(labels, usage.busy_cpus)
        for node, size in sorted((usage.memory or {}).items()):
            memory.add_metric([*labels, str(node)], size)
        share = usage.local_share(worker.nodes)
        share = worker.local_pages if share is None else share
        if share is not None:
            local.add_metric(labels, share)
        if worker.exit_code is not None:
            exit_code.add_metric(labels, worker.exit_code)
    yield from (info, phase, announced, items, tokens, rate, restarts, cpu, busy, memory, local, exit_code)


class _Figures:
    """What the client's registry asks when figures are wanted."""

    def __init__(self, run: str, identity: RunIdentity, newest: Callable[[], Snapshot | None]) -> None:
        self._run = run
        self._identity = identity
        self._newest = newest
        self._lock = threading.Lock()  # scrapes may come at once, each in a thread of the server's
        self._sampler: UsageSampler[int] | None = None
        self._ended: dict[int, Usage] = {}

    def collect(self) -> Iterator[Metric]:
        """The figures of the newest snapshot; none before there is one."""
        with self._lock:
            snapshot = self._newest()
            if snapshot is None:
                return
            if self._sampler is None:
                self._sampler = UsageSampler()
            usages = self._sampler.sample({w.index: w.pid for w in snapshot.workers if w.pid is not None})
            # Who has ended keeps the time that was last seen: a counter that vanishes cannot be summed.
            self._ended.update({index: Usage(cpu_s=usage.cpu_s) for index, usage in usages.items()})
            usages = {**self._ended, **usages}
        yield from families(self._run, self._identity, snapshot, usages)

    def describe(self) -> list[Metric]:
        """Nothing in advance: the registry would ask for figures to learn their names."""
        return []


def require_client() -> None:
    """Find out before anything is started that figures cannot be exported.

    Raises:
        LaunchError: the client is not installed.
    """
    try:
        import prometheus_client as _  # noqa: F401
    except ImportError:
        raise LaunchError(
            "export metrics", "prometheus_client is not installed", "pip install 'ipexlaunch[metrics]'"
        ) from None


def check_name(path: str) -> None:
    """Find out that node_exporter would pass a file over.

    Args:
        path: of the file.

    Raises:
        LaunchError: its name does not end in .prom.
    """
    name = os.path.basename(path)
    if not name.endswith(".prom") or name == ".prom":
        raise LaunchError(
            f"write metrics to {path}", "the textfile collector reads *.prom only", "give a name that ends in .prom"
        )


def _registry(figures: _Figures) -> CollectorRegistry:
    """A registry with our figures alone, not those of the launcher's interpreter.

    Raises:
        LaunchError: the client is not installed.
    """
    require_client()
    from prometheus_client import CollectorRegistry

    registry = CollectorRegistry()
    registry.register(figures)
    return registry


class MetricsServer:
    """An HTTP server in threads of its own; each scrape has the supervisor make a snapshot, and nothing else does."""

    interval_s: float | None = None

    def __init__(self, run: str, identity: RunIdentity, address: str, port: int) -> None:
        """Listen; do this before workers are started (see `run_apart`).

        Args:
            run: value of the label `run`.
            identity: which run it is.
            address: of an interface of this host.
            port: 0 for one that is free.

        Raises:
            LaunchError: the client is not installed, or the address cannot be listened on.
        """
        registry = _registry(_Figures(run, identity, self._ask))
        from prometheus_client import start_http_server

        self._asked = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._answered = threading.Event()
        self._newest: Snapshot | None = None
        self._closed = False
        try:
            self._server, self._thread = start_http_server(port, address, registry)
        except (OSError, OverflowError) as error:
            os.close(self._asked)
            raise LaunchError(
                f"serve metrics on {address} port {port}",
                getattr(error, "strerror", None) or str(error),
                "give another --metrics-port or --metrics-address",
            ) from None
        self.port: int = self._server.server_port

    def fileno(self) -> int | None:
        """Readable when a scrape waits for a snapshot."""
        return self._asked

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Give it one."""
        os.eventfd_read(self._asked)
        self._newest = now()
        self._answered.set()

    def tick(self, snapshot: Snapshot) -> None:
        """Keep the last one, for a scrape that comes while the run ends."""
        self._newest = snapshot
        self._answered.set()

    def close(self) -> None:
        """Stop serving."""
        self._closed = True
        self._answered.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE_S)
        os.close(self._asked)

    def _ask(self) -> Snapshot | None:
        """In a thread of the server: the newest snapshot, or the one before where the supervisor is busy."""
        if not self._closed:
            self._answered.clear()
            os.eventfd_write(self._asked, 1)
            self._answered.wait(PATIENCE_S)
        return self._newest


class MetricsFile:
    """A file for node_exporter's textfile collector, replaced whole each time; missing directories are made."""

    interval_s: float | None = FILE_INTERVAL_S

    def __init__(self, identity: RunIdentity, path: str, note: Callable[[str], None]) -> None:
        """Begin with nothing written.

        Args:
            identity: which run it is; the file's name without .prom is the label `run`.
            path: ends in .prom, or node_exporter would pass it over.
            note: told once where it can no longer be written.

        Raises:
            LaunchError: the client is not installed, or the file cannot be written.
        """
        check_name(path)
        check_writable(path, "the metrics", regular=True)
        name = os.path.basename(path)
        self._path = path
        self._note = note
        self._told = False
        self._newest: Snapshot | None = None
        self._registry = _registry(_Figures(name.removesuffix(".prom"), identity, lambda: self._newest))
        self._apart = Apart(self._write, "ipexlaunch-metrics")

    def fileno(self) -> int | None:
        """Nothing to wait for."""
        return None

    def ready(self, now: Callable[[], Snapshot]) -> None:
        """Never called."""

    def tick(self, snapshot: Snapshot) -> None:
        """Write it soon."""
        self._newest = snapshot
        self._apart.poke()

    def close(self) -> None:
        """Write the last figures; the file stays, as what is known of the run."""
        if not self._apart.end(PATIENCE_S):
            self._note(f"{self._path} could not be written in time")
        if self._apart.error is not None:
            self._note(f"{self._path} is no longer written: {self._apart.error!r}")

    def _write(self) -> None:
        from prometheus_client import generate_latest

        if self._newest is None:
            return
        try:
            write_file(self._path, generate_latest(self._registry))
        except OSError as error:
            if not self._told:
                self._note(f"{self._path} cannot be written: {error.strerror}")
            self._told = True
