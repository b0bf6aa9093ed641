"""The events of a run that lasts, each once: a document that grows with it, for the case that it never ends.

The order is that in which things became known. What has changed since it was told (a worker that was started again,
looks that were thinned out) is told again from its beginning, after an event `anew`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from ipexlaunch.launch.placement.placement import Placement
from ipexlaunch.launch.run_record import Run, WorkerRecord
from ipexlaunch.launch.samples import Samples
from ipexlaunch.report.kept_runs import event_rows
from ipexlaunch.report.kept_runs.event_rows import Row
from ipexlaunch.report.kept_runs.events_file import first_line, line_of

T = TypeVar("T")


@dataclass(slots=True)
class _Told:
    """How far one worker has been told."""

    attempt: tuple[object, ...] = ()
    """All that does not grow without end."""
    exit: Row = field(default_factory=dict)
    placements: tuple[Placement, ...] = ()
    samples: Samples | None = None
    counts: int = 0
    durations: dict[str, int] = field(default_factory=dict)


class EventsSoFar:
    """What of a run was told already."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self._begun = False
        self._moments: list[Row] = []
        self._lengths: dict[str, int] = {}
        self._workers: dict[int, _Told] = {}

    def lines(self, run: Run) -> Iterator[str]:
        """What is new; all lines together, in this order, are what `read_events_so_far` takes.

        Args:
            run: the same run as in the calls before, later.
        """
        if not self._begun:
            yield first_line()
            yield line_of(event_rows.begin_row(run))
            self._begun = True
        for row in event_rows.moment_rows(run):
            if row not in self._moments:
                self._moments.append(row)
                yield line_of(row)
        yield from (line_of(event_rows.host_row(reading)) for reading in self._new("host", run.host))
        yield from (line_of({"event": "note", "text": text}) for text in self._new("note", run.notes))
        yield from map(line_of, event_rows.failure_rows("failure", self._new("failure", run.failures)))
        yield from map(line_of, event_rows.failure_rows("recovered", self._new("recovered", run.recovered)))
        for record in run.records:
            told = self._workers.setdefault(record.instance.index, _Told())
            yield from map(line_of, _new_rows(record, told))

    def _new(self, event: str, values: tuple[T, ...]) -> tuple[T, ...]:
        """Those that were not told yet."""
        told, self._lengths[event] = self._lengths.get(event, 0), len(values)
        return values[told:]


def _new_rows(record: WorkerRecord, told: _Told) -> Iterator[Row]:
    index, announced = record.instance.index, record.told
    *began, ended = event_rows.worker_rows(record)
    facts = list(event_rows.told_rows(index, announced)) if announced is not None else []
    attempt = (record.exited, *began, *facts)  # the rows themselves: no field can be forgotten here
    if attempt != told.attempt:
        if told.attempt:
            yield _anew(index, "worker")
        yield from (*began, ended, *facts)
        told.attempt, told.exit = attempt, ended
    elif ended != told.exit:  # it claims another rate
        told.exit = ended
        yield ended
    known = len(told.placements)
    if not _begins_with(record.placements, told.placements):
        yield _anew(index, "placements")
        known = 0
    yield from event_rows.placement_rows(index, record.placements[known:])
    told.placements = record.placements
    if record.samples is not told.samples:
        if told.counts:
            yield _anew(index, "counts")
        told.samples, told.counts = record.samples, 0
    yield from event_rows.count_rows(index, record.samples, told.counts)
    told.counts = len(record.samples.times)
    for name, values_s in announced.durations_s.items() if announced else ():
        yield from event_rows.duration_rows(index, name, values_s[told.durations.get(name, 0) :])
        told.durations[name] = len(values_s)


def _anew(index: int, what: str) -> Row:
    return {"event": "anew", "index": index, "of": what}


def _begins_with(placements: tuple[Placement, ...], before: tuple[Placement, ...]) -> bool:
    """Whether these are those of before and further ones; a look is never changed, so being the same one is enough."""
    return len(placements) >= len(before) and all(one is other for one, other in zip(placements, before, strict=False))
