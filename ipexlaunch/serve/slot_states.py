"""What is known of the slots of a service at one moment, what can happen to them, and what can be decided."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SlotPhase = Literal["down", "loading", "up", "leaving", "ending"]

Traffic = Literal["ready", "drain", "maint"]
"""In HAProxy's words: it gets requests; it finishes those that it has; it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotState:
    """One slot."""

    index: int
    """Of its instance."""
    phase: SlotPhase = "down"
    attempt: int = 0
    """Of its server, from 1; what is said of an earlier one does not count."""
    failed_probes: int = 0
    """In a row, since it was up."""
    restarts: int = 0
    """After its server had ended by itself, or was killed for want of an answer."""
    fell: bool = False
    """Whether its last server ended so."""
    was_up: bool = False
    """Whether any of its servers was."""
    leaves_for: Literal["", "reload", "drain"] = ""
    """Why it is leaving or ending; a slot that was drained is down for "drain" until it is reloaded."""
    leave_by: float | None = None
    """When it is ended though it has requests."""
    told: bool = False
    """Whether the endpoint has been told that it is leaving, so that its figures count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """All slots, and what was asked for."""

    slots: tuple[SlotState, ...]
    has_endpoint: bool = False
    has_figures: bool = True
    """Whether the endpoint tells how many requests are with each; else only when one that leaves has none any more."""
    drain_timeout_s: float = 30.0
    failures_allowed: int = 3
    """Failed probes in a row that end a server."""
    to_reload: tuple[int, ...] = ()
    """Slots that wait for their turn."""
    reloading: int | None = None
    """The slot whose turn it is."""
    reloads: int = 0
    """That are over."""
    was_ready: bool = False
    """Whether every slot has been up at once."""
    stopping: bool = False
    served_long_enough: bool = False
    """Whether it stops because the time is over that it was to serve."""
    stop_by: float | None = None
    """When the servers are ended though they have requests."""
    finished: bool = False

    @property
    def is_reloading(self) -> bool:
        """Whether a slot has its turn, or waits for it."""
        return self.reloading is not None or bool(self.to_reload)


SeenKind = Literal[
    "started", "answers", "ready", "probed", "ended", "told", "in_flight", "reload", "drain", "stop", "endpoint_ended",
    "waited", "written", "silent", "tick",
]  # fmt: skip
"""started: its server's process is there; answers: it does so for the first time; ready: the run knows it; probed: it
was asked again; ended: its process has; told: the endpoint knows that it is leaving; in_flight: so many requests are
with it; reload, drain, stop: asked for; endpoint_ended: the endpoint has finished all; waited: a server is not
ready for long; written: the endpoint's configuration has changed; silent: it does not answer any more; tick: time has
passed."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Something that happened to a service."""

    kind: SeenKind
    time: float
    slot: int = -1
    attempt: int = 0
    """answers, probed: of the server that was asked."""
    text: str = ""
    """probed: why it did not answer; "" where it did."""
    number: int = 0
    """in_flight: requests."""
    slots: tuple[int, ...] = ()
    """reload: which."""


DecisionKind = Literal["traffic", "ready", "recycle", "retire", "kill", "drain_endpoint", "finish", "say", "note"]
"""traffic: tell the endpoint; ready, recycle, retire, kill: of the supervisor; drain_endpoint: it takes no more, and
ends once what it has is finished; finish: end the run; say, note: to the user, and for the report too."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Something to do."""

    kind: DecisionKind
    slot: int = -1
    traffic: Traffic = "maint"
    text: str = ""


def due(state: ServiceState) -> float | None:
    """When the next tick is wanted; None where none is.

    Args:
        state: of the service.
    """
    times = [slot.leave_by for slot in state.slots if slot.phase == "leaving" and slot.leave_by is not None]
    if state.stop_by is not None and not state.finished:
        times.append(state.stop_by)
    return min(times, default=None)


def standing(state: ServiceState) -> Iterable[str]:
    """One word for each slot, as people read it.

    Args:
        state: of the service.
    """
    for slot in state.slots:
        yield "drained" if slot.phase == "down" and slot.leaves_for == "drain" else slot.phase
