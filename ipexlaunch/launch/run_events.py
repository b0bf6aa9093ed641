"""What happens in a run, as values; `run_so_far` folds them. Times are seconds of the supervisor's clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from ipexlaunch.documents.fields import OMITTED, AnyFloat, AnyInt, NonNegativeInt, Seconds
from ipexlaunch.launch.host_counters import HostReading
from ipexlaunch.launch.lifecycle import Stage
from ipexlaunch.launch.placement.placement import Binding, Placement
from ipexlaunch.launch.run_record import Samples, Spent
from ipexlaunch.plan.plan import Instance


@dataclass(frozen=True, slots=True)
class Moment:
    """Something happened then."""

    time: Seconds


@dataclass(frozen=True, slots=True)
class RunBegan(Moment):
    """The run begins; the fields are those of `Run`."""

    fed: bool
    fed_together: bool = field(default=False, metadata=OMITTED)
    host_cpus: NonNegativeInt = 0
    serving: bool = field(default=False, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class StartGiven(Moment):
    """The first worker was given the start."""


@dataclass(frozen=True, slots=True)
class RunSignalled(Moment):
    """The launcher was asked to end."""

    number: NonNegativeInt


@dataclass(frozen=True, slots=True)
class OtherHostLost(Moment):
    """Another host of the run has failed, or is not heard of any more, and this one stops."""

    text: str


@dataclass(frozen=True, slots=True)
class RunEnded(Moment):
    """The run is over; its notes are these."""

    code: AnyInt
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoteAdded:
    """Something that the report says beside its figures."""

    text: str


@dataclass(frozen=True, slots=True)
class FailureSeen(Moment):
    """Something went wrong; the fields are those of `Failure`, the index that of the instance."""

    index: NonNegativeInt
    stage: Stage
    code: AnyInt
    message: str


@dataclass(frozen=True, slots=True)
class RecoveredFailureSeen(FailureSeen):
    """Something went wrong, and a restart answers it, or nothing was left to be done."""


@dataclass(frozen=True, slots=True)
class WorkerStarted(Moment):
    """A worker is started, or is going to be; whatever else is known of it stays."""

    pid: NonNegativeInt | None
    planned: Instance
    bound: Binding | None


@dataclass(frozen=True, slots=True)
class OfWorker:
    """Something is known of the worker of an instance."""

    index: NonNegativeInt


@dataclass(frozen=True, slots=True)
class PhaseSeen(OfWorker):
    """It is busy with something else than before, as long as nothing ends it, or was from then to then."""

    name: str
    time: Seconds
    end: Seconds | None = None
    spent: Spent | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class WorkerReady(OfWorker):
    """It has warmed up."""

    time: Seconds
    spent: Spent | None = field(default=None, metadata=OMITTED)


@dataclass(frozen=True, slots=True)
class WorkerFinished(OfWorker):
    """It has counted its last item."""

    time: Seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerExited(OfWorker):
    """What is known of its end, now that its process has ended, or so far."""

    time: Seconds
    code: AnyInt
    seen: bool
    """Whether there was a process and its end was seen."""
    cpu_s: Seconds
    peak_memory_bytes: NonNegativeInt
    claimed_rate: AnyFloat | None
    log: str


@dataclass(frozen=True, slots=True)
class WorkerInspected(OfWorker):
    """It was read back where it is."""

    placement: Placement


@dataclass(frozen=True, slots=True)
class ItemsCounted(OfWorker):
    """It has counted; these are new."""

    samples: Samples


@dataclass(frozen=True, slots=True)
class DurationsReported(OfWorker):
    """It has told durations of one kind."""

    name: str
    values_s: list[Seconds]


@dataclass(frozen=True, slots=True)
class FactReported(OfWorker):
    """It has told a fact."""

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class InvalidReported(OfWorker):
    """A reason why its results must not be believed."""

    reason: str


@dataclass(frozen=True, slots=True)
class WorkerRestated(OfWorker):
    """Earlier events of it no longer hold: of its present attempt, its counts, or where it was."""

    of: Literal["worker", "counts", "placements"]


RunEvent = Moment | NoteAdded | HostReading | OfWorker
"""Any of the above, or a reading of the host's counters."""
