"""A run's figures for Prometheus: scraped over HTTP or left in a file, both by the official client.

Names and units follow https://prometheus.io/docs/practices/naming/. The label of a worker is `index`: Prometheus itself
gives each target the label `instance`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

from ipexlaunch.documents.write_file import check_writable, write_file
from ipexlaunch.errors import LaunchError
from ipexlaunch.errors.how_to_add import how_to_add
from ipexlaunch.launch.lifecycle import Phase
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.report.live.background_thread import BackgroundThread
from ipexlaunch.report.live.sample_usage import UsageSampler
from ipexlaunch.report.live.status import RunIdentity, Usage
from ipexlaunch.report.live.wording import local_share

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

FILE_INTERVAL_S = 15.0
"""Between two writings of the file; scrapes come every 15 to 60 seconds."""

PATIENCE_S = 2.0
"""How long a scrape waits for the supervisor."""

NO_USAGE = Usage()

PROPORTIONAL = "All memory, a page that several processes have divided among them (PSS): can be summed."
BUSY = "For how long a worker that is not ready has been busy with what it announced."


def families(run: str, identity: RunIdentity, snapshot: Snapshot, usages: Mapping[int, Usage]) -> Iterator[Metric]:
    """Every figure as the client's metrics.

    Args:
        run: value of the label that tells runs apart.
        identity: which run it is.
        snapshot: how it stands.
        usages: worker index to what it uses.
    """
    from prometheus_client.core import CounterMetricFamily as Counter
    from prometheus_client.core import GaugeMetricFamily as Gauge
    from prometheus_client.core import InfoMetricFamily as Info

    workers = [(str(w.index), w, usages.get(w.index, NO_USAGE)) for w in snapshot.workers]
    planned = [
        (i, {"cpus": format_list(w.cpus), "nodes": format_list(w.nodes), "memory": w.memory}) for i, w, _ in workers
    ]
    phases = [(i, name, float(w.phase == name)) for i, w, _ in workers for name in get_args(Phase)]
    announced = [(i, w.busy_with, w.busy_s) for i, w, _ in workers]
    memory = [(i, str(node), size) for i, _, usage in workers for node, size in sorted((usage.memory or {}).items())]
    restarts = [(i, w.restarts) for i, w, _ in workers]
    busy = [(i, u.busy_cpus) for i, _, u in workers]
    seconds = [(i, u.cpu_s) for i, w, u in workers if w.index in usages]
    shares = [(i, local_share(w, u)) for i, w, u in workers]
    each = ("index",)
    table: Sequence[tuple[Any, str, str, tuple[str, ...], Sequence[tuple[Any, ...]]]] = (
        (Gauge, "start_time_seconds", "Start of the run since 1970.", (), [(identity.started_at,)]),
        (Gauge, "elapsed_seconds", "Time since the start of the run.", (), [(snapshot.elapsed_s,)]),
        (Gauge, "measured_seconds", "Time since the common start.", (), [(snapshot.measured_s,)]),
        (Counter, "failures", "Workers that failed and limits that were hit.", (), [(len(snapshot.failures),)]),
        (Info, "instance", "What is planned for the instance.", each, planned),
        (Gauge, "instance_phase", "1 for the phase that the worker is in, 0 for others.", (*each, "phase"), phases),
        (Gauge, "announced_phase_seconds", BUSY, (*each, "name"), announced),
        (Counter, "items", "Items counted.", each, [(i, w.items) for i, w, _ in workers]),
        (Counter, "tokens", "Tokens counted.", each, [(i, w.tokens) for i, w, _ in workers]),
        (Gauge, "items_per_second", "Rate of the last five seconds.", each, [(i, w.rate) for i, w, _ in workers]),
        (Gauge, "in_flight", "Requests that are with the server now.", each, [(i, w.in_flight) for i, w, _ in workers]),
        (Counter, "restarts", "How often the worker was started again.", each, restarts),
        (Counter, "cpu_seconds", "Processor time of the worker and its children.", each, seconds),
        (Gauge, "busy_cpus", "Cpus kept busy since the previous look.", each, busy),
        (Gauge, "memory_bytes", "Anonymous memory by node.", (*each, "node"), memory),
        (Gauge, "proportional_memory_bytes", PROPORTIONAL, each, [(i, u.proportional) for i, _, u in workers]),
        (Gauge, "local_memory_ratio", "Share of the anonymous memory on the planned nodes.", each, shares),
        (Gauge, "exit_code", "Exit code of a worker that has ended.", each, [(i, w.exit_code) for i, w, _ in workers]),
    )
    for kind, name, meaning, labels, rows in table:
        family = kind(f"ipexlaunch_{name}", meaning, labels=["run", *labels])
        for *values, figure in rows:
            if figure is not None:
                family.add_metric([run, *values], figure)
        yield family


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
            "export metrics", "prometheus_client is not installed beside ipexlaunch", how_to_add("metrics")
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


class MetricsServer(Observer):
    """An HTTP server in threads of its own; each scrape has the supervisor make a snapshot, and nothing else does."""

    def __init__(self, run: str, identity: RunIdentity, address: str, port: int) -> None:
        """Listen; do this before workers are started (see `BackgroundThread`).

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

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """Keep the last one, for a scrape that comes while the run ends."""
        self._newest = now()
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


class MetricsFile(Observer):
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
        self._apart = BackgroundThread(self._write, "ipexlaunch-metrics")

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """Write it soon."""
        self._newest = now()
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
