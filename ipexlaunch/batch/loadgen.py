"""A test of MLPerf LoadGen, whose only owner this is: its queries become items, and it learns when they are done.

LoadGen's calls are those of its Python bindings (mlcommons/inference, loadgen/bindings/python_api.cc).
"""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

from ipexlaunch.batch.items import Item
from ipexlaunch.errors import LaunchError
from ipexlaunch.errors.how_to_add import how_to_add
from ipexlaunch.launch.run_record import Snapshot
from ipexlaunch.launch.supervise.interfaces import Observer

Scenario = Literal["Offline", "Server"]

BEGIN_INTERVAL_S = 0.02
"""How often it is looked whether every worker waits for work."""

SUMMARY = "mlperf_log_summary.txt"

VERDICT = "Result is : "


def why_invalid(summary: str) -> str:
    """Which of LoadGen's conditions do not hold, and what it recommends, in its words; "" where it says neither.

    Args:
        summary: as LoadGen writes it.
    """
    lines = [line.strip() for line in summary.splitlines()]
    unmet = [line.partition(":")[0].strip() for line in lines if re.fullmatch(r"\S.*:\s*NO", line)]
    advice = lines[lines.index("Recommendations:") + 1 :] if "Recommendations:" in lines else []
    said = [line.lstrip("* ") for line in itertools.takewhile(lambda line: line.startswith("*"), advice)]
    return "; ".join([*(f"{condition}: NO" for condition in unmet), *said])


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadRules:
    """What is tested; see LoadGen's test_settings.h."""

    scenario: Scenario
    qps: float
    """Offline: the rate that is expected, which says how many samples the one query has; Server: that of arrivals."""
    min_duration_s: float
    min_queries: int
    target_latency_ms: float
    """Of a query, for Server: 99 % must be answered within it."""
    folder: str
    """Where LoadGen writes its logs."""


class LoadTest:
    """Queries in, as an iterator of items; answers out."""

    def __init__(self, samples: Sequence[Item], rules: LoadRules) -> None:
        """Hand the samples and the settings to LoadGen; nothing is issued yet.

        Args:
            samples: what queries are drawn from.
            rules: of the test.

        Raises:
            LaunchError: LoadGen is not installed.
        """
        self.rules = rules
        self.issued = 0
        """Samples so far."""
        self.over = False
        """Whether LoadGen has written its summary."""
        self.error: Exception | None = None
        self._samples = samples
        self._loadgen = require_loadgen()
        self._settings = _settings(self._loadgen, rules)
        self._queries: SimpleQueue[list[Item] | None] = SimpleQueue()
        self._open: dict[int, int] = {}  # number of an item to LoadGen's id of the query
        self._thread = threading.Thread(target=self._run, name="ipexlaunch-loadgen", daemon=True)

    def items(self) -> Iterator[Item]:
        """Every sample that LoadGen asks for, as it asks, until there will be no more; waits in between."""
        while (part := self._queries.get()) is not None:
            yield from part

    def begin(self) -> None:
        """Start the test."""
        self._thread.start()

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._thread.ident is not None

    def complete(self, numbers: Sequence[int]) -> None:
        """Tell LoadGen that items are done.

        Args:
            numbers: of the items.
        """
        response = self._loadgen.QuerySampleResponse
        self._loadgen.QuerySamplesComplete([response(self._open.pop(number), 0, 0) for number in numbers])

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of the test; false where it does not come, because queries were never answered."""
        if self.begun:
            self._thread.join(timeout_s)
        return self.over

    def summary(self) -> str:
        """LoadGen's own words about the result.

        Raises:
            OSError: it has written none.
        """
        return (Path(self.rules.folder) / SUMMARY).read_text(encoding="utf-8")

    def _run(self) -> None:
        loadgen = self._loadgen
        log = loadgen.LogSettings()
        log.log_output.outdir = self.rules.folder
        log.log_output.copy_summary_to_stdout = False
        log.enable_trace = False
        try:
            sut = loadgen.ConstructSUT(self._issue, self._flush)
            count = len(self._samples)
            qsl = loadgen.ConstructQSL(count, count, _nothing, _nothing)
            loadgen.StartTestWithLogSettings(sut, qsl, self._settings, log)
            loadgen.DestroyQSL(qsl)
            loadgen.DestroySUT(sut)
            self.over = True
        except Exception as error:  # the thread's boundary: `conclude` tells it
            self.error = error
        self._queries.put(None)

    def _issue(self, queries: Sequence[Any]) -> None:
        items = []
        for query in queries:
            sample = self._samples[query.index]
            self._open[self.issued] = query.id
            items.append(sample._replace(number=self.issued))
            self.issued += 1
        self._queries.put(items)

    def _flush(self) -> None:
        """No more will be issued: LoadGen says so after the last query."""
        self._queries.put(None)


class BeginWhenReady(Observer):
    """Starts the test when every worker waits for work, so that loading is not measured (a watcher of the run)."""

    interval_s: float | None = BEGIN_INTERVAL_S

    def __init__(self, test: LoadTest) -> None:
        """Wait.

        Args:
            test: to be started.
        """
        self._test = test

    def tick(self, now: Callable[[], Snapshot]) -> None:
        """Start it, if it is time."""
        phases = {worker.phase for worker in now().workers}
        # One that could not be started for good is not waited for; the report names it.
        if not self._test.begun and "running" in phases and phases <= {"running", "exited"}:
            self._test.begin()


def _nothing(indices: Sequence[int]) -> None:
    """Samples are in memory from the start."""


def require_loadgen() -> Any:
    """LoadGen's module, so that a test that needs it is refused at its beginning.

    Raises:
        LaunchError: it is not installed.
    """
    try:
        import mlperf_loadgen
    except ImportError:
        raise LaunchError(
            "run MLPerf LoadGen",
            "it is not installed beside ipexlaunch",
            how_to_add("loadgen"),
        ) from None
    return mlperf_loadgen


def _settings(loadgen: Any, rules: LoadRules) -> Any:
    settings = loadgen.TestSettings()
    settings.mode = loadgen.TestMode.PerformanceOnly
    settings.scenario = getattr(loadgen.TestScenario, rules.scenario)
    settings.min_duration_ms = int(1000 * rules.min_duration_s)
    settings.min_query_count = rules.min_queries
    if rules.scenario == "Offline":
        settings.offline_expected_qps = rules.qps
    else:
        settings.server_target_qps = rules.qps
        settings.server_target_latency_ns = int(1e6 * rules.target_latency_ms)
    return settings


__all__ = ["LoadRules", "LoadTest", "Scenario"]
