"""What happens to a run, and what is to be done about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

EventKind = Literal[
    "phase", "ready", "asked", "counted", "finished", "stuck", "exited", "signalled", "drained", "abandoned", "tick"
]
"""phase: a worker that is not ready says what it is busy with; ready: it has loaded, warmed up, and waits for the
start; asked: it wants items that it is fed with; counted: it counted something; finished: it has counted its last item;
stuck: it is killed for that; exited: its process ended; signalled: the launcher was asked to end; drained: no item is
left for workers that are fed; abandoned: no more of them can be done; tick: time passed."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""

    kind: EventKind
    time: float
    index: int = -1
    """The worker, for phase, ready, asked, counted, finished, stuck and exited."""
    code: int = 0
    """exited: as the operating system reports it to Python, negative for a signal; signalled: the signal."""
    detail: str = ""
    """phase: its name; stuck: what it did, in words that follow "instance 3"; exited: what is known beyond the code,
    e.g. why it could not be started."""


CommandKind = Literal["start", "go", "release", "terminate", "kill", "done"]
"""start: start the process; go: start the measurement now; release: let a finished worker leave; terminate, kill: TERM
or KILL to the process groups; done: every worker has exited."""


@dataclass(frozen=True, slots=True)
class Command:
    """Something to do."""

    kind: CommandKind
    indices: tuple[int, ...] = ()
    """The workers to do it to."""
