"""What happened in a run, as JSON lines (schema ipexlaunch/events/1), and back: the raw facts behind a report.

Times are seconds of the monotonic clock of the host. docs/run-directory.md has every event and key.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ipexlaunch.binding import Binding
from ipexlaunch.cpulist import format_list, parse_list
from ipexlaunch.documents.placement_rows import placement_of, placement_row
from ipexlaunch.errors import DocumentError, RequestError
from ipexlaunch.host_reading import HostReading, Throttling
from ipexlaunch.lifecycle import Failure
from ipexlaunch.plan.instances import Instance
from ipexlaunch.record import Run, WorkerRecord
from ipexlaunch.samples import UNKNOWN, Samples
from ipexlaunch.told import PhaseSpan, Told

SCHEMA = "ipexlaunch/events/1"

ROWS_A_LINE = 4096
"""Counts in one line: a line stays under a megabyte."""


def write_events(run: Run) -> Iterator[str]:
    """Each event as a line, in the order of their times where they have one; `read_events` gives the same run back.

    Args:
        run: what happened.
    """
    yield _line({"schema": SCHEMA, "clock": "CLOCK_MONOTONIC, seconds"})
    rows = [*_of_run(run)]
    for record in run.records:
        rows += _of_worker(record)
    rows.sort(key=lambda row: row["time"])
    for row in rows:
        yield _line(row)
    for record in run.records:
        for row in _columns(record):
            yield _line(row)


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, separators=(",", ":")) + "\n"  # in ASCII: paths may hold bytes that are no text


def _of_run(run: Run) -> Iterator[dict[str, Any]]:
    yield {"event": "begin", "time": run.started, "fed": run.fed, "host_cpus": run.host_cpus}
    if run.go is not None:
        yield {"event": "go", "time": run.go}
    if run.signal is not None:
        yield {"event": "signal", "time": run.ended if run.signalled is None else run.signalled, "number": run.signal}
    for reading in run.host:
        yield {"event": "host", **_host_row(reading)}
    for kind, failures in (("failure", run.failures), ("recovered", run.recovered)):
        for f in failures:
            yield {
                "event": kind,
                "time": f.time,
                "index": f.index,
                "stage": f.stage,
                "code": f.code,
                "message": f.message,
            }
    yield {"event": "end", "time": run.ended, "code": run.exit_code, "notes": list(run.notes)}


def _host_row(reading: HostReading) -> dict[str, Any]:
    row = asdict(reading)
    return {**row, "used_s": {str(pid): used for pid, used in reading.used_s.items()}}


def _of_worker(record: WorkerRecord) -> Iterator[dict[str, Any]]:
    instance, binding, index = record.instance, record.binding, record.instance.index
    yield {
        "event": "start",
        "time": record.started,
        "index": index,
        "pid": record.pid,
        "planned": {
            "cpus": format_list(instance.cpus),
            "nodes": format_list(instance.nodes),
            "memory": instance.memory,
            "threads": instance.threads,
        },
        "bound": None
        if binding is None
        else {
            "cpus": format_list(binding.cpus),
            "nodes": format_list(binding.nodes),
            "memory": binding.memory,
            "refused": binding.refused,
        },
    }
    for span in record.told.phases if record.told else ():
        yield {"event": "phase", "time": span.begin, "index": index, "name": span.name, "end": span.end}
    if record.ready is not None:
        yield {"event": "ready", "time": record.ready, "index": index}
    if record.finished is not None:
        yield {"event": "finished", "time": record.finished, "index": index}
    yield {
        "event": "exit",
        "time": record.started if record.exited is None else record.exited,
        "index": index,
        "code": record.exit_code,
        "seen": record.exited is not None,
        "cpu_s": record.cpu_s,
        "peak_memory_bytes": record.peak_memory_bytes,
        "claimed_rate": record.claimed_rate,
        "log": record.log,
    }


def _columns(record: WorkerRecord) -> Iterator[dict[str, Any]]:
    """What has no time of its own, and the counts, which are many."""
    index, samples = record.instance.index, record.samples
    for placement in record.placements:
        yield {"event": "placement", "index": index, **placement_row(placement)}
    if record.told is not None:
        for name, value in record.told.facts.items():
            yield {"event": "fact", "index": index, "name": name, "value": value}
        for reason in record.told.invalid:
            yield {"event": "invalid", "index": index, "reason": reason}
        for name, values_s in record.told.durations_s.items():
            for at in range(0, len(values_s), ROWS_A_LINE):
                values = values_s[at : at + ROWS_A_LINE].tolist()
                yield {"event": "samples", "index": index, "name": name, "values_s": values}
    for at in range(0, len(samples.times), ROWS_A_LINE):
        part = slice(at, at + ROWS_A_LINE)
        yield {
            "event": "counts",
            "index": index,
            "times": samples.times[part].tolist(),
            "items": samples.items[part].tolist(),
            "tokens": samples.tokens[part].tolist(),
            "latencies_s": [None if math.isnan(s) else s for s in samples.latencies_s[part]],
        }


def read_events(lines: Iterable[str], source: str) -> Run:
    """The run that the events tell.

    Args:
        lines: of the file, each with or without its end.
        source: the file's name, for messages.

    Raises:
        DocumentError: it is no such file, or a line is no event of this version; the message has the line's number.
    """
    reading = _Reading()
    number = 0
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            if number == 1:
                _check_schema(row)
            else:
                reading.take(row)
        except json.JSONDecodeError as error:
            raise DocumentError(source, f"line {number}", f"it is not JSON: {error.msg}") from None
        except RequestError as error:
            raise DocumentError(source, f"line {number}", error.available) from None
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            problem = f"it is no event of {SCHEMA}: {error}"
            raise DocumentError(source, f"line {number}", problem) from None
    if not number:
        raise DocumentError(source, "", "it is empty", f"its first line should have the schema {SCHEMA}")
    return reading.run(source)


def _check_schema(row: Any) -> None:
    schema = row.get("schema") if isinstance(row, dict) else None
    if schema != SCHEMA:
        raise RequestError("read events", f"its schema is {schema!r}, not {SCHEMA!r}")


class _Reading:
    """What the lines so far have told."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self.code = 0
        self.fed = False
        self.host: list[HostReading] = []
        self.host_cpus = 0
        self.notes: tuple[str, ...] = ()
        self.signal: int | None = None
        self.failures: dict[str, list[Failure]] = {"failure": [], "recovered": []}
        self.workers: dict[int, dict[str, Any]] = {}

    def take(self, row: dict[str, Any]) -> None:
        """Understand one event; keys that are not known are errors."""
        event = row.pop("event")
        if event in ("begin", "go", "end", "signal"):
            self.times[event] = row.pop("time")
            if event == "end":
                self.code, self.notes = row.pop("code"), tuple(row.pop("notes"))
            elif event == "begin":
                self.fed, self.host_cpus = row.pop("fed"), row.pop("host_cpus", 0)
            elif event == "signal":
                self.signal = row.pop("number")
        elif event in self.failures:
            self.failures[event].append(Failure(**row))
            row = {}
        elif event == "host":
            throttling, used = row.pop("throttling"), row.pop("used_s")
            self.host.append(
                HostReading(
                    **row,
                    throttling=None if throttling is None else Throttling(**throttling),
                    used_s={int(pid): seconds for pid, seconds in used.items()},
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
        new = {"samples": Samples(), "told": None, "placements": (), "ready": None, "finished": None, "exit_code": 0}
        return self.workers.setdefault(index, new)

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
        else:
            worker["told"] = told = worker["told"] or Told()
            self._told(event, told, row)

    @staticmethod
    def _told(event: str, told: Told, row: dict[str, Any]) -> None:
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

    def run(self, source: str) -> Run:
        """The whole run."""
        if "begin" not in self.times or "end" not in self.times:
            raise DocumentError(source, "", "it has no event 'begin' or no event 'end'", "it was cut off")
        unknown = [index for index, worker in self.workers.items() if "instance" not in worker]
        if unknown:
            raise DocumentError(source, "", f"it has no event 'start' of worker {unknown[0]}")
        return Run(
            records=tuple(WorkerRecord(**self.workers[index]) for index in sorted(self.workers)),
            started=self.times["begin"],
            go=self.times.get("go"),
            ended=self.times["end"],
            failures=tuple(self.failures["failure"]),
            signal=self.signal,
            exit_code=self.code,
            fed=self.fed,
            notes=self.notes,
            recovered=tuple(self.failures["recovered"]),
            signalled=self.times.get("signal"),
            host=tuple(self.host),
            host_cpus=self.host_cpus,
        )
