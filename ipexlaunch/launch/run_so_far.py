"""The fold of a run's events: what is shown while it lasts, what a killed launcher leaves, what a report is made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace

from ipexlaunch.launch.host_counters import HostReading
from ipexlaunch.launch.lifecycle import Failure
from ipexlaunch.launch.placement.verify import downsampled
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
from ipexlaunch.launch.run_record import Announced, Run, Samples, WorkerRecord
from ipexlaunch.plan.plan import Instance

INSPECTIONS_KEPT = 16
"""Of one worker; of a longer series what matters."""


class RunSoFar:
    """The fold: a run as far as its events are known."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self.began: float | None = None
        self.workers: dict[int, WorkerRecord] = {}
        """By the index of the instance."""
        self.notes: list[str] = []
        self.started: set[int] = set()
        """Those of which there was a `WorkerStarted`; clocks that were set wrong may tell of phases before it."""
        self._host: list[HostReading] = []
        self._failures: list[Failure] = []
        self._recovered: list[Failure] = []
        self._run = Run(
            records=(), started=0.0, go=None, ended=0.0, failures=(), signal=None, exit_code=0, over=False,
        )  # fmt: skip

    def add(self, event: RunEvent) -> None:
        """Fold one event more into the run."""
        match event:
            case RunBegan():
                self.began = event.time
                self._run = replace(
                    self._run, started=event.time, fed=event.fed, fed_together=event.fed_together,
                    host_cpus=event.host_cpus, serving=event.serving,
                )  # fmt: skip
            case StartGiven():
                self._run = replace(self._run, go=event.time)
            case RunSignalled():
                self._run = replace(self._run, signal=event.number, signalled=event.time)
            case OtherHostLost():
                self._run = replace(self._run, lost=(event.time, event.text))
            case RunEnded():
                self.notes = list(event.notes)
                self._run = replace(self._run, ended=event.time, exit_code=event.code, over=True)
            case NoteAdded():
                self.notes.append(event.text)
            case FailureSeen():
                kind = self._recovered if isinstance(event, RecoveredFailureSeen) else self._failures
                kind.append(Failure(**asdict(event)))
            case HostReading():
                self._host.append(event)
            case WorkerStarted():
                index = event.planned.index
                self.started.add(index)
                self.workers[index] = replace(
                    self._worker(index), instance=event.planned, binding=event.bound, pid=event.pid,
                    started=event.time,
                )  # fmt: skip
            case OfWorker():
                self.workers[event.index] = _folded(self._worker(event.index), event)

    def run(self, latest: float) -> Run:
        """What is known of the run.

        Args:
            latest: the last moment that is known of it, where it has no end.
        """
        return replace(
            self._run,
            records=tuple(self.workers[index] for index in sorted(self.workers)),
            ended=self._run.ended if self._run.over else latest,
            failures=tuple(self._failures),
            recovered=tuple(self._recovered),
            notes=tuple(self.notes),
            host=tuple(self._host),
        )

    def _worker(self, index: int) -> WorkerRecord:
        if index not in self.workers:
            nowhere = Instance(index=index, cpus=frozenset(), nodes=frozenset(), threads=0)
            self.workers[index] = WorkerRecord(
                instance=nowhere, pid=None, started=0.0, ready=None, finished=None, exit_code=0, samples=Samples(),
                binding=None, placements=(),
            )  # fmt: skip
        return self.workers[index]


def _folded(record: WorkerRecord, event: OfWorker) -> WorkerRecord:
    """The record of a worker after an event of it; its columns and what it told of itself grow in place."""
    match event:
        case ItemsCounted():
            record.samples.extend(event.samples)
        case WorkerReady():
            told = record.told if event.spent is None else record.told or Announced()
            record = replace(record, ready=event.time, told=told)
            if told is not None:
                told.end_phase(event.time)
                told.ready_spent = event.spent
        case WorkerFinished():
            return replace(record, finished=event.time)
        case WorkerExited():
            if event.seen and record.told is not None:
                record.told.end_phase(event.time)
            return replace(
                record, exited=event.time if event.seen else None, exit_code=event.code, cpu_s=event.cpu_s,
                peak_memory_bytes=event.peak_memory_bytes, claimed_rate=event.claimed_rate, log=event.log,
            )  # fmt: skip
        case WorkerInspected():
            placements = (*record.placements, event.placement)
            if len(placements) > INSPECTIONS_KEPT:
                placements = tuple(downsampled(placements, record.instance))
            return replace(record, placements=placements)
        case WorkerRestated():
            return _told_anew(record, event.of)
        case _:
            told = record.told or Announced()
            _tell(told, event)
            return record if record.told is told else replace(record, told=told)
    return record


def _tell(told: Announced, event: OfWorker) -> None:
    match event:
        case PhaseSeen():
            told.begin_phase(event.name, event.time, event.spent)
            if event.end is not None:
                told.end_phase(event.end)
        case DurationsReported():
            told.add_durations(event.name, event.values_s)
        case FactReported():
            told.facts[event.name] = event.value
        case InvalidReported():
            told.add_invalid(event.reason)


def _told_anew(record: WorkerRecord, of: str) -> WorkerRecord:
    if of == "counts":
        return replace(record, samples=Samples())
    if of == "placements":
        return replace(record, placements=())
    if record.told is not None:
        record.told.begin_attempt()
        record.told.invalid.clear()
    return replace(record, ready=None, finished=None, exited=None, exit_code=0)


def events_of(run: Run) -> Iterator[RunEvent]:
    """The events that fold to this run, as few as there can be.

    Args:
        run: what happened.
    """
    yield RunBegan(run.started, run.fed, run.fed_together, run.host_cpus, run.serving)
    if run.go is not None:
        yield StartGiven(run.go)
    if run.signal is not None:
        yield RunSignalled(run.ended if run.signalled is None else run.signalled, run.signal)
    if run.lost is not None:
        yield OtherHostLost(*run.lost)
    yield from run.host
    yield from (FailureSeen(**asdict(failure)) for failure in run.failures)
    yield from (RecoveredFailureSeen(**asdict(failure)) for failure in run.recovered)
    if run.over:
        yield RunEnded(run.ended, run.exit_code, run.notes)
    for record in run.records:
        yield from _events_of_worker(record)


def _events_of_worker(record: WorkerRecord) -> Iterator[RunEvent]:
    index, told = record.instance.index, record.told or Announced()
    yield WorkerStarted(record.started, record.pid, record.instance, record.binding)
    yield from (PhaseSeen(index, span.name, span.begin, span.end, span.spent) for span in told.phases)
    if record.ready is not None:
        yield WorkerReady(index, record.ready, told.ready_spent)
    if record.finished is not None:
        yield WorkerFinished(index, record.finished)
    yield WorkerExited(
        index=index,
        time=record.started if record.exited is None else record.exited,
        code=record.exit_code,
        seen=record.exited is not None,
        cpu_s=record.cpu_s,
        peak_memory_bytes=record.peak_memory_bytes,
        claimed_rate=record.claimed_rate,
        log=record.log,
    )
    yield from (WorkerInspected(index, placement) for placement in record.placements)
    yield from (FactReported(index, name, value) for name, value in told.facts.items())
    yield from (InvalidReported(index, reason) for reason in told.invalid)
    yield from (DurationsReported(index, name, list(durations)) for name, durations in told.durations_s.items())
    if record.samples.times:
        yield ItemsCounted(index, record.samples)
