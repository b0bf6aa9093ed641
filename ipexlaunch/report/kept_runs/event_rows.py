"""The events of a run as objects and back: what a line of an events document holds. docs/report.md has every
key.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, cast

from ipexlaunch.documents.codec import from_plain, to_plain
from ipexlaunch.documents.fields import NonNegativeInt, Seconds
from ipexlaunch.launch.host_counters import HostReading
from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.run_events import (
    DurationsReported,
    FactReported,
    FailureSeen,
    InvalidReported,
    ItemsCounted,
    NoteAdded,
    OfWorker,
    OtherHostLost,
    PhaseSeen,
    RecoveredFailureSeen,
    RunBegan,
    RunEnded,
    RunEvent,
    RunSignalled,
    StartGiven,
    WorkerExited,
    WorkerFinished,
    WorkerInspected,
    WorkerReady,
    WorkerRestated,
    WorkerStarted,
)
from ipexlaunch.launch.run_record import UNKNOWN, Samples

Row = dict[str, Any]

ROWS_A_LINE = 4096
"""Counts in one line: a line stays under a megabyte."""


@dataclass(frozen=True, slots=True)
class _Counts(OfWorker):
    """How counts stand there: in columns."""

    times: list[Seconds]
    items: list[NonNegativeInt]
    tokens: list[NonNegativeInt]
    latencies_s: list[Seconds | None]


KINDS: dict[str, type] = {
    "begin": RunBegan,
    "go": StartGiven,
    "signal": RunSignalled,
    "lost": OtherHostLost,
    "end": RunEnded,
    "note": NoteAdded,
    "failure": FailureSeen,
    "recovered": RecoveredFailureSeen,
    "host": HostReading,
    "start": WorkerStarted,
    "ready": WorkerReady,
    "finished": WorkerFinished,
    "phase": PhaseSeen,
    "exit": WorkerExited,
    "placement": WorkerInspected,
    "counts": ItemsCounted,
    "samples": DurationsReported,
    "fact": FactReported,
    "invalid": InvalidReported,
    "anew": WorkerRestated,
}

_NAMES = {kind: name for name, kind in KINDS.items()}


def rows_of(event: RunEvent) -> Iterator[Row]:
    """An event as rows: one, or as many as keep a line short.

    Args:
        event: any.
    """
    name = {"event": _NAMES[type(event)]}
    match event:
        case ItemsCounted(index, samples):
            for at in range(0, len(samples.times), ROWS_A_LINE):
                part = slice(at, at + ROWS_A_LINE)
                yield {
                    **name,
                    "index": index,
                    "times": samples.times[part].tolist(),
                    "items": samples.items[part].tolist(),
                    "tokens": samples.tokens[part].tolist(),
                    "latencies_s": [None if math.isnan(s) else s for s in samples.latencies_s[part]],
                }
        case DurationsReported(index, kind, values_s):
            for at in range(0, len(values_s), ROWS_A_LINE):
                yield {**name, "index": index, "name": kind, "values_s": values_s[at : at + ROWS_A_LINE]}
        case WorkerInspected(index, placement):
            yield {**name, "index": index, **to_plain(placement)}
        case WorkerStarted():
            row = to_plain(event)
            yield {**name, "index": row["planned"].pop("index"), **row}
        case _:
            yield {**name, **to_plain(event)}


def event_of(row: Any) -> RunEvent:
    """The event that a row holds.

    Args:
        row: as `rows_of` made it, or a former version.

    Raises:
        ValueError: it is no event of ours, or a key is missing, unknown or of another kind; the message has its place.
    """
    name = row.get("event") if isinstance(row, dict) else None
    if not isinstance(name, str) or name not in KINDS:
        raise ValueError(f"there is no event {name!r}" if isinstance(row, dict) else "it is no object")
    values = {key: value for key, value in row.items() if key != "event"}
    if name == "placement":
        return WorkerInspected(_index_of(values), from_plain(values, Placement))
    if name == "start" and isinstance(values.get("planned"), dict):
        values["planned"] = {"index": values.pop("index", None), **values["planned"]}
    kind = _Counts if name == "counts" else KINDS[name]
    for entry in fields(kind):
        if entry.name not in values and entry.default is entry.default_factory is MISSING:
            raise ValueError(f"{entry.name}: field required")
    if unknown := values.keys() - {entry.name for entry in fields(kind)}:
        raise ValueError(f"{name} has no key {min(unknown)!r}")
    event: Any = from_plain(values, kind)
    return _counted(event) if isinstance(event, _Counts) else cast(RunEvent, event)


def _index_of(values: Row) -> int:
    """The worker's, taken out."""
    return from_plain({"index": values.pop("index", None)}, OfWorker).index


def _counted(row: _Counts) -> ItemsCounted:
    if len({len(column) for column in (row.times, row.items, row.tokens, row.latencies_s)}) > 1:
        raise ValueError("its columns are not of one length")
    latencies_s = [UNKNOWN if latency is None else latency for latency in row.latencies_s]
    columns = (array("d", row.times), array("q", row.items), array("q", row.tokens), array("d", latencies_s))
    return ItemsCounted(row.index, Samples(*columns))
