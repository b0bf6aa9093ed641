"""What the lines of an events document tell, put together line by line."""

from __future__ import annotations

from array import array
from typing import Any

from ipexlaunch.errors import DocumentError
from ipexlaunch.launch.announced import PhaseSpan, Told
from ipexlaunch.launch.host_counters import HostReading, Throttling, Waits
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.binding import Binding
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.launch.samples import UNKNOWN, Samples
from ipexlaunch.machine.cpulist import parse_list
from ipexlaunch.plan.plan import Instance
from ipexlaunch.report.kept_runs.placement_rows import placement_of


class EventsReading:
    """What the lines so far have told."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._times: dict[str, float] = {}
        self._latest = 0.0
        """Of all times; only for a document without an end."""
        self._code = 0
        self._fed = self._fed_together = False
        self._host: list[HostReading] = []
        self._host_cpus = 0
        self._notes: tuple[str, ...] = ()
        self._signal: int | None = None
        self._failures: dict[str, list[Failure]] = {"failure": [], "recovered": []}
        self._workers: dict[int, dict[str, Any]] = {}

    def take(self, row: dict[str, Any]) -> None:
        """Understand one event; keys that are not known are errors.

        Args:
            row: the event; it is emptied.

        Raises:
            TypeError, ValueError, KeyError, AttributeError: it is no event.
            RequestError: a list of cpus or nodes is none.
        """
        event = row.pop("event")
        self._latest = max(self._latest, row.get("time", 0.0))
        if event in ("begin", "go", "end", "signal"):
            self._times[event] = row.pop("time")
            if event == "end":
                self._code, self._notes = row.pop("code"), tuple(row.pop("notes"))
            elif event == "begin":
                self._fed, self._fed_together = row.pop("fed"), row.pop("fed_together", False)
                self._host_cpus = row.pop("host_cpus", 0)
            elif event == "signal":
                self._signal = row.pop("number")
        elif event == "note":
            self._notes += (row.pop("text"),)
        elif event in self._failures:
            self._failures[event].append(Failure(**row))
            row = {}
        elif event == "host":
            throttling, used, waits = row.pop("throttling"), row.pop("used_s"), row.pop("waits", {})
            self._host.append(
                HostReading(
                    **row,
                    throttling=None if throttling is None else Throttling(**throttling),
                    used_s={int(pid): seconds for pid, seconds in used.items()},
                    waits={int(pid): Waits(**times) for pid, times in waits.items()},
                )
            )
            row = {}
        elif event == "start":
            self._start(row)
        else:
            self._of_worker(event, self._worker(row.pop("index")), row)
        if row:
            raise ValueError(f"{event} has no key {next(iter(row))!r}")

    def _worker(self, index: int) -> dict[str, Any]:
        """What is known of a worker; clocks that were set wrong may tell of its phases before its start."""
        new = {"samples": Samples(), "told": None, "placements": (), **NOTHING_YET}
        return self._workers.setdefault(index, new)

    def _start(self, row: dict[str, Any]) -> None:
        index, planned, bound = row.pop("index"), row.pop("planned"), row.pop("bound")
        lists: dict[str, Any] = {name: parse_list(planned.pop(name)) for name in ("cpus", "nodes")}
        binding = None
        if bound is not None:
            binding = Binding(**{**bound, "cpus": parse_list(bound["cpus"]), "nodes": parse_list(bound["nodes"])})
        self._worker(index).update(
            instance=Instance(index=index, **lists, **planned),
            binding=binding,
            pid=row.pop("pid"),
            started=row.pop("time"),
        )

    def _of_worker(self, event: str, worker: dict[str, Any], row: dict[str, Any]) -> None:
        if event in ("ready", "finished"):
            worker[event] = row.pop("time")
        elif event == "exit":
            time, seen = row.pop("time"), row.pop("seen")
            worker["exited"], worker["exit_code"] = time if seen else None, row.pop("code")
            for name in ("cpu_s", "peak_memory_bytes", "claimed_rate", "log"):
                worker[name] = row.pop(name)
        elif event == "placement":
            worker["placements"] += (placement_of(row),)
            row.clear()
        elif event == "counts":
            samples: Samples = worker["samples"]
            columns = [row.pop(name) for name in ("times", "items", "tokens", "latencies_s")]
            for time, items, tokens, latency in zip(*columns, strict=True):
                samples.add(time, items, tokens, UNKNOWN if latency is None else latency)
            self._latest = max(self._latest, *columns[0], 0.0)
        elif event == "anew":
            _forget(worker, row.pop("of"))
        else:
            worker["told"] = told = worker["told"] or Told()
            _tell(event, told, row)

    def run(self, source: str) -> Run:
        """The whole run.

        Args:
            source: the document's name, for messages.

        Raises:
            DocumentError: what every run has is not there.
        """
        if "begin" not in self._times or "end" not in self._times:
            raise DocumentError(source, "", "it has no event 'begin' or no event 'end'", "it was cut off")
        return self._run(source, self._times["end"])

    def run_so_far(self, source: str) -> Run:
        """The run as far as it was told; it ends with the last thing that has a time.

        Args:
            source: the document's name, for messages.

        Raises:
            DocumentError: not even its beginning is there.
        """
        if "begin" not in self._times:
            raise DocumentError(source, "", "it has no event 'begin'", "it was cut off")
        return self._run(source, self._times.get("end", self._latest))

    def _run(self, source: str, ended: float) -> Run:
        unknown = [index for index, worker in self._workers.items() if "instance" not in worker]
        if unknown:
            raise DocumentError(source, "", f"it has no event 'start' of worker {unknown[0]}")
        return Run(
            records=tuple(WorkerRecord(**self._workers[index]) for index in sorted(self._workers)),
            started=self._times["begin"],
            go=self._times.get("go"),
            ended=ended,
            failures=tuple(self._failures["failure"]),
            signal=self._signal,
            exit_code=self._code,
            fed=self._fed,
            fed_together=self._fed_together,
            notes=self._notes,
            recovered=tuple(self._failures["recovered"]),
            signalled=self._times.get("signal"),
            host=tuple(self._host),
            host_cpus=self._host_cpus,
            over="end" in self._times,
        )


NOTHING_YET: dict[str, Any] = {"ready": None, "finished": None, "exited": None, "exit_code": 0}
"""What a worker has of its present attempt before it has done anything."""


def _forget(worker: dict[str, Any], of: str) -> None:
    """What was told of this is told again from its beginning."""
    if of == "counts":
        worker["samples"] = Samples()
    elif of == "placements":
        worker["placements"] = ()
    elif of == "worker":
        worker.update(NOTHING_YET)
        told: Told | None = worker["told"]
        if told is not None:
            told.begin_attempt()
            told.invalid.clear()
    else:
        raise ValueError(f"nothing can be told anew of {of!r}")


def _tell(event: str, told: Told, row: dict[str, Any]) -> None:
    if event == "phase":
        told.phases.append(PhaseSpan(row.pop("name"), row.pop("time"), row.pop("end")))
    elif event == "fact":
        told.facts[row.pop("name")] = row.pop("value")
    elif event == "invalid":
        told.invalid.append(row.pop("reason"))
    elif event == "samples":
        told.durations_s.setdefault(row.pop("name"), array("d")).extend(row.pop("values_s"))
    else:
        raise ValueError(f"there is no event {event!r}")
