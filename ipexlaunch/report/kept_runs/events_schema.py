"""What each line of an events document may hold, for the validator. docs/run-directory.md says what the keys mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ipexlaunch.launch.lifecycle import Stage
from ipexlaunch.machine.cpulist_schema import CpuList

Seconds = Annotated[float, Field(ge=-1e15, le=1e15, allow_inf_nan=False)]
"""Of any clock that there is; sums and differences of them stay numbers."""

Rate = Annotated[float, Field(allow_inf_nan=False, ge=-1e300, le=1e300)]
Whole = Annotated[int, Field(ge=0, lt=1 << 62)]
Number = Annotated[int, Field(gt=-(1 << 62), lt=1 << 62)]
ProcessId = Annotated[str, Field(pattern=r"^[0-9]{1,12}$")]


class _Event(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    event: str


class _Moment(_Event):
    time: Seconds


class _OfWorker(_Event):
    index: Whole


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Begin(_Moment):
    """begin."""

    fed: bool
    fed_together: bool = False
    host_cpus: Whole = 0


class Signal(_Moment):
    """signal."""

    number: Whole


class End(_Moment):
    """end."""

    code: Number
    notes: list[str]


class Note(_Event):
    """note."""

    text: str


class FailureRow(_Moment):
    """failure, recovered."""

    index: Whole
    stage: Stage
    code: Number
    message: str


class _Throttling(_Part):
    periods: Number
    stopped_periods: Number
    stopped_s: Seconds


class _Waits(_Part):
    ran_s: Seconds
    waited_s: Seconds


class Host(_Moment):
    """host."""

    busy_s: Seconds | None = None
    stolen_s: Seconds | None = None
    throttling: _Throttling | None
    swapped_in_pages: Number | None = None
    swapped_out_pages: Number | None = None
    hot_events: Number | None = None
    frequency_mhz: Rate | None = None
    used_s: dict[ProcessId, Seconds]
    waits: dict[ProcessId, _Waits] = {}
    pressure_s: Seconds | None = None


class _Planned(_Part):
    cpus: CpuList
    nodes: CpuList
    memory: str
    threads: Whole
    accelerator: str = ""


class _Bound(_Part):
    cpus: CpuList
    nodes: CpuList
    memory: str
    refused: str


class Start(_Moment):
    """start."""

    index: Whole
    pid: Whole | None
    planned: _Planned
    bound: _Bound | None


class WorkerMoment(_Moment):
    """ready, finished."""

    index: Whole


class Phase(_Moment):
    """phase."""

    index: Whole
    name: str
    end: Seconds | None


class Exit(_Moment):
    """exit."""

    index: Whole
    code: Number
    seen: bool
    cpu_s: Seconds
    peak_memory_bytes: Whole
    claimed_rate: Rate | None
    log: str


class Counts(_OfWorker):
    """counts."""

    times: list[Seconds]
    items: list[Whole]
    tokens: list[Whole]
    latencies_s: list[Seconds | None]


class SamplesRow(_OfWorker):
    """samples."""

    name: str
    values_s: list[Seconds]


class Fact(_OfWorker):
    """fact."""

    name: str
    value: Any


class Invalid(_OfWorker):
    """invalid."""

    reason: str


class Anew(_OfWorker):
    """anew."""

    of: Literal["worker", "counts", "placements"]


class PlacementRow(_OfWorker):
    """placement; the rest is `Placement`, and is checked where that is made."""

    model_config = ConfigDict(extra="allow", strict=True)


MODELS: dict[str, type[_Event]] = {
    "begin": Begin,
    "go": _Moment,
    "signal": Signal,
    "end": End,
    "note": Note,
    "failure": FailureRow,
    "recovered": FailureRow,
    "host": Host,
    "start": Start,
    "ready": WorkerMoment,
    "finished": WorkerMoment,
    "phase": Phase,
    "exit": Exit,
    "counts": Counts,
    "samples": SamplesRow,
    "fact": Fact,
    "invalid": Invalid,
    "anew": Anew,
    "placement": PlacementRow,
}


def check_event(row: Any) -> None:
    """Find what is wrong with a line's object.

    Args:
        row: as JSON has it.

    Raises:
        ValueError: it is no event of ours, or a key is missing, unknown or of another kind; the message has its place.
    """
    event = row.get("event") if isinstance(row, dict) else None
    model = MODELS.get(event) if isinstance(event, str) else None
    if model is None:
        raise ValueError(f"there is no event {event!r}" if isinstance(row, dict) else "it is no object")
    try:
        model.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        if first["type"] == "extra_forbidden":
            raise ValueError(f"{event} has no key {place!r}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {message[0].lower()}{message[1:]}") from None
