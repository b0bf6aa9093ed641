"""The events of a run as objects: what a line of an events document holds. docs/run-directory.md has every key."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from ipexlaunch.launch.announced import Told
from ipexlaunch.launch.host_counters import HostReading
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.launch.samples import Samples
from ipexlaunch.machine.cpulist import format_list
from ipexlaunch.report.kept_runs.placement_rows import placement_row

Row = dict[str, Any]

ROWS_A_LINE = 4096
"""Counts in one line: a line stays under a megabyte."""


def begin_row(run: Run) -> Row:
    """The run begins."""
    together = {"fed_together": True} if run.fed_together else {}
    return {"event": "begin", "time": run.started, "fed": run.fed, **together, "host_cpus": run.host_cpus}


def moment_rows(run: Run) -> Iterator[Row]:
    """The common start and the request to end, as far as they came."""
    if run.go is not None:
        yield {"event": "go", "time": run.go}
    if run.signal is not None:
        yield {"event": "signal", "time": run.ended if run.signalled is None else run.signalled, "number": run.signal}


def host_row(reading: HostReading) -> Row:
    """A reading of the host."""
    row = asdict(reading)
    by_process = {name: {str(pid): found for pid, found in row[name].items()} for name in ("used_s", "waits")}
    return {"event": "host", **row, **by_process}


def failure_rows(event: str, failures: Iterable[Failure]) -> Iterator[Row]:
    """Failures of one kind of event, "failure" or "recovered"."""
    for f in failures:
        yield {"event": event, "time": f.time, "index": f.index, "stage": f.stage, "code": f.code, "message": f.message}


def end_row(run: Run) -> Row:
    """The run is over."""
    return {"event": "end", "time": run.ended, "code": run.exit_code, "notes": list(run.notes)}


def worker_rows(record: WorkerRecord) -> Iterator[Row]:
    """What one worker did that has a time, but for its counts."""
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
            **({"accelerator": instance.accelerator} if instance.accelerator else {}),
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
    yield exit_row(record)


def exit_row(record: WorkerRecord) -> Row:
    """A worker's process has ended, where it was seen to."""
    return {
        "event": "exit",
        "time": record.started if record.exited is None else record.exited,
        "index": record.instance.index,
        "code": record.exit_code,
        "seen": record.exited is not None,
        "cpu_s": record.cpu_s,
        "peak_memory_bytes": record.peak_memory_bytes,
        "claimed_rate": record.claimed_rate,
        "log": record.log,
    }


def placement_rows(index: int, placements: Iterable[Placement]) -> Iterator[Row]:
    """Looks at one worker."""
    for placement in placements:
        yield {"event": "placement", "index": index, **placement_row(placement)}


def told_rows(index: int, told: Told) -> Iterator[Row]:
    """Facts and doubts of one worker."""
    for name, value in told.facts.items():
        yield {"event": "fact", "index": index, "name": name, "value": value}
    for reason in told.invalid:
        yield {"event": "invalid", "index": index, "reason": reason}


def duration_rows(index: int, name: str, values_s: Iterable[float]) -> Iterator[Row]:
    """Durations of one kind of one worker."""
    values = list(values_s)
    for at in range(0, len(values), ROWS_A_LINE):
        yield {"event": "samples", "index": index, "name": name, "values_s": values[at : at + ROWS_A_LINE]}


def count_rows(index: int, samples: Samples, begin: int = 0) -> Iterator[Row]:
    """The counts of one worker, from the one with this number on."""
    for at in range(begin, len(samples.times), ROWS_A_LINE):
        part = slice(at, at + ROWS_A_LINE)
        yield {
            "event": "counts",
            "index": index,
            "times": samples.times[part].tolist(),
            "items": samples.items[part].tolist(),
            "tokens": samples.tokens[part].tolist(),
            "latencies_s": [None if math.isnan(s) else s for s in samples.latencies_s[part]],
        }
